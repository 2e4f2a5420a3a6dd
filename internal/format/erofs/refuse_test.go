package erofs

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"ashlar/internal/format/imagetest"
	"ashlar/internal/foundation/tree"
)

func TestRefusals(t *testing.T) {
	failing := errors.New("disk on fire")
	many := make([]tree.Xattr, 5)
	for i := range many {
		many[i] = tree.Xattr{Name: fmt.Sprint("user.", i), Value: make([]byte, 65_000)}
	}
	for name, c := range map[string]struct {
		e    tree.Entry
		want string
	}{
		"xattr name":   {tree.Entry{Path: "f", Kind: tree.File, Xattrs: []tree.Xattr{{Name: "system.other"}}}, "POSIX ACLs only"},
		"almost acl":   {tree.Entry{Path: "f", Kind: tree.File, Xattrs: []tree.Xattr{{Name: "system.posix_acl_accessory"}}}, "POSIX ACLs only"},
		"xattr order":  {tree.Entry{Path: "f", Kind: tree.File, Xattrs: []tree.Xattr{{Name: "user.b"}, {Name: "user.a"}}}, "not sorted"},
		"xattr length": {tree.Entry{Path: "f", Kind: tree.File, Xattrs: []tree.Xattr{{Name: "user." + strings.Repeat("n", 256)}}}, "256 bytes behind its prefix"},
		"xattr value":  {tree.Entry{Path: "f", Kind: tree.File, Xattrs: []tree.Xattr{{Name: "user.b", Value: make([]byte, 65536)}}}, "65536 bytes"},
		"xattrs":       {tree.Entry{Path: "f", Kind: tree.File, Xattrs: many}, "xattrs of 325"},
		"short":        {tree.Entry{Path: "f", Kind: tree.File, Size: 3, Source: tree.Bytes("ab")}, "has not the 3 bytes"},
		"long":         {tree.Entry{Path: "f", Kind: tree.File, Size: 1, Source: tree.Bytes("ab")}, "has not the 1 bytes"},
		"unreadable":   {tree.Entry{Path: "f", Kind: tree.File, Size: 1 << 20, Source: imagetest.Broken{Err: failing}}, failing.Error()},
		"huge":         {tree.Entry{Path: "f", Kind: tree.File, Size: 1 << 45, Source: tree.Bytes("ab")}, "more than the format holds"},
		"orphan":       {tree.Entry{Path: "d/f", Kind: tree.File}, "parent directory is missing"},
		"time":         {tree.Entry{Path: "f", Kind: tree.File, MTime: -1}, "time -1 is before 1970"},
	} {
		tr := &tree.Tree{}
		imagetest.Put(t, tr, tree.NewDir(".", 0o755), c.e)
		_, err := Write(context.Background(), &imagetest.Memory{}, tr, Options{})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want an error with %q", name, err, c.want)
		}
	}
}

func TestRefusesOptions(t *testing.T) {
	tr := &tree.Tree{}
	if _, err := Write(context.Background(), &imagetest.Memory{}, tr, Options{}); err == nil || !strings.Contains(err.Error(), "no root directory") {
		t.Errorf("empty tree: %v", err)
	}
	imagetest.Put(t, tr, tree.NewDir(".", 0o755))
	for _, opt := range []Options{
		{ClusterSize: 2048}, {ClusterSize: 5000}, {ClusterSize: 2 << 20}, {ChunkSize: 2048}, {ChunkSize: 12 << 10}, {ChunkSize: 2 << 20},
		{ChunkSize: 4096, Compressor: compressor(t, "lz4", 1)}, {Epoch: -1}, {Label: "sixteen letters!"}, {Label: "a\x00b"},
	} {
		if _, err := Write(context.Background(), &imagetest.Memory{}, tr, opt); err == nil {
			t.Errorf("options %+v are taken", opt)
		}
	}
	for _, c := range []struct {
		name  string
		level int
	}{{"xz", 0}, {"lz4", 13}, {"lz4", -1}, {"none", 1}} {
		if _, err := NewCompressor(c.name, c.level); err == nil {
			t.Errorf("compressor %s level %d is taken", c.name, c.level)
		}
	}
	if name := compressor(t, "none", 0).Name() + ", " + compressor(t, "lz4", 3).Name(); name != "none, ashlar lz4 1 level 3" {
		t.Error(name)
	}
}

func TestFullDisk(t *testing.T) {
	tr := sample(t)
	opt := Options{Compressor: compressor(t, "lz4", 1)}
	_, stats := writeImage(t, tr, opt)
	for room := int64(0); room < stats.Size; room += stats.Size/9 + 1 {
		if _, err := Write(context.Background(), &imagetest.FullDisk{Room: room}, tr, opt); err == nil || !strings.Contains(err.Error(), "no space left") {
			t.Errorf("room for %d of %d bytes: %v", room, stats.Size, err)
		}
	}
}

func TestCancel(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Write(ctx, &imagetest.Memory{}, sample(t), Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled write: %v", err)
	}
}
