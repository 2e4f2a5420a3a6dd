package squashfs

import (
	"bytes"
	"io"
	"math/rand/v2"
	"testing"

	"ashlar/internal/foundation/tree"
)

// FuzzOpen reads images that someone changed. Every way must end in an error or
// in a tree whose contents can be read to their end or to an error.
func FuzzOpen(f *testing.F) {
	for _, name := range []string{"zstd", "gzip", "none"} {
		data, _ := writeImage(f, seedTree(f), Options{Compressor: compressor(f, name, 0), BlockSize: minBlockSize})
		super, err := decodeSuperblock(data, int64(len(data)))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data[:super.Used]) // without the padding: small seeds are quicker
	}
	f.Add(make([]byte, superblockSize))
	f.Fuzz(func(_ *testing.T, data []byte) { readAll(data) })
}

// seedTree has few bytes and one of most things.
func seedTree(t testing.TB) *tree.Tree {
	t.Helper()
	tr := &tree.Tree{}
	put(t, tr,
		tree.NewDir(".", 0o755), tree.NewDir("d", 0o755),
		tree.NewFile("d/block", 0o644, words(1, minBlockSize+10)), tree.NewFile("d/zeros", 0o644, make([]byte, minBlockSize)),
		tree.Entry{Path: "d/link", Kind: tree.HardLink, Target: "d/block"},
		tree.NewSymlink("s", "d"), tree.Entry{Path: "fifo", Kind: tree.Fifo},
		tree.Entry{Path: "null", Kind: tree.CharDevice, Major: 1, Minor: 3, Xattrs: []tree.Xattr{{Name: "trusted.t", Value: []byte("v")}}})
	return tr
}

// readAll reads all that an image holds, of each file the first 64 KiB, and reports the first error.
func readAll(data []byte) error {
	r, err := Open(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return err
	}
	tr, err := r.Tree()
	if err != nil {
		return err
	}
	left := int64(4 << 20)
	return tr.Walk(func(e *tree.Entry) error {
		if e.Kind != tree.File || left <= 0 {
			return nil
		}
		content, err := e.Open()
		if err != nil {
			return err
		}
		defer content.Close()
		n, err := io.Copy(io.Discard, io.LimitReader(content, 64<<10))
		left -= n
		return err
	})
}

// TestDamaged flips and cuts bytes of good images. Metadata that is not compressed
// reaches the most checks.
func TestDamaged(t *testing.T) {
	for _, name := range []string{"none", "zstd"} {
		good, stats := writeImage(t, randomTree(t, rand.New(rand.NewPCG(8, 4)), 60), Options{Compressor: compressor(t, name, 0), BlockSize: minBlockSize})
		if err := readAll(good); err != nil {
			t.Fatal(err)
		}
		rng := rand.New(rand.NewPCG(1, 1))
		refused := 0
		const rounds = 3000
		for range rounds {
			bad := bytes.Clone(good)
			from := len(bad) - int(stats.MetadataBytes) - padTo
			for range 1 + rng.IntN(3) {
				at := rng.IntN(superblockSize)
				if rng.IntN(4) > 0 {
					at = from + rng.IntN(len(bad)-from)
				}
				bad[at] = byte(rng.Uint32())
			}
			if readAll(bad) != nil {
				refused++
			}
		}
		if refused < rounds/4 {
			t.Errorf("%s: only %d of %d damaged images are refused", name, refused, rounds)
		}
		for n := 0; n < int(len(good)-padTo); n += 97 {
			if readAll(good[:n]) == nil {
				t.Fatalf("%s: the first %d of %d bytes are read without an error", name, n, len(good))
			}
		}
	}
}
