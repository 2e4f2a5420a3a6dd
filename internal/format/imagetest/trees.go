package imagetest

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"ashlar/internal/foundation/digest"
	"ashlar/internal/foundation/tree"
)

// Sample has every kind of entry and of content, with xattrs, hard links on
// both sides of their file, duplicates, zeros and names that sort around "/". Golden
// digests hold images of it.
func Sample(t testing.TB) *tree.Tree {
	t.Helper()
	capability := []tree.Xattr{{Name: "security.capability", Value: []byte("\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00")}}
	file := func(name string, data []byte) tree.Entry {
		e := tree.NewFile(name, 0o644, data)
		e.MTime = 1_700_000_000
		return e
	}
	ping := file("bin/ping", Words(1, 70_000))
	ping.Mode, ping.Xattrs = 0o4755, capability
	anonymous := file("data/copy-without-digest", Words(2, 300_000))
	anonymous.Digest = digest.Digest{}
	hole := append(append(Words(3, 4096), make([]byte, 1<<20)...), Words(4, 5000)...)
	tr := &tree.Tree{}
	Put(t, tr,
		tree.Entry{Path: ".", Kind: tree.Dir, Mode: 0o755, MTime: 100},
		tree.Entry{Path: "bin", Kind: tree.Dir, Mode: 0o755, UID: 5, GID: 6, MTime: 1_900_000_000,
			Xattrs: []tree.Xattr{{Name: "trusted.overlay.opaque", Value: []byte("y")}, {Name: "user.empty", Value: []byte{}}}},
		ping,
		tree.Entry{Path: "bin/a-link", Kind: tree.HardLink, Target: "bin/ping"},
		tree.Entry{Path: "z-link", Kind: tree.HardLink, Target: "bin/ping"},
		file("bin-first", []byte("sorts before bin/")),
		file("bin.last", []byte("sorts before bin/ too")),
		tree.NewDir("data", 0o1777),
		file("data/original", Words(2, 300_000)),
		anonymous,
		file("data/noise", Noise(5, 150_001)),
		file("data/hole", hole),
		file("data/zeros", make([]byte, 1<<20)),
		file("data/empty", nil),
		file("data/whole", Words(6, 128<<10)),
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

// Small has few bytes and one of most things. Its file is ten bytes longer than
// the unit of a format.
func Small(t testing.TB, unit int) *tree.Tree {
	t.Helper()
	tr := &tree.Tree{}
	mark := []tree.Xattr{{Name: "trusted.t", Value: []byte("v")}}
	Put(t, tr,
		tree.NewDir(".", 0o755), tree.NewDir("d", 0o755),
		tree.NewFile("d/block", 0o644, Words(1, unit+10)), tree.NewFile("d/zeros", 0o644, make([]byte, unit)),
		tree.Entry{Path: "d/link", Kind: tree.HardLink, Target: "d/block"},
		tree.NewSymlink("s", "d"), tree.Entry{Path: "fifo", Kind: tree.Fifo, Xattrs: mark},
		tree.Entry{Path: "null", Kind: tree.CharDevice, Major: 1, Minor: 3, Xattrs: mark})
	return tr
}

// Random makes a tree of n entries of all kinds. Half of the times are few
// different ones, as formats may have a short form for them.
func Random(t testing.TB, rng *rand.Rand, n int) *tree.Tree {
	t.Helper()
	tr := &tree.Tree{}
	Put(t, tr, tree.NewDir(".", 0o755))
	dirs, inodes := []string{"."}, []string(nil)
	for i := range n {
		name, err := tree.Clean(dirs[rng.IntN(len(dirs))] + "/" + strings.Repeat("name-.", rng.IntN(9)) + fmt.Sprint(i))
		if err != nil {
			t.Fatal(err)
		}
		e := randomEntry(rng, name)
		if rng.IntN(12) == 0 && len(inodes) > 0 {
			e = tree.Entry{Path: name, Kind: tree.HardLink, Target: inodes[rng.IntN(len(inodes))]}
		}
		Put(t, tr, e)
		switch e.Kind {
		case tree.Dir:
			dirs = append(dirs, name)
		case tree.HardLink:
		default:
			inodes = append(inodes, name)
		}
	}
	return tr
}

func randomEntry(rng *rand.Rand, name string) tree.Entry {
	e := tree.Entry{Path: name, Kind: tree.File, Mode: uint32(rng.IntN(0o10000)), UID: uint32(rng.IntN(5)), GID: rng.Uint32(), MTime: int64(rng.Uint32())}
	if rng.IntN(2) == 0 {
		e.MTime = e.MTime % 3 * 1000
	}
	if rng.IntN(6) == 0 { // user.* is for files and directories only
		e.Xattrs = []tree.Xattr{{Name: "security.s", Value: Noise(uint64(rng.IntN(3)), rng.IntN(300))}, {Name: "trusted.t", Value: []byte("v")}}
	}
	switch kind := rng.IntN(11); {
	case kind < 2:
		e.Kind = tree.Dir
	case kind == 2:
		e.Kind, e.Target = tree.Symlink, strings.Repeat("t", 1+rng.IntN(200))
	case kind == 3:
		e.Kind, e.Major, e.Minor = tree.CharDevice, uint32(rng.IntN(4096)), uint32(rng.IntN(1<<20))
	case kind == 4:
		e.Kind = tree.Fifo
	default:
		data := randomContent(rng)
		e.Size, e.Source = int64(len(data)), tree.Bytes(data)
		if rng.IntN(2) == 0 {
			e.Digest = digest.Of(data)
		}
	}
	return e
}
