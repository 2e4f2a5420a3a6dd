package iso9660

import (
	"bytes"
	"testing"

	"ashlar/internal/format/imagetest"
	"ashlar/internal/foundation/tree"
)

const epoch = 1_750_000_000

// plain is a tree without what the format has no place for.
func plain(t testing.TB, tr *tree.Tree) *tree.Tree {
	t.Helper()
	tr = tr.Clone()
	if err := tr.Walk(func(e *tree.Entry) error { e.Xattrs = nil; return nil }); err != nil {
		t.Fatal(err)
	}
	return tr
}

// writeImage gives an image with marks where boot images are.
func writeImage(t testing.TB, tr *tree.Tree, opt Options) (*Plan, []byte) {
	t.Helper()
	plan, err := NewPlan(tr, opt)
	if err != nil {
		t.Fatal(err)
	}
	m := &imagetest.Memory{Data: make([]byte, plan.Size)}
	if err := plan.Write(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	if int64(len(m.Data)) != plan.Size {
		t.Fatalf("image of %d bytes, planned were %d", len(m.Data), plan.Size)
	}
	for _, place := range []Extent{plan.BIOS, plan.UEFI} {
		copy(m.Data[place.Offset:place.Offset+place.Size], bytes.Repeat([]byte("boot"), int(place.Size/4)))
	}
	return plan, m.Data
}

func readImage(t testing.TB, data []byte) (*Reader, *tree.Tree) {
	t.Helper()
	r, err := Open(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	tr, err := r.Tree()
	if err != nil {
		t.Fatal(err)
	}
	return r, tr
}
