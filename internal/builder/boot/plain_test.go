package boot

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"ashlar/internal/contract/layout"
	"ashlar/internal/testenv"
)

// TestPlain: the three configurations start the same generation; GRUB's own
// parser reads its one.
func TestPlain(t *testing.T) {
	in := sample()
	in.SystemUUID = ""
	files, err := Plain(in)
	if err != nil {
		t.Fatal(err)
	}
	if got := fileNames(t, files); got != "boot/grub/grub.cfg extlinux/extlinux.conf syslinux.cfg" {
		t.Errorf("the files are %s", got)
	}
	read := func(name string) string {
		t.Helper()
		data, err := files.Get(name).ReadAll(1 << 20)
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	want := "DEFAULT 00112233aabbccdd\nPROMPT 0\nTIMEOUT 10\nLABEL 00112233aabbccdd\n  MENU LABEL web, generation 1\n" +
		"  LINUX /" + layout.GenerationsDir + "/00112233aabbccdd/vmlinuz\n  INITRD /" + layout.GenerationsDir + "/00112233aabbccdd/initrd\n  APPEND " + in.Cmdline + "\n"
	if got := read("extlinux/extlinux.conf"); got != want {
		t.Errorf("extlinux.conf is\n%s\nwant\n%s", got, want)
	}
	if got := read("syslinux.cfg"); got != "SERIAL 0 115200\n"+want {
		t.Errorf("syslinux.cfg is\n%s", got)
	}
	if got := read(layout.GrubConfig); got != in.menu() {
		t.Errorf("grub.cfg is\n%s", got)
	}
	script := filepath.Join(t.TempDir(), "grub.cfg")
	if err := os.WriteFile(script, []byte(read(layout.GrubConfig)), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(testenv.RequireTool(t, "grub-script-check"), script).CombinedOutput(); err != nil {
		t.Errorf("grub-script-check: %v: %s", err, out)
	}
}

func TestPlainRefuses(t *testing.T) {
	for _, c := range []struct {
		change func(*Input)
		want   string
	}{
		{func(in *Input) { in.Generation = "a b" }, "generation"},
		{func(in *Input) { in.Title = "two\nlines" }, "title"},
		{func(in *Input) { in.Cmdline = "quiet\nLABEL x" }, "command line"},
		{func(in *Input) { in.Timeout = -1 }, "timeout"},
	} {
		in := sample()
		c.change(&in)
		if _, err := Plain(in); err == nil || !strings.Contains(err.Error(), "make boot files: "+c.want) {
			t.Errorf("%s: %v", c.want, err)
		}
	}
}
