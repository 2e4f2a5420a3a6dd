package erofs

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"ashlar/internal/foundation/digest"
	"ashlar/internal/foundation/tree"
)

// memory is an image in memory.
type memory struct{ data []byte }

func (m *memory) WriteAt(p []byte, at int64) (int, error) {
	if end := int(at) + len(p); end > len(m.data) {
		m.data = append(m.data, make([]byte, end-len(m.data))...)
	}
	return copy(m.data[at:], p), nil
}

// blockMap is a BlockCache in memory.
type blockMap struct {
	mu     sync.Mutex
	blocks map[string][]byte
}

func (b *blockMap) Get(key string) ([]byte, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	block, ok := b.blocks[key]
	return block, ok
}

func (b *blockMap) Put(key string, block []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.blocks[key] = bytes.Clone(block)
}

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
	var m memory
	stats, err := Write(context.Background(), &m, tr, opt)
	if err != nil {
		t.Fatal(err)
	}
	if int64(len(m.data)) != stats.Size || stats.Size%BlockSize != 0 {
		t.Fatalf("image has %d bytes, the statistics say %d", len(m.data), stats.Size)
	}
	return m.data, stats
}

func imageFile(t testing.TB, data []byte) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "image.erofs")
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
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

// describe shows all that a tree holds, a line for each path. Names of one
// inode show the first of them by path.
func describe(t testing.TB, tr *tree.Tree) string {
	t.Helper()
	var b strings.Builder
	owners := map[string]string{}
	for _, p := range tr.Paths() {
		e, key := tr.Get(p), p
		if e.Kind == tree.HardLink {
			key = e.Target
			e = tr.Get(key)
		}
		if owners[key] == "" {
			owners[key] = p
		}
		fmt.Fprintf(&b, "%s=%s %s %o %d:%d %d %d,%d %q %d", p, owners[key], e.Kind, e.Mode, e.UID, e.GID, e.MTime, e.Major, e.Minor, e.Target, e.Size)
		if e.Kind == tree.File {
			sum, err := digestOf(e)
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(&b, " %s", sum)
		}
		for _, x := range e.Xattrs {
			fmt.Fprintf(&b, " %s=%x", x.Name, x.Value)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func put(t testing.TB, tr *tree.Tree, entries ...tree.Entry) {
	t.Helper()
	for _, e := range entries {
		if err := tr.Put(e); err != nil {
			t.Fatal(err)
		}
	}
}

// words gives n bytes of text that compresses as text does.
func words(seed uint64, n int) []byte {
	rng := rand.New(rand.NewPCG(seed, 7))
	out := make([]byte, 0, n+8)
	for len(out) < n {
		out = fmt.Appendf(out, "%x ", rng.IntN(4000))
	}
	return out[:n]
}

func noise(seed uint64, n int) []byte {
	rng := rand.New(rand.NewPCG(seed, 9))
	out := make([]byte, n)
	for i := range out {
		out[i] = byte(rng.Uint32())
	}
	return out
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

// sample has every kind of entry and of content, with xattrs, hard links on
// both sides of their file, duplicates, zeros and names that sort around "/".
func sample(t testing.TB) *tree.Tree {
	t.Helper()
	capability := []tree.Xattr{{Name: "security.capability", Value: []byte("\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00")}}
	file := func(name string, data []byte) tree.Entry {
		e := tree.NewFile(name, 0o644, data)
		e.MTime = 1_700_000_000
		return e
	}
	ping := file("bin/ping", words(1, 70_000))
	ping.Mode, ping.Xattrs = 0o4755, capability
	anonymous := file("data/copy-without-digest", words(2, 300_000))
	anonymous.Digest = digest.Digest{}
	hole := append(append(words(3, 4096), make([]byte, 1<<20)...), words(4, 5000)...)
	tr := &tree.Tree{}
	put(t, tr,
		tree.Entry{Path: ".", Kind: tree.Dir, Mode: 0o755, MTime: 100},
		tree.Entry{Path: "bin", Kind: tree.Dir, Mode: 0o755, UID: 5, GID: 6, MTime: 1_900_000_000,
			Xattrs: []tree.Xattr{{Name: "system.posix_acl_access", Value: acl()}, {Name: "trusted.overlay.opaque", Value: []byte("y")}, {Name: "user.empty", Value: []byte{}}}},
		tree.Entry{Path: "bin/marked", Kind: tree.File, Mode: 0o640, UID: 70_000, Size: 9000, Source: tree.Bytes(words(9, 9000)),
			Xattrs: []tree.Xattr{{Name: "security.long", Value: noise(3, 5000)}, {Name: "trusted.overlay.opaque", Value: []byte("y")}, {Name: "user." + strings.Repeat("n", 250), Value: []byte("v")}}},
		ping,
		tree.Entry{Path: "bin/a-link", Kind: tree.HardLink, Target: "bin/ping"},
		tree.Entry{Path: "z-link", Kind: tree.HardLink, Target: "bin/ping"},
		file("bin-first", []byte("sorts before bin/")),
		file("bin.last", []byte("sorts before bin/ too")),
		tree.NewDir("data", 0o1777),
		file("data/original", words(2, 300_000)),
		anonymous,
		file("data/noise", noise(5, 150_001)),
		file("data/hole", hole),
		file("data/zeros", make([]byte, 1<<20)),
		file("data/empty", nil),
		file("data/whole", words(6, 128<<10)),
		tree.NewDir("dev", 0o755),
		tree.Entry{Path: "dev/console", Kind: tree.CharDevice, Mode: 0o600, Major: 5, Minor: 1},
		tree.Entry{Path: "dev/big", Kind: tree.BlockDevice, Mode: 0o660, GID: 6, Major: 4095, Minor: 1_048_575, Xattrs: capability},
		tree.Entry{Path: "dev/pipe", Kind: tree.Fifo, Mode: 0o644, UID: 4_294_967_294},
		tree.Entry{Path: "dev/pipe2", Kind: tree.HardLink, Target: "dev/pipe"},
		tree.Entry{Path: "dev/sock", Kind: tree.Socket, Mode: 0o755, Xattrs: capability},
		tree.NewSymlink("link", "bin/ping"),
		tree.Entry{Path: "marked-link", Kind: tree.Symlink, Mode: 0o777, Target: strings.Repeat("x/", 2000),
			Xattrs: []tree.Xattr{{Name: "trusted.t", Value: []byte("1")}}},
		tree.NewDir("void", 0o700),
	)
	return tr
}
