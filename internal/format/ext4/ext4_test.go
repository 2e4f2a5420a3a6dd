package ext4

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"ashlar/internal/foundation/digest"
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

// The same arguments give the same bytes, today and with the next Go.
func TestGolden(t *testing.T) {
	for size, want := range map[int64]string{64 << 20: "497a6c5a9bcea4b1534c37be827850ccc8364b40f32a7ad0c106c46bfaa50361", 300 << 20: "9b06d8918d1dab04228f318948b6147fd1bb5a5e17ba57d6365ed46352ecf181"} {
		for range 2 {
			f, err := os.Open(build(t, example(t), options(size)))
			if err != nil {
				t.Fatal(err)
			}
			sum, _, err := digest.Reader(f)
			if err := errors.Join(err, f.Close()); err != nil {
				t.Fatal(err)
			}
			if sum.String() != want {
				t.Errorf("%d bytes: digest %s, want %s", size, sum, want)
			}
		}
	}
}

type discard struct{ wrote bool }

func (d *discard) WriteAt(p []byte, _ int64) (int, error) { d.wrote = true; return len(p), nil }

func TestWriteRefuses(t *testing.T) {
	with := func(entries ...tree.Entry) *tree.Tree {
		tr := &tree.Tree{}
		for _, e := range entries {
			if err := tr.Put(e); err != nil {
				t.Fatal(err)
			}
		}
		return tr
	}
	file := func(change func(*tree.Entry)) *tree.Tree {
		e := tree.NewFile("a", 0o644, []byte("abcd"))
		change(&e)
		return with(e)
	}
	fits := options(16 << 20)
	long := fits
	long.Label = "seventeen letters"
	for want, c := range map[string]struct {
		tr  *tree.Tree
		opt Options
	}{
		"must be from":        {with(), options(4 << 20)},
		"longer than 16":      {with(), long},
		"larger":              {file(func(e *tree.Entry) { e.Size = 1 << 30 }), fits},
		"not in the tree":     {with(tree.NewFile("no/parent", 0o644, nil)), fits},
		"no file of the tree": {with(tree.Entry{Path: "l", Kind: tree.HardLink, Target: "none"}), fits},
		"longer than 255":     {with(tree.NewFile(strings.Repeat("n", 256), 0o644, nil)), fits},
		"at most 4095":        {with(tree.NewSymlink("l", strings.Repeat("l", 4096))), fits},
		"access lists":        {file(func(e *tree.Entry) { e.Xattrs = []tree.Xattr{{Name: "system.posix_acl_access"}} }), fits},
		"no namespace":        {file(func(e *tree.Entry) { e.Xattrs = []tree.Xattr{{Name: "what.ever"}} }), fits},
		"need more than":      {file(func(e *tree.Entry) { e.Xattrs = []tree.Xattr{{Name: "user.a", Value: make([]byte, 5000)}} }), fits},
		"must be directories": {with(tree.NewFile("lost+found", 0o644, nil)), fits},
		"numbers are out":     {with(tree.Entry{Path: "d", Kind: tree.CharDevice, Major: 1 << 13}), fits},
	} {
		d := &discard{}
		err := Write(context.Background(), d, c.tr, c.opt)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got error %v", want, err)
		}
		if d.wrote {
			t.Errorf("%s: something was written", want)
		}
	}
	for want, size := range map[string]int64{"its size": 3, "unexpected EOF": 5} {
		err := Write(context.Background(), &discard{}, file(func(e *tree.Entry) { e.Size = size }), fits)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got error %v", want, err)
		}
	}
}

// Names that fill directory blocks to the last byte, and counts around them.
func TestDirectoryBoundaries(t *testing.T) {
	tr := &tree.Tree{}
	for length := 1; length <= 255; length++ {
		dir := fmt.Sprintf("d%d", length)
		if err := tr.Put(tree.NewDir(dir, 0o755)); err != nil {
			t.Fatal(err)
		}
		for i := range 2 * dirUsable / pad4(direntHead+length) {
			if name := fmt.Sprintf("%0*d", length, i); len(name) == length {
				if err := tr.Put(tree.Entry{Path: dir + "/" + name, Kind: tree.Fifo, Mode: 0o600}); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	opt := options(128 << 20)
	opt.InodeRatio = 4096
	image := build(t, tr, opt)
	fsck(t, image)
	_, got := openTree(t, image)
	if got.Len() != tr.Len()+2 {
		t.Errorf("%d entries are read, %d were written", got.Len(), tr.Len()+2)
	}
}
