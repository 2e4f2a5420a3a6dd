package squashfs

import (
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"ashlar/internal/foundation/tree"
	"ashlar/internal/testenv"
)

// unsquash has unsquashfs unpack an image and takes what it made as a tree.
func unsquash(t *testing.T, data []byte) *tree.Tree {
	t.Helper()
	tool := testenv.RequireTool(t, "unsquashfs")
	testenv.RequireRoot(t) // owners and devices
	dir := filepath.Join(t.TempDir(), "out")
	out, err := exec.Command(tool, "-no-progress", "-strict-errors", "-dest", dir, imageFile(t, data)).CombinedOutput()
	if err != nil {
		t.Fatalf("unsquashfs: %v: %s", err, out)
	}
	return hostTree(t, dir)
}

// mount has the kernel mount an image, through a loop device, and gives the place.
func mount(t *testing.T, data []byte) string {
	t.Helper()
	testenv.RequireRoot(t)
	tool := testenv.RequireTool(t, "mount")
	if known, err := os.ReadFile("/proc/filesystems"); err != nil || !strings.Contains(string(known), "squashfs") {
		testenv.Lack(t, "needs a kernel with squashfs")
	}
	if _, err := os.Stat("/dev/loop-control"); err != nil {
		testenv.Lack(t, "needs loop devices: %v", err)
	}
	dir := t.TempDir()
	if out, err := exec.Command(tool, "-t", "squashfs", "-o", "loop,ro", imageFile(t, data), dir).CombinedOutput(); err != nil {
		t.Fatalf("mount: %v: %s", err, out)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Errorf("unmount %s: %v", dir, err)
		}
	})
	return dir
}

func TestUnsquashfs(t *testing.T) {
	for _, name := range []string{"zstd", "gzip", "none"} {
		tr := sample(t)
		data, _ := writeImage(t, tr, Options{Compressor: compressor(t, name, 0), BlockSize: 128 << 10})
		if diff := cmp.Diff(describe(t, tr), describe(t, unsquash(t, data))); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestKernel(t *testing.T) {
	for _, name := range []string{"zstd", "gzip", "none"} {
		for _, blockSize := range []int{minBlockSize, maxBlockSize} {
			tr := sample(t)
			data, _ := writeImage(t, tr, Options{Compressor: compressor(t, name, 0), BlockSize: blockSize})
			if diff := cmp.Diff(describe(t, tr), describe(t, hostTree(t, mount(t, data)))); diff != "" {
				t.Errorf("%s, blocks of %d: %s", name, blockSize, diff)
			}
		}
	}
}

// TestKernelRandom mounts random trees, whose inodes spread over many metadata blocks.
func TestKernelRandom(t *testing.T) {
	for seed := range uint64(4) {
		tr := randomTree(t, rand.New(rand.NewPCG(seed, 5)), 1500)
		data, _ := writeImage(t, tr, Options{Compressor: compressor(t, "zstd", 1), BlockSize: 16 << 10})
		if diff := cmp.Diff(describe(t, tr), describe(t, hostTree(t, mount(t, data)))); diff != "" {
			t.Fatalf("seed %d: %s", seed, diff)
		}
	}
}

// TestReadsForeignImage reads what mksquashfs makes.
func TestReadsForeignImage(t *testing.T) {
	tool := testenv.RequireTool(t, "mksquashfs")
	data, _ := writeImage(t, sample(t), Options{Compressor: compressor(t, "gzip", 1)})
	dir := mount(t, data)
	want := describe(t, hostTree(t, dir))
	for _, args := range [][]string{
		{"-comp", "zstd"},
		{"-comp", "gzip", "-b", "4096"},
		{"-comp", "gzip", "-Xstrategy", "huffman_only"}, // has an options block
		{"-no-fragments"},
		{"-always-use-fragments", "-b", "1M"},
		{"-noI", "-noD", "-noF", "-noX"},
		{"-no-exports"},
	} {
		image := filepath.Join(t.TempDir(), "foreign.squashfs")
		out, err := exec.Command(tool, append([]string{dir, image, "-noappend", "-no-progress", "-quiet"}, args...)...).CombinedOutput()
		if err != nil {
			t.Fatalf("mksquashfs %v: %v: %s", args, err, out)
		}
		raw, err := os.ReadFile(image)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, describe(t, readImage(t, raw))); diff != "" {
			t.Errorf("mksquashfs %v: %s", args, diff)
		}
	}
}
