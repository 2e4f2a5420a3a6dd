package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ashlar/internal/foundation/digest"
	"ashlar/internal/machine/qemu"
)

// TestISO boots one image as a CD by the BIOS and, as from a USB stick, as a
// disk by UEFI. State is declared and cannot be kept: the console says so.
func TestISO(t *testing.T) {
	dir := example(t, "web")
	cd := runTarget(t, dir, shown{"iso", "amd64", "as a CD by BIOS", "answers HTTP"}, "--bios")
	if !strings.Contains(cd, "Cut from text") {
		t.Errorf("the page is %q", cd)
	}
	image := filepath.Join(dir, "out", "disk.iso")
	other := filepath.Join(t.TempDir(), "out")
	must(t, "build", "--target", "iso", "--out", other, dir)
	if a, b := digestOf(t, image), digestOf(t, filepath.Join(other, "disk.iso")); a != b {
		t.Errorf("two builds differ: %s and %s", a, b)
	}
	if out := must(t, "inspect", image).stdout; !strings.Contains(out, "iso9660") || !strings.Contains(out, "root.img") || !strings.Contains(out, "ashlar-esp") {
		t.Errorf("inspect says %s", out)
	}
	m := boot(t, emulator(t, dir), qemu.Config{
		Disk: image, Snapshot: true, Firmware: qemu.UEFI, MemoryMB: uefiMemory, NoReboot: true, Publish: []qemu.PortForward{{GuestPort: 80}},
	})
	page.note(t, shown{"iso", "amd64", "as a disk by UEFI", "answers HTTP"})
	if body := m.get(80, "/"); !strings.Contains(body, "Cut from text") {
		t.Errorf("the page is %q", body)
	}
	if log := string(m.SerialLog()); !strings.Contains(log, "there is no state partition: what is written is lost at power-off") {
		t.Errorf("the console does not say that state is lost:\n%s", log)
	}
	if s := m.status(); s.StateBytes != 0 {
		t.Errorf("%d bytes of state", s.StateBytes)
	}
	m.powerOff()
}

func digestOf(t *testing.T, path string) digest.Digest {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	sum, _, err := digest.Reader(f)
	if err != nil {
		t.Fatal(err)
	}
	return sum
}
