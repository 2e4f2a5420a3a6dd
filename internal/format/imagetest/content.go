package imagetest

import (
	"bytes"
	"io"
	"os"
	"strings"
	"testing"
)

// Broken is content that gives some bytes and then an error.
type Broken struct{ Err error }

// Open implements tree.Content.
func (b Broken) Open() (io.ReadCloser, error) {
	return io.NopCloser(io.MultiReader(strings.NewReader("some bytes"), b)), nil
}

// Read implements io.Reader.
func (b Broken) Read([]byte) (int, error) { return 0, b.Err }

// Large is content of so many bytes, at least 4 GiB and some more: zeros, but
// for a mark at every GiB.
type Large int64

const gib = 1 << 30

func mark() []byte { return []byte("here is a gibibyte") }

// Open implements tree.Content.
func (l Large) Open() (io.ReadCloser, error) {
	return io.NopCloser(io.LimitReader(&largeReader{}, int64(l))), nil
}

type largeReader struct{ at int64 }

// Read implements io.Reader.
func (r *largeReader) Read(b []byte) (int, error) {
	n := min(int64(len(b)), gib-r.at%gib)
	clear(b[:n])
	if in := r.at % gib; in < int64(len(mark())) {
		copy(b[:n], mark()[in:])
	}
	r.at += n
	return int(n), nil
}

// Check looks at the ends of a file of the host that should have the content,
// and at some places between.
func (l Large) Check(t testing.TB, name string) {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	size := int64(l)
	if st, err := f.Stat(); err != nil || st.Size() != size {
		t.Fatalf("the kernel: %v, %v, want %d bytes", st, err, size)
	}
	for at, want := range map[int64][]byte{0: mark(), gib: mark(), 4 * gib: mark(), size - 5: make([]byte, 5), 3*gib - 9: make([]byte, 9)} {
		got := make([]byte, len(want))
		if _, err := f.ReadAt(got, at); err != nil || !bytes.Equal(got, want) {
			t.Errorf("the kernel: %q at %d, %v, want %q", got, at, err, want)
		}
	}
}
