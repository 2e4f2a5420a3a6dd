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
	args := []string{"build", "--target", "disk"}
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
}
