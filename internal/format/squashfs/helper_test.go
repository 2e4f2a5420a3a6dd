package squashfs

import (
	"bytes"
	"context"
	"testing"

	"ashlar/internal/format/imagetest"
	"ashlar/internal/foundation/tree"
)

func compressor(t testing.TB, name string, level int) Compressor {
	t.Helper()
	c, err := NewCompressor(name, level)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func writeImage(t testing.TB, tr *tree.Tree, opt Options) ([]byte, Stats) {
	t.Helper()
	var m imagetest.Memory
	stats, err := Write(context.Background(), &m, tr, opt)
	if err != nil {
		t.Fatal(err)
	}
	if int64(len(m.Data)) != stats.Size || stats.Size%padTo != 0 {
		t.Fatalf("image has %d bytes, the statistics say %d", len(m.Data), stats.Size)
	}
	return m.Data, stats
}

func readImage(t testing.TB, data []byte) *tree.Tree {
	t.Helper()
	r, err := Open(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	tr, err := r.Tree()
	if err != nil {
		t.Fatal(err)
	}
	return tr
}
