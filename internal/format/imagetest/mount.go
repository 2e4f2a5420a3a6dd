package imagetest

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"ashlar/internal/testenv"
)

// Mount has the kernel mount an image of the file system, read-only and through
// a loop device, until the test ends, and gives the place.
func Mount(t testing.TB, fileSystem string, data []byte) string {
	t.Helper()
	testenv.RequireRoot(t)
	tool := testenv.RequireTool(t, "mount")
	if known, err := os.ReadFile("/proc/filesystems"); err != nil || !strings.Contains(string(known), "\t"+fileSystem+"\n") {
		testenv.Lack(t, "needs a kernel with %s", fileSystem)
	}
	if _, err := os.Stat("/dev/loop-control"); err != nil {
		testenv.Lack(t, "needs loop devices: %v", err)
	}
	dir := t.TempDir()
	if out, err := exec.Command(tool, "-t", fileSystem, "-o", "loop,ro", File(t, data), dir).CombinedOutput(); err != nil {
		t.Fatalf("mount: %v: %s", err, out)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Errorf("unmount %s: %v", dir, err)
		}
	})
	return dir
}
