package erofs

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"ashlar/internal/format/imagetest"
	"ashlar/internal/foundation/tree"
)

// compressor fails the test if there is no such compressor.
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
	if int64(len(m.Data)) != stats.Size || stats.Size%BlockSize != 0 {
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

// acl is a POSIX ACL as the kernel takes it: version 2, then tag, rights and id of each
// entry: the owner, user 7, the group, the mask and others.
func acl() []byte {
	out := order.AppendUint32(nil, 2)
	for _, e := range [][3]uint32{{1, 7, 1<<32 - 1}, {2, 5, 7}, {4, 5, 1<<32 - 1}, {0x10, 5, 1<<32 - 1}, {0x20, 5, 1<<32 - 1}} {
		out = order.AppendUint16(order.AppendUint16(out, uint16(e[0])), uint16(e[1]))
		out = order.AppendUint32(out, e[2])
	}
	return out
}

// sample is the tree that all images are tested with, and what this format has besides.
func sample(t testing.TB) *tree.Tree {
	t.Helper()
	tr := imagetest.Sample(t)
	bin := tr.Get("bin")
	bin.Xattrs = append([]tree.Xattr{{Name: "system.posix_acl_access", Value: acl()}}, bin.Xattrs...)
	imagetest.Put(t, tr, tree.Entry{Path: "bin/marked", Kind: tree.File, Mode: 0o640, UID: 70_000, Size: 9000, Source: tree.Bytes(imagetest.Words(9, 9000)),
		Xattrs: []tree.Xattr{{Name: "security.long", Value: imagetest.Noise(3, 5000)}, {Name: "trusted.overlay.opaque", Value: []byte("y")}, {Name: "user." + strings.Repeat("n", 250), Value: []byte("v")}}})
	return tr
}
