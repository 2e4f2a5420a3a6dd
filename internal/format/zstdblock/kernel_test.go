package zstdblock_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"ashlar/internal/format/squashfs"
	"ashlar/internal/format/zstdblock"
	"ashlar/internal/foundation/tree"
	"ashlar/internal/testenv"
)

// TestKernelReads has the kernel's squashfs read frames of every shape and level.
func TestKernelReads(t *testing.T) {
	testenv.RequireRoot(t)
	for _, image := range []struct {
		level zstdblock.Level
		block int
	}{{zstdblock.Fast, 4 << 10}, {zstdblock.Default, 128 << 10}, {zstdblock.High, 128 << 10}, {zstdblock.Best, zstdblock.MaxFrame}} {
		dir := mountFrames(t, image.level, image.block)
		zstdblock.EachInput(func(i int, name string, data []byte) {
			got, err := os.ReadFile(filepath.Join(dir, fmt.Sprint(i)))
			if err != nil || !bytes.Equal(got, data) {
				t.Errorf("%v, blocks of %d: %s: the kernel reads otherwise: %v", image.level, image.block, name, err)
			}
		})
	}
}

// mountFrames gives a directory with the inputs, out of a mounted image.
func mountFrames(t *testing.T, level zstdblock.Level, block int) string {
	t.Helper()
	if known, err := os.ReadFile("/proc/filesystems"); err != nil || !strings.Contains(string(known), "squashfs") {
		testenv.Lack(t, "needs a kernel with squashfs")
	}
	if _, err := os.Stat("/dev/loop-control"); err != nil {
		testenv.Lack(t, "needs loop devices: %v", err)
	}
	var tr tree.Tree
	if err := tr.Put(tree.NewDir(".", 0o755)); err != nil {
		t.Fatal(err)
	}
	zstdblock.EachInput(func(i int, _ string, data []byte) {
		if err := tr.Put(tree.NewFile(fmt.Sprint(i), 0o644, data)); err != nil {
			t.Fatal(err)
		}
	})
	image, err := os.Create(filepath.Join(t.TempDir(), "image"))
	if err != nil {
		t.Fatal(err)
	}
	defer image.Close()
	_, err = squashfs.Write(context.Background(), image, &tr, squashfs.Options{Compressor: squashfs.Zstd(level), BlockSize: block})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	tool := testenv.RequireTool(t, "mount")
	if out, err := exec.Command(tool, "-t", "squashfs", "-o", "loop,ro", image.Name(), dir).CombinedOutput(); err != nil {
		t.Fatalf("mount: %v: %s", err, out)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Errorf("unmount %s: %v", dir, err)
		}
	})
	return dir
}
