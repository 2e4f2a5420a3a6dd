package squashfs

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ashlar/internal/format/imagetest"
	"ashlar/internal/foundation/tree"
)

// TestLargeDirectories has directories of one long run, of many, with an
// index, beyond 64 KiB, and with inode numbers too far apart for one run.
func TestLargeDirectories(t *testing.T) {
	tr := &tree.Tree{}
	imagetest.Put(t, tr, tree.NewDir(".", 0o755), tree.NewDir("far", 0o755))
	long := func(i int) string { return fmt.Sprintf("%s%d", strings.Repeat("n", i%(maxName-4)), i) }
	for _, n := range []int{255, 256, 257, 3000} {
		dir := fmt.Sprintf("d%d", n)
		imagetest.Put(t, tr, tree.NewDir(dir, 0o755))
		for i := range n {
			imagetest.Put(t, tr, tree.NewFile(dir+"/"+long(i), 0o644, []byte{byte(i)}))
		}
	}
	imagetest.Put(t, tr, tree.NewDir("a", 0o755))
	for i := range 40_000 {
		imagetest.Put(t, tr, tree.Entry{Path: fmt.Sprintf("a/%d", i), Kind: tree.Fifo})
	}
	for i := range 300 { // every other inode has a number that is more than 32,767 less
		e := tree.Entry{Path: fmt.Sprintf("far/%03d", i), Kind: tree.Fifo}
		if i%2 == 0 {
			e.Kind, e.Target = tree.HardLink, fmt.Sprintf("a/%d", i)
		}
		imagetest.Put(t, tr, e)
	}
	data, _ := writeImage(t, tr, Options{Compressor: compressor(t, "zstd", 1)})
	if diff := imagetest.Differences(t, tr, readImage(t, data)); diff != "" {
		t.Fatalf("our reader: %s", diff)
	}
	dir := mount(t, data)
	if diff := imagetest.Differences(t, tr, imagetest.HostTree(t, dir)); diff != "" { // looks every name up, too
		t.Fatalf("the kernel: %s", diff)
	}
	if _, err := os.Lstat(filepath.Join(dir, "d3000", "absent")); !os.IsNotExist(err) {
		t.Errorf("look-up of an absent name: %v", err)
	}
}

// TestLargeFile has a file beyond 4 GiB: extended inode, sparse blocks.
func TestLargeFile(t *testing.T) {
	const size = 4<<30 + 1<<20 + 77
	tr := &tree.Tree{}
	imagetest.Put(t, tr,
		tree.NewDir(".", 0o755),
		tree.Entry{Path: "large", Kind: tree.File, Mode: 0o644, Size: size, Source: imagetest.Large(size)},
		tree.NewFile("small", 0o644, []byte("after the large one")))
	data, stats := writeImage(t, tr, Options{Compressor: compressor(t, "zstd", 1), BlockSize: maxBlockSize})
	if want := size/maxBlockSize - 5; stats.SparseBlocks != want {
		t.Errorf("%d sparse blocks, want %d", stats.SparseBlocks, want)
	}
	if e := readImage(t, data).Get("large"); e.Size != size {
		t.Errorf("our reader: %d bytes, want %d", e.Size, int64(size))
	}
	imagetest.Large(size).Check(t, filepath.Join(mount(t, data), "large"))
}
