package erofs

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
	for _, opt := range []Options{{}, {ChunkSize: BlockSize}, {Compressor: compressor(f, "lz4", 3)}, {Compressor: frames(f), Fragments: true}} {
		data, _ := writeImage(f, seedTree(f), opt)
		f.Add(withoutChecksum(data))
	}
	f.Add(make([]byte, BlockSize))
	f.Fuzz(func(_ *testing.T, data []byte) { readAll(data) })
}

// withoutChecksum has the superblock say that it has none, so that a changed one is read.
func withoutChecksum(data []byte) []byte {
	data = bytes.Clone(data)
	data[superOffset+8] &^= compatChecksum
	return data
}

// seedTree has few bytes and one of most things.
func seedTree(t testing.TB) *tree.Tree {
	t.Helper()
	tr := &tree.Tree{}
	mark := []tree.Xattr{{Name: "trusted.t", Value: []byte("v")}}
	put(t, tr,
		tree.NewDir(".", 0o755), tree.NewDir("d", 0o755),
		tree.NewFile("d/block", 0o644, words(1, 2*BlockSize+10)), tree.NewFile("d/zeros", 0o644, make([]byte, 2*BlockSize)),
		tree.Entry{Path: "d/link", Kind: tree.HardLink, Target: "d/block"},
		tree.NewSymlink("s", "d"), tree.Entry{Path: "fifo", Kind: tree.Fifo, Xattrs: mark},
		tree.Entry{Path: "null", Kind: tree.CharDevice, Major: 1, Minor: 3, Xattrs: mark})
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

// TestDamaged flips and cuts bytes of good images.
func TestDamaged(t *testing.T) {
	for name, opt := range manners(t) {
		good, stats := writeImage(t, randomTree(t, rand.New(rand.NewPCG(8, 4)), 60), opt)
		good = withoutChecksum(good)
		if err := readAll(good); err != nil {
			t.Fatal(err)
		}
		rng := rand.New(rand.NewPCG(1, 1))
		refused := 0
		const rounds = 300
		for range rounds {
			bad := bytes.Clone(good)
			from := len(bad) - int(stats.MetadataBytes)
			for range 1 + rng.IntN(3) {
				at := superOffset + rng.IntN(superblockSize)
				if rng.IntN(4) > 0 {
					at = from + rng.IntN(len(bad)-from)
				}
				bad[at] = byte(rng.Uint32())
			}
			if readAll(bad) != nil {
				refused++
			}
		}
		if refused < rounds/10 {
			t.Errorf("%s: only %d of %d damaged images are refused", name, refused, rounds)
		}
		for n := 0; n < len(good); n += 9973 {
			if readAll(good[:n]) == nil {
				t.Fatalf("%s: the first %d of %d bytes are read without an error", name, n, len(good))
			}
		}
	}
}

// TestChecksum has every byte of the superblock's block judged.
func TestChecksum(t *testing.T) {
	good, _ := writeImage(t, seedTree(t), Options{})
	for _, at := range []int{superOffset + 5, superOffset + 20, superOffset + 60, superOffset + 127, superOffset + 128, BlockSize - 1} {
		bad := bytes.Clone(good)
		bad[at] ^= 1
		if _, err := Open(bytes.NewReader(bad), int64(len(bad))); err == nil {
			t.Errorf("a wrong byte %d is not seen", at)
		}
	}
}
