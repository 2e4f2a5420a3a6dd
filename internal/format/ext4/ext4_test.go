package ext4

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"ashlar/internal/foundation/tree"
	"ashlar/internal/foundation/uuid"
	"ashlar/internal/testenv"
)

const epoch = 1_750_000_000

func options(size int64) Options {
	return Options{Size: size, UUID: uuid.Derive("test", "fs"), HashSeed: uuid.Derive("test", "hash"), Label: "ashlar-state", Epoch: epoch}
}

// example has one of everything the writer stores.
func example(t testing.TB) *tree.Tree {
	t.Helper()
	tr := &tree.Tree{}
	put := func(e tree.Entry) {
		if e.MTime == 0 {
			e.MTime = 1_600_000_000
		}
		if err := tr.Put(e); err != nil {
			t.Fatal(err)
		}
		if err := tr.AddParents(e.Path, 0o755, 1_700_000_000); err != nil {
			t.Fatal(err)
		}
	}
	for _, size := range []int{0, 1, 59, 60, 4095, 4096, 4097, 300_000} {
		put(tree.NewFile(fmt.Sprintf("files/%d", size), 0o640, bytes.Repeat([]byte("stone "), size/6+1)[:size]))
	}
	put(tree.NewFile("files/zeros", 0o600, append(make([]byte, 100_000), 'x')))
	for i := range 700 {
		put(tree.NewFile(fmt.Sprintf("many/a file with a rather long name %04d", i), 0o644, []byte{byte(i)}))
	}
	put(tree.NewDir("empty", 0o1777))
	put(tree.NewSymlink("links/fast", strings.Repeat("f", 59)))
	put(tree.NewSymlink("links/slow", strings.Repeat("s", 60)))
	put(tree.NewSymlink("links/slowest", strings.Repeat("t", 4095)))
	put(tree.Entry{Path: "dev/null", Kind: tree.CharDevice, Mode: 0o666, Major: 1, Minor: 3})
	put(tree.Entry{Path: "dev/big", Kind: tree.BlockDevice, Mode: 0o660, GID: 6, Major: 259, Minor: 70000})
	put(tree.Entry{Path: "dev/fifo", Kind: tree.Fifo, Mode: 0o600})
	put(tree.Entry{Path: "dev/socket", Kind: tree.Socket, Mode: 0o600})
	owned := tree.NewFile("owned", 0o4755, []byte("set-id"))
	owned.UID, owned.GID, owned.MTime = 100_000, 4_000_000_000, epoch+5
	put(owned)
	put(tree.Entry{Path: "hard/a", Kind: tree.HardLink, Target: "owned"})
	put(tree.Entry{Path: "hard/b", Kind: tree.HardLink, Target: "owned"})
	old := tree.NewFile("old", 0o644, []byte("before 1970"))
	old.MTime = -1000
	put(old)
	few := tree.NewFile("xattr/few", 0o755, []byte("x"))
	few.Xattrs = []tree.Xattr{
		{Name: "security.capability", Value: []byte("\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00")},
		{Name: "user.note", Value: []byte("hello")},
	}
	put(few)
	lots := tree.NewDir("xattr/lots", 0o755)
	lots.Xattrs = []tree.Xattr{
		{Name: "trusted.overlay.opaque", Value: []byte("y")},
		{Name: "user.big", Value: bytes.Repeat([]byte("b"), 3001)},
		{Name: "user.empty"},
		{Name: "user.zz", Value: []byte("1234567")},
	}
	put(lots)
	return tr
}

func build(t testing.TB, tr *tree.Tree, opt Options) string {
	t.Helper()
	image := filepath.Join(t.TempDir(), "ext4")
	f, err := os.Create(image)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(opt.Size); err != nil {
		t.Fatal(err)
	}
	if err := Write(context.Background(), f, tr, opt); err != nil {
		t.Fatal(err)
	}
	return image
}

// fsck lets e2fsck check everything, and takes no remark.
func fsck(t *testing.T, image string) {
	t.Helper()
	cmd := exec.Command(testenv.RequireTool(t, "e2fsck"), "-fn", image)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	out, err := cmd.CombinedOutput()
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	// Version, five passes, summary.
	if err != nil || len(lines) != 7 {
		t.Errorf("e2fsck -fn: %v\n%s", err, out)
	}
}

func TestFsckIsClean(t *testing.T) {
	for _, size := range []int64{24 << 20, 64 << 20, 64<<20 + 5000, 129 << 20, 700 << 20, 5 << 30, 100 << 30} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			fsck(t, build(t, example(t), options(size)))
		})
	}
}
