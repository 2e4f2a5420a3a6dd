package erofs

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"testing"

	"ashlar/internal/format/imagetest"
	"ashlar/internal/format/imagetree"
	"ashlar/internal/foundation/tree"
)

// TestExtents: in every manner of writing, the extents are as many plain bytes as
// the files that have no holes, none crosses another, and all of them are what the writer says
// it has stored.
func TestExtents(t *testing.T) {
	for name, opt := range manners(t) {
		for _, tr := range []*tree.Tree{sample(t), imagetest.Random(t, rand.New(rand.NewPCG(7, 8)), 60)} {
			data, stats := writeImage(t, tr, opt)
			checkExtents(t, name, readImage(t, data), stats)
		}
	}
}

func checkExtents(t *testing.T, manner string, tr *tree.Tree, stats Stats) {
	t.Helper()
	blocks := map[int64]imagetree.Extent{}
	for _, name := range tr.Paths() {
		e := tr.Get(name)
		if e.Kind != tree.File || e.Size == 0 {
			continue
		}
		list, ok, err := imagetree.Extents(e)
		if err != nil || !ok {
			t.Fatalf("%s, %s: %t, %v", manner, name, ok, err)
		}
		var plain int64
		for _, x := range list {
			plain += x.Plain
			if old, ok := blocks[x.Place]; ok && old.Stored != x.Stored && old.Tail {
				t.Errorf("%s, %s: %+v and %+v", manner, name, x, old)
			}
			if old := blocks[x.Place]; old.Stored < x.Stored {
				blocks[x.Place] = x
			}
		}
		if holes := e.Size - plain; holes < 0 || holes > 0 && holes < BlockSize {
			t.Errorf("%s, %s: %d bytes of %d", manner, name, plain, e.Size)
		}
	}
	var all []imagetree.Extent
	var whole, behind int64 // in blocks of their own, behind inodes
	for _, x := range blocks {
		all = append(all, x)
		if x.Place%BlockSize == 0 {
			whole += x.Stored
		} else {
			behind += x.Stored
		}
	}
	slices.SortFunc(all, func(a, b imagetree.Extent) int { return cmp.Compare(a.Place, b.Place) })
	for i, x := range all[1:] {
		if before := all[i]; before.Place+before.Stored > x.Place {
			t.Errorf("%s: %+v reaches into %+v", manner, before, x)
		}
	}
	if whole != stats.StoredBytes || behind < stats.TailBytes { // which are counted once a content
		t.Errorf("%s: the extents have %d and %d bytes, written were %d and %d", manner, whole, behind, stats.StoredBytes, stats.TailBytes)
	}
}

func TestExtentsOfOthers(t *testing.T) {
	e := tree.NewFile("f", 0o644, []byte("x"))
	if list, ok, err := imagetree.Extents(&e); ok || err != nil || list != nil {
		t.Errorf("%v, %t, %v", list, ok, err)
	}
}
