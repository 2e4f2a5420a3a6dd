package squashfs

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
	for name, c := range map[string]struct {
		e    tree.Entry
		want string
	}{
		"acl":         {tree.Entry{Path: "f", Kind: tree.File, Xattrs: []tree.Xattr{{Name: "system.posix_acl_access"}}}, "user.*, trusted.* and security.* only"},
		"xattr order": {tree.Entry{Path: "f", Kind: tree.File, Xattrs: []tree.Xattr{{Name: "user.b"}, {Name: "user.a"}}}, "not sorted"},
		"xattr value": {tree.Entry{Path: "f", Kind: tree.File, Xattrs: []tree.Xattr{{Name: "user.b", Value: make([]byte, 65537)}}}, "65537 bytes"},
		"short":       {tree.Entry{Path: "f", Kind: tree.File, Size: 3, Source: tree.Bytes("ab")}, "has not the 3 bytes"},
		"long":        {tree.Entry{Path: "f", Kind: tree.File, Size: 1, Source: tree.Bytes("ab")}, "has not the 1 bytes"},
		"short block": {tree.Entry{Path: "f", Kind: tree.File, Size: 1 << 20, Source: tree.Bytes("ab")}, "has not the 1048576 bytes"},
		"unreadable":  {tree.Entry{Path: "f", Kind: tree.File, Size: 1 << 20, Source: imagetest.Broken{Err: failing}}, failing.Error()},
		"orphan":      {tree.Entry{Path: "d/f", Kind: tree.File}, "parent directory is missing"},
		"time":        {tree.Entry{Path: "f", Kind: tree.File, MTime: 1 << 32}, "time 4294967296"},
	} {
		tr := &tree.Tree{}
		imagetest.Put(t, tr, tree.NewDir(".", 0o755), c.e)
		_, err := Write(context.Background(), &imagetest.Memory{}, tr, Options{Compressor: None(), BlockSize: minBlockSize})
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
	for _, opt := range []Options{{BlockSize: 2048}, {BlockSize: 2 << 20}, {BlockSize: 100_000}, {Epoch: -1}, {Epoch: 1 << 32}} {
		if _, err := Write(context.Background(), &imagetest.Memory{}, tr, opt); err == nil {
			t.Errorf("options %+v are taken", opt)
		}
	}
	for _, c := range []struct {
		name  string
		level int
	}{{"xz", 0}, {"zstd", 23}, {"zstd", -1}, {"gzip", 10}, {"gzip", -1}, {"lz4", 13}, {"lz4", -1}, {"none", 1}} {
		if _, err := NewCompressor(c.name, c.level); err == nil {
			t.Errorf("compressor %s level %d is taken", c.name, c.level)
		}
	}
}

// TestManyOwners stands at the edge of what the id table holds.
func TestManyOwners(t *testing.T) {
	tr := &tree.Tree{}
	imagetest.Put(t, tr, tree.NewDir(".", 0o755))
	for i := range maxIDs { // with the root's 0
		imagetest.Put(t, tr, tree.Entry{Path: fmt.Sprintf("%05d", i), Kind: tree.Fifo, UID: uint32(i), GID: uint32(i)})
	}
	data, _ := writeImage(t, tr, Options{Compressor: None()})
	if got := readImage(t, data).Get("65534"); got.UID != 65534 || got.GID != 65534 {
		t.Errorf("owner %d:%d, want 65534", got.UID, got.GID)
	}
	imagetest.Put(t, tr, tree.Entry{Path: "more", Kind: tree.Fifo, UID: maxIDs})
	_, err := Write(context.Background(), &imagetest.Memory{}, tr, Options{Compressor: None()})
	if err == nil || !strings.Contains(err.Error(), "65536 different owners and groups") {
		t.Errorf("one owner too many: %v", err)
	}
}

func TestFullDisk(t *testing.T) {
	tr := imagetest.Sample(t)
	opt := Options{Compressor: compressor(t, "zstd", 1)}
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
	if _, err := Write(ctx, &imagetest.Memory{}, imagetest.Sample(t), Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled write: %v", err)
	}
}
