package e2e

import (
	"os/exec"
	"path/filepath"
	"testing"

	"ashlar/internal/testenv"
)

// TestDiskForms builds all forms of a disk at once and has QEMU compare each
// with the raw one.
func TestDiskForms(t *testing.T) {
	dir := example(t, "web")
	forms := []struct{ target, file, format string }{
		{"qcow2", "disk.qcow2", "qcow2"}, {"vhd", "disk.vhd", "vpc"}, {"vhd-fixed", "disk-fixed.vhd", "vpc"}, {"vmdk", "disk.vmdk", "vmdk"},
	}
	args := []string{"build", "--target", "disk", "--target", "disk-zst"}
	for _, f := range forms {
		args = append(args, "--target", f.target)
	}
	must(t, append(args, dir)...)
	other := filepath.Join(t.TempDir(), "out")
	must(t, append(append([]string{}, args[:1]...), append(args[3:], "--out", other, dir)...)...) // without the raw one
	for _, f := range forms {
		path := filepath.Join(dir, "out", f.file)
		out, err := exec.Command(testenv.RequireTool(t, "qemu-img"), "compare", "-f", "raw", "-F", f.format, filepath.Join(dir, "out", "disk.img"), path).CombinedOutput()
		if err != nil {
			t.Errorf("%s: %v: %s", f.target, err, out)
		}
		if a, b := digestOf(t, path), digestOf(t, filepath.Join(other, f.file)); a != b {
			t.Errorf("%s: two builds differ: %s and %s", f.target, a, b)
		}
		page.note(t, shown{f.target, "amd64", "read back by qemu-img", "equals `disk.img`, which boots"})
	}
	flashed := filepath.Join(t.TempDir(), "flashed")
	packed := filepath.Join(dir, "out", "disk.img.zst")
	if a, b := digestOf(t, packed), digestOf(t, filepath.Join(other, "disk.img.zst")); a != b {
		t.Errorf("disk-zst: two builds differ: %s and %s", a, b)
	}
	// Into a fresh file all that is in no range is zero: it equals the raw image.
	out, err := exec.Command(testenv.RequireTool(t, "bmaptool"), "copy", "--bmap", filepath.Join(dir, "out", "disk.img.bmap"), packed, flashed).CombinedOutput()
	if err != nil {
		t.Fatalf("bmaptool: %v: %s", err, out)
	}
	if a, b := digestOf(t, flashed), digestOf(t, filepath.Join(dir, "out", "disk.img")); a != b {
		t.Errorf("disk-zst: bmaptool wrote %s, the raw image is %s", a, b)
	}
	page.note(t, shown{"disk-zst", "amd64", "written by bmaptool", "equals `disk.img`, which boots"})
}
