package iso9660

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"ashlar/internal/format/imagetest"
	"ashlar/internal/foundation/tree"
)

// small is an image of few blocks without its system area, which nobody reads.
func small(f testing.TB) []byte {
	tr := &tree.Tree{}
	imagetest.Put(f, tr, tree.NewDir(".", 0o755), tree.NewDir("d", 0o755), tree.NewFile("d/f", 0o644, []byte("text")),
		tree.Entry{Path: "d/g", Kind: tree.HardLink, Target: "d/f"}, tree.NewSymlink("l", "/d/../d/f"),
		tree.NewSymlink("m", string(bytes.Repeat([]byte("x/"), 300))), tree.Entry{Path: "c", Kind: tree.CharDevice, Major: 5, Minor: 1})
	_, data := writeImage(f, tr, Options{VolumeID: "FUZZ", BIOS: 2048})
	return data[SystemArea:]
}

// FuzzOpen reads images that someone changed. Every way must end in an error or
// in a tree whose contents can be read to their end or to an error.
func FuzzOpen(f *testing.F) {
	good := small(f)
	f.Add(good)
	f.Add(good[:3*BlockSize])
	f.Add([]byte("\x01CD001\x01"))
	f.Fuzz(func(_ *testing.T, data []byte) { _ = readAll(append(make([]byte, SystemArea), data...)) })
}

func readAll(data []byte) error {
	r, err := Open(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return err
	}
	tr, err := r.Tree()
	if err != nil {
		return err
	}
	return imagetest.ReadFiles(tr)
}

func TestDamaged(t *testing.T) {
	good := append(make([]byte, SystemArea), small(t)...)
	if err := readAll(good); err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, 1))
	refused := 0
	const rounds = 4000
	for range rounds {
		bad := bytes.Clone(good)
		for range 1 + rng.IntN(8) {
			bad[SystemArea+rng.IntN(len(bad)-SystemArea)] = byte(rng.Uint32())
		}
		if readAll(bad) != nil {
			refused++
		}
	}
	if refused < rounds/20 {
		t.Errorf("only %d of %d damaged images are refused", refused, rounds)
	}
	for n := 0; n < len(good); n += 97 {
		if readAll(good[:n]) == nil {
			t.Fatalf("the first %d of %d bytes are read without an error", n, len(good))
		}
	}
}

// TestLoops has directories that hold themselves or each other.
func TestLoops(t *testing.T) {
	tr := &tree.Tree{}
	imagetest.Put(t, tr, tree.NewDir(".", 0o755), tree.NewDir("a", 0o755), tree.NewDir("a/b", 0o755))
	plan, data := writeImage(t, tr, Options{})
	a, b := plan.dirs[1], plan.dirs[2]
	listing := data[a.data.Offset:]
	at := a.records[0].size + a.records[1].size
	for _, to := range []*node{a, plan.dirs[0]} {
		copy(listing[at+2:], both(uint32(to.data.Offset/BlockSize)))
		if err := readAll(data); err == nil {
			t.Errorf("a loop to %s is read", to.entry.Path)
		}
	}
	copy(listing[at+2:], both(uint32(b.data.Offset/BlockSize)))
	if err := readAll(data); err != nil {
		t.Error(err)
	}
}
