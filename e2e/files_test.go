package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"ashlar/internal/contract/layout"
	"ashlar/internal/machine/qemu"
	"ashlar/internal/testenv"
)

// TestFiles puts the plain files on a FAT disk, has Debian's SYSLINUX install
// itself there, and boots it.
func TestFiles(t *testing.T) {
	dir := example(t, "web")
	must(t, "build", "--target", "files", dir)
	archive := filepath.Join(dir, "out", "files.tar")
	other := filepath.Join(t.TempDir(), "out")
	must(t, "build", "--target", "files", "--out", other, dir)
	if a, b := digestOf(t, archive), digestOf(t, filepath.Join(other, "files.tar")); a != b {
		t.Errorf("two builds differ: %s and %s", a, b)
	}
	work := t.TempDir()
	disk, files := filepath.Join(work, "disk.img"), filepath.Join(work, "files")
	run := func(tool string, args ...string) {
		t.Helper()
		if out, err := exec.Command(testenv.RequireTool(t, tool), args...).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v: %s", tool, err, out)
		}
	}
	if err := os.Mkdir(files, 0o755); err != nil {
		t.Fatal(err)
	}
	run("tar", "-xf", archive, "-C", files, "--no-same-owner")
	run("mkfs.vfat", "-C", "-F", "32", "-n", layout.LabelFiles, disk, "131072")
	entries, err := os.ReadDir(files)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		run("mcopy", "-s", "-i", disk, filepath.Join(files, e.Name()), "::/")
	}
	run("syslinux", "--install", disk)
	m := boot(t, emulator(t, dir), qemu.Config{
		Disk: disk, Snapshot: true, Firmware: qemu.BIOS, MemoryMB: 128, NoReboot: true, Publish: []qemu.PortForward{{GuestPort: 80}},
	})
	if body := m.get(80, "/"); !strings.Contains(body, "Cut from text") {
		t.Errorf("the page is %q", body)
	}
	page.note(t, shown{"files", "amd64", "on a FAT disk by Debian's SYSLINUX", "answers HTTP"})
	m.powerOff()
}
