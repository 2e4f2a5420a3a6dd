package squashfs

import (
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"ashlar/internal/format/imagetest"
	"ashlar/internal/foundation/tree"
	"ashlar/internal/testenv"
)

// unsquash has unsquashfs unpack an image and takes what it made as a tree.
func unsquash(t *testing.T, data []byte) *tree.Tree {
	t.Helper()
	tool := testenv.RequireTool(t, "unsquashfs")
	testenv.RequireRoot(t) // owners and devices
	dir := filepath.Join(t.TempDir(), "out")
	out, err := exec.Command(tool, "-no-progress", "-strict-errors", "-dest", dir, imagetest.File(t, data)).CombinedOutput()
	if err != nil {
		t.Fatalf("unsquashfs: %v: %s", err, out)
	}
	return imagetest.HostTree(t, dir)
}

// mount has the kernel mount an image and gives the place.
func mount(t testing.TB, data []byte) string {
	t.Helper()
	return imagetest.Mount(t, "squashfs", data)
}

func TestUnsquashfs(t *testing.T) {
	for _, name := range []string{"zstd", "gzip", "lz4", "none"} {
		tr := imagetest.Sample(t)
		data, _ := writeImage(t, tr, Options{Compressor: compressor(t, name, 0), BlockSize: 128 << 10})
		if diff := imagetest.Differences(t, tr, unsquash(t, data)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestKernel(t *testing.T) {
	for _, name := range []string{"zstd", "gzip", "lz4", "none"} {
		for _, blockSize := range []int{minBlockSize, maxBlockSize} {
			tr := imagetest.Sample(t)
			data, _ := writeImage(t, tr, Options{Compressor: compressor(t, name, 0), BlockSize: blockSize})
			if diff := imagetest.Differences(t, tr, imagetest.HostTree(t, mount(t, data))); diff != "" {
				t.Errorf("%s, blocks of %d: %s", name, blockSize, diff)
			}
		}
	}
}

// TestKernelRandom mounts random trees, whose inodes spread over many metadata blocks.
func TestKernelRandom(t *testing.T) {
	for seed := range uint64(4) {
		tr := imagetest.Random(t, rand.New(rand.NewPCG(seed, 5)), 1500)
		data, _ := writeImage(t, tr, Options{Compressor: compressor(t, "zstd", 1), BlockSize: 16 << 10})
		if diff := imagetest.Differences(t, tr, imagetest.HostTree(t, mount(t, data))); diff != "" {
			t.Fatalf("seed %d: %s", seed, diff)
		}
	}
}

// TestReadsForeignImage reads what mksquashfs makes.
func TestReadsForeignImage(t *testing.T) {
	tool := testenv.RequireTool(t, "mksquashfs")
	data, _ := writeImage(t, imagetest.Sample(t), Options{Compressor: compressor(t, "gzip", 1)})
	dir := mount(t, data)
	want := imagetest.HostTree(t, dir)
	for _, args := range [][]string{
		{"-comp", "zstd"},
		{"-comp", "gzip", "-b", "4096"},
		{"-comp", "lz4"},
		{"-comp", "lz4", "-Xhc", "-b", "64K"},
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
		if diff := imagetest.Differences(t, want, readImage(t, raw)); diff != "" {
			t.Errorf("mksquashfs %v: %s", args, diff)
		}
	}
}
