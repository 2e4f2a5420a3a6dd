package erofs

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"ashlar/internal/format/imagetest"
	"ashlar/internal/format/imagetree"
)

// FuzzOpen reads images that someone changed. Every way must end in an error or
// in a tree whose contents can be read to their end or to an error.
func FuzzOpen(f *testing.F) {
	for _, opt := range []Options{{}, {ChunkSize: BlockSize}, {Compressor: compressor(f, "lz4", 3)}, {Compressor: frames(f), Fragments: true}} {
		data, _ := writeImage(f, imagetest.Small(f, 2*BlockSize), opt)
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
	for _, name := range tr.Paths() {
		if _, _, err := imagetree.Extents(tr.Get(name)); err != nil {
			return err
		}
	}
	return imagetest.ReadFiles(tr)
}

// TestDamaged flips and cuts bytes of good images.
func TestDamaged(t *testing.T) {
	for name, opt := range manners(t) {
		good, stats := writeImage(t, imagetest.Random(t, rand.New(rand.NewPCG(8, 4)), 60), opt)
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
	good, _ := writeImage(t, imagetest.Small(t, 2*BlockSize), Options{})
	for _, at := range []int{superOffset + 5, superOffset + 20, superOffset + 60, superOffset + 127, superOffset + 128, BlockSize - 1} {
		bad := bytes.Clone(good)
		bad[at] ^= 1
		if _, err := Open(bytes.NewReader(bad), int64(len(bad))); err == nil {
			t.Errorf("a wrong byte %d is not seen", at)
		}
	}
}
