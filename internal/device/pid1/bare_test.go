package pid1

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"ashlar/internal/testenv"
)

// TestImageType asks the makers of both file systems.
func TestImageType(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "in"), 0o755); err != nil {
		t.Fatal(err)
	}
	squash, ext4, other := filepath.Join(dir, "squash"), filepath.Join(dir, "ext4"), filepath.Join(dir, "other")
	for _, command := range [][]string{
		{testenv.RequireTool(t, "mksquashfs"), filepath.Join(dir, "in"), squash, "-quiet"},
		{testenv.RequireTool(t, "mkfs.ext4"), "-q", ext4, "1M"},
	} {
		if out, err := exec.Command(command[0], command[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	if err := os.WriteFile(other, make([]byte, 4096), 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{squash: "squashfs", ext4: "ext4"} {
		if got, err := imageType(path); err != nil || got != want {
			t.Errorf("%s: %q, %v", want, got, err)
		}
	}
	if _, err := imageType(other); err == nil || !strings.Contains(err.Error(), "neither squashfs nor EROFS nor ext4") {
		t.Errorf("zeros: %v", err)
	}
	if _, err := imageType(filepath.Join(dir, "in")); err == nil {
		t.Error("a directory is an image")
	}
}
