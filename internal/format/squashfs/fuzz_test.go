package squashfs

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
	for _, name := range []string{"zstd", "gzip", "lz4", "none"} {
		data, _ := writeImage(f, imagetest.Small(f, minBlockSize), Options{Compressor: compressor(f, name, 0), BlockSize: minBlockSize})
		super, err := decodeSuperblock(data, int64(len(data)))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data[:super.Used]) // without the padding: small seeds are quicker
	}
	f.Add(make([]byte, superblockSize))
	f.Fuzz(func(_ *testing.T, data []byte) { readAll(data) })
}

// readAll reads all that an image holds, of each file the first 64 KiB and
// where it is stored, and reports the first error.
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

// TestDamaged flips and cuts bytes of good images. Metadata that is not compressed
// reaches the most checks.
func TestDamaged(t *testing.T) {
	for _, name := range []string{"none", "zstd", "lz4"} {
		good, stats := writeImage(t, imagetest.Random(t, rand.New(rand.NewPCG(8, 4)), 60), Options{Compressor: compressor(t, name, 0), BlockSize: minBlockSize})
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
