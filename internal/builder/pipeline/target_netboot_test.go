package pipeline

import (
	"strings"
	"testing"

	"ashlar/internal/contract/imageinfo"
)

// TestStartOfUKI: what is started by UEFI, and whether anybody in it answers
// but by its ports.
func TestStartOfUKI(t *testing.T) {
	app := startUKI(&Artefacts{Manifest: imageinfo.Manifest{Init: "/usr/bin/app"}})
	server := startUKI(&Artefacts{Manifest: imageinfo.Manifest{Init: "ashlar"}})
	if !app.Bare || server.Bare || app.Program != UKIFile || server.Memory <= app.Memory {
		t.Errorf("%+v, %+v", app, server)
	}
}

func TestNetbootLine(t *testing.T) {
	got := netbootLine("console=ttyS0 quiet")("http://192.0.2.1/dir/")
	if got != "console=ttyS0 quiet ip=dhcp ashlar.netroot=http://192.0.2.1/dir/ ashlar.state=none" {
		t.Errorf("the line is %q", got)
	}
	if got := netbootLine("quiet ip=192.0.2.7")("http://h/"); strings.Count(got, " ip=") != 1 {
		t.Errorf("the line is %q", got)
	}
	if line := memoryLine(imageinfo.Manifest{Cmdline: "quiet"}); line != "quiet ashlar.root=/ashlar/root.img ashlar.modules=/ashlar/modules.img ashlar.state=none" {
		t.Errorf("from memory: %q", line)
	}
	if !strings.HasPrefix(netbootURL, "http://") {
		t.Errorf("the place of the server is %q", netbootURL)
	}
}
