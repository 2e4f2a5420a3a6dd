package erofs

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ashlar/internal/format/imagetest"
	"ashlar/internal/foundation/tree"
)

// TestLargeDirectories has directories of one block, of many, with names of
// all lengths and such that sort before ".", and many hard links to a file.
func TestLargeDirectories(t *testing.T) {
	tr := &tree.Tree{}
	imagetest.Put(t, tr, tree.NewDir(".", 0o755), tree.NewDir("dots", 0o755), tree.NewFile("one", 0o644, []byte("1")))
	for _, name := range []string{"!", "+", "-", "-x", ".-", "..-", "...", ".a", "/a", "\x01", "\xff"} {
		imagetest.Put(t, tr, tree.Entry{Path: "dots/" + strings.ReplaceAll(name, "/", "%"), Kind: tree.Fifo})
	}
	long := func(i int) string { return fmt.Sprintf("%s%d", strings.Repeat("n", i%(maxName-4)), i) }
	for _, n := range []int{10, 11, 12, 13, 255, 3000} {
		dir := fmt.Sprintf("d%d", n)
		imagetest.Put(t, tr, tree.NewDir(dir, 0o755))
		for i := range n {
			imagetest.Put(t, tr, tree.NewFile(dir+"/"+long(i), 0o644, []byte{byte(i)}))
		}
	}
	imagetest.Put(t, tr, tree.NewDir("links", 0o755))
	for i := range 66_000 { // more than a compact inode counts
		imagetest.Put(t, tr, tree.Entry{Path: fmt.Sprintf("links/%d", i), Kind: tree.HardLink, Target: "one"})
	}
	data, _ := writeImage(t, tr, Options{})
	if diff := imagetest.Differences(t, tr, readImage(t, data)); diff != "" {
		t.Fatalf("our reader: %s", diff)
	}
	dir := mount(t, data)
	if diff := imagetest.Differences(t, tr, imagetest.HostTree(t, dir)); diff != "" { // looks every name up, too
		t.Fatalf("the kernel: %s", diff)
	}
	for _, absent := range []string{"d3000/absent", "d3000/zzz", "d3000/\x01", "dots/.b"} {
		if _, err := os.Lstat(filepath.Join(dir, absent)); !os.IsNotExist(err) {
			t.Errorf("look-up of %q: %v", absent, err)
		}
	}
}

// TestKernelRandom mounts random trees.
func TestKernelRandom(t *testing.T) {
	for name, opt := range manners(t) {
		tr := imagetest.Random(t, rand.New(rand.NewPCG(uint64(len(name)), 5)), 500)
		data, _ := writeImage(t, tr, opt)
		if diff := imagetest.Differences(t, tr, imagetest.HostTree(t, mount(t, data))); diff != "" {
			t.Fatalf("%s: %s", name, diff)
		}
	}
}

// TestKernelReadsAnywhere reads parts of files whose extents have many lengths.
func TestKernelReadsAnywhere(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 3))
	var data []byte
	for len(data) < 3<<20 {
		switch n := 1 + rng.IntN(60_000); rng.IntN(4) {
		case 0:
			data = append(data, imagetest.Noise(rng.Uint64(), n)...)
		case 1:
			data = append(data, make([]byte, 2*n)...)
		default:
			data = append(data, imagetest.Words(rng.Uint64(), n)...)
		}
	}
	tr := &tree.Tree{}
	imagetest.Put(t, tr, tree.NewDir(".", 0o755), tree.NewFile("f", 0o644, data))
	for name, opt := range manners(t) {
		image, _ := writeImage(t, tr, opt)
		f, err := os.Open(filepath.Join(mount(t, image), "f"))
		if err != nil {
			t.Fatal(err)
		}
		for range 300 {
			at := rng.IntN(len(data))
			part := make([]byte, min(1+rng.IntN(20_000), len(data)-at))
			if _, err := f.ReadAt(part, int64(at)); err != nil || !bytes.Equal(part, data[at:at+len(part)]) {
				t.Errorf("%s: %d bytes at %d: %v", name, len(part), at, err)
				break
			}
		}
		f.Close()
	}
}

// TestLargeFile has a file beyond 4 GiB, with holes and compressed.
func TestLargeFile(t *testing.T) {
	const size = 4<<30 + 1<<20 + 77
	tr := &tree.Tree{}
	imagetest.Put(t, tr,
		tree.NewDir(".", 0o755),
		tree.Entry{Path: "large", Kind: tree.File, Mode: 0o644, Size: size, Source: imagetest.Large(size)},
		tree.NewFile("small", 0o644, []byte("after the large one")))
	for name, opt := range map[string]Options{"plain": {}, "lz4": {Compressor: compressor(t, "lz4", 1)}} {
		data, stats := writeImage(t, tr, opt)
		if name == "plain" && stats.StoredBytes > 1<<20+5*segmentSize {
			t.Errorf("%d bytes are stored", stats.StoredBytes)
		}
		if e := readImage(t, data).Get("large"); e.Size != size {
			t.Errorf("%s: our reader: %d bytes, want %d", name, e.Size, int64(size))
		}
		imagetest.Large(size).Check(t, filepath.Join(mount(t, data), "large"))
	}
}
