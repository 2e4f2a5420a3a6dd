package squashfs

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ashlar/internal/foundation/tree"
)

// TestLargeDirectories has directories of one long run, of many, with an
// index, beyond 64 KiB, and with inode numbers too far apart for one run.
func TestLargeDirectories(t *testing.T) {
	tr := &tree.Tree{}
	put(t, tr, tree.NewDir(".", 0o755), tree.NewDir("far", 0o755))
	long := func(i int) string { return fmt.Sprintf("%s%d", strings.Repeat("n", i%(maxName-4)), i) }
	for _, n := range []int{255, 256, 257, 3000} {
		dir := fmt.Sprintf("d%d", n)
		put(t, tr, tree.NewDir(dir, 0o755))
		for i := range n {
			put(t, tr, tree.NewFile(dir+"/"+long(i), 0o644, []byte{byte(i)}))
		}
	}
	put(t, tr, tree.NewDir("a", 0o755))
	for i := range 40_000 {
		put(t, tr, tree.Entry{Path: fmt.Sprintf("a/%d", i), Kind: tree.Fifo})
	}
	for i := range 300 { // every other inode has a number that is more than 32,767 less
		e := tree.Entry{Path: fmt.Sprintf("far/%03d", i), Kind: tree.Fifo}
		if i%2 == 0 {
			e.Kind, e.Target = tree.HardLink, fmt.Sprintf("a/%d", i)
		}
		put(t, tr, e)
	}
	data, _ := writeImage(t, tr, Options{Compressor: compressor(t, "zstd", 1)})
	want := describe(t, tr)
	if got := describe(t, readImage(t, data)); got != want {
		t.Fatalf("our reader: %.2000s", cmp.Diff(want, got))
	}
	dir := mount(t, data)
	if got := describe(t, hostTree(t, dir)); got != want { // looks every name up, too
		t.Fatalf("the kernel: %.2000s", cmp.Diff(want, got))
	}
	if _, err := os.Lstat(filepath.Join(dir, "d3000", "absent")); !os.IsNotExist(err) {
		t.Errorf("look-up of an absent name: %v", err)
	}
}

// pattern is so many zeros, but for a mark at every GiB.
type pattern int64

// Open implements tree.Content.
func (p pattern) Open() (io.ReadCloser, error) {
	return io.NopCloser(io.LimitReader(&patternReader{}, int64(p))), nil
}

type patternReader struct{ at int64 }

const gib = 1 << 30

func mark() []byte { return []byte("here is a gibibyte") }

// Read implements io.Reader.
func (p *patternReader) Read(b []byte) (int, error) {
	n := min(int64(len(b)), gib-p.at%gib)
	clear(b[:n])
	if in := p.at % gib; in < int64(len(mark())) {
		copy(b[:n], mark()[in:])
	}
	p.at += n
	return int(n), nil
}

// TestLargeFile has a file beyond 4 GiB: extended inode, sparse blocks.
func TestLargeFile(t *testing.T) {
	const size = 4*gib + 1<<20 + 77
	tr := &tree.Tree{}
	put(t, tr,
		tree.NewDir(".", 0o755),
		tree.Entry{Path: "large", Kind: tree.File, Mode: 0o644, Size: size, Source: pattern(size)},
		tree.NewFile("small", 0o644, []byte("after the large one")))
	data, stats := writeImage(t, tr, Options{Compressor: compressor(t, "zstd", 1), BlockSize: maxBlockSize})
	if want := size/maxBlockSize - 5; stats.SparseBlocks != want {
		t.Errorf("%d sparse blocks, want %d", stats.SparseBlocks, want)
	}
	if e := readImage(t, data).Get("large"); e.Size != size {
		t.Errorf("our reader: %d bytes, want %d", e.Size, int64(size))
	}
	f, err := os.Open(filepath.Join(mount(t, data), "large"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if st, err := f.Stat(); err != nil || st.Size() != size {
		t.Fatalf("the kernel: %v, %v, want %d bytes", st, err, int64(size))
	}
	for at, want := range map[int64][]byte{0: mark(), gib: mark(), 4 * gib: mark(), size - 5: make([]byte, 5), 3*gib - 9: make([]byte, 9)} {
		got := make([]byte, len(want))
		if _, err := f.ReadAt(got, at); err != nil || !bytes.Equal(got, want) {
			t.Errorf("the kernel: %q at %d, %v, want %q", got, at, err, want)
		}
	}
}
