package squashfs

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"ashlar/internal/format/imagetest"
	"ashlar/internal/format/imagetree"
	"ashlar/internal/foundation/tree"
)

// TestExtents: what the extents name, each block once, is all that stands
// between the head of the image and its inodes; and it is the files' content.
func TestExtents(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for _, tr := range []*tree.Tree{imagetest.Sample(t), imagetest.Random(t, rng, 80), imagetest.Random(t, rng, 80)} {
		for _, name := range []string{"zstd", "none"} {
			data, _ := writeImage(t, tr, Options{Compressor: compressor(t, name, 0), BlockSize: minBlockSize})
			checkExtents(t, data)
		}
	}
}

func checkExtents(t *testing.T, data []byte) {
	t.Helper()
	r, err := Open(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	tr, err := r.Tree()
	if err != nil {
		t.Fatal(err)
	}
	blocks, first := map[int64]int64{}, int64(len(data))
	for _, name := range tr.Paths() {
		e := tr.Get(name)
		if e.Kind != tree.File || e.Size == 0 {
			continue
		}
		list, ok, err := imagetree.Extents(e)
		if err != nil || !ok {
			t.Fatalf("%s: %t, %v", name, ok, err)
		}
		content, err := e.ReadAll(e.Size)
		if err != nil {
			t.Fatal(err)
		}
		var stored []byte
		for _, x := range list {
			blocks[x.Place], first = x.Stored, min(first, x.Place)
			stored = append(stored, plainOf(t, r, x, data)...)
		}
		if !bytes.Equal(withoutHoles(content), withoutHoles(stored)) {
			t.Errorf("%s: its extents hold %d bytes that are not its %d", name, len(stored), len(content))
		}
	}
	var sum int64
	for _, n := range blocks {
		sum += n
	}
	if between := int64(r.super.InodeTable) - first; sum != between || first > superblockSize+16 {
		t.Errorf("the extents have %d bytes, from %d on; there are %d before the inodes", sum, first, between)
	}
}

// plainOf decompresses an extent.
func plainOf(t *testing.T, r *Reader, x imagetree.Extent, data []byte) []byte {
	t.Helper()
	raw := data[x.Place : x.Place+x.Stored]
	plain, err := r.un(raw, minBlockSize)
	if err != nil || int64(len(plain)) < x.Offset+x.Plain {
		plain = raw // stored as it is
	}
	return plain[x.Offset : x.Offset+x.Plain]
}

// withoutHoles leaves out blocks of zeros, which are stored nowhere.
func withoutHoles(data []byte) []byte {
	var kept []byte
	for len(data) > 0 {
		n := min(len(data), minBlockSize)
		if n < minBlockSize || bytes.Count(data[:n], []byte{0}) < n {
			kept = append(kept, data[:n]...)
		}
		data = data[n:]
	}
	return kept
}

func TestExtentsOfOthers(t *testing.T) {
	e := tree.NewFile("f", 0o644, []byte("x"))
	if list, ok, err := imagetree.Extents(&e); ok || err != nil || list != nil {
		t.Errorf("%v, %t, %v", list, ok, err)
	}
}
