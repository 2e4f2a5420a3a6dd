package cpio

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ashlar/internal/foundation/digest"
	"ashlar/internal/foundation/tree"
	"ashlar/internal/testenv"
)

// sample has one entry of every kind, and hard links on both sides of their target.
func sample(t testing.TB) *tree.Tree {
	t.Helper()
	tr := &tree.Tree{}
	for _, e := range []tree.Entry{
		{Path: ".", Kind: tree.Dir, Mode: 0o755, MTime: 100},
		{Path: "bin", Kind: tree.Dir, Mode: 0o755, MTime: 200},
		{Path: "bin/m", Kind: tree.File, Mode: 0o4755, UID: 1, GID: 2, MTime: 300, Size: 5, Source: tree.Bytes("hello")},
		{Path: "bin/a", Kind: tree.HardLink, Target: "bin/m"},
		{Path: "bin/z", Kind: tree.HardLink, Target: "bin/m"},
		{Path: "bin-2", Kind: tree.Symlink, Mode: 0o777, Target: "bin"},
		{Path: "dev", Kind: tree.Dir, Mode: 0o755},
		{Path: "dev/console", Kind: tree.CharDevice, Mode: 0o600, Major: 5, Minor: 1},
		{Path: "dev/loop", Kind: tree.BlockDevice, Mode: 0o660, GID: 6, Major: 7, Minor: 300},
		{Path: "dev/pipe", Kind: tree.Fifo, Mode: 0o644},
		{Path: "dev/sock", Kind: tree.Socket, Mode: 0o644},
		{Path: "empty", Kind: tree.File, Mode: 0o444, MTime: 4_000_000_000},
	} {
		if err := tr.Put(e); err != nil {
			t.Fatal(err)
		}
	}
	return tr
}

func write(t testing.TB, tr *tree.Tree, opt Options) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := Write(&b, tr, opt); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// listing shows all of a tree that an archive keeps.
func listing(t testing.TB, tr *tree.Tree) string {
	t.Helper()
	var b strings.Builder
	owners := map[string]string{} // an inode's first path, whichever name the tree gave the content to
	for _, p := range tr.Paths() {
		e := tr.Get(p)
		key := p
		if e.Kind == tree.HardLink {
			key = e.Target
			e = tr.Get(key)
		}
		if owners[key] == "" {
			owners[key] = p
		}
		var body []byte
		if e.Kind == tree.File {
			var err error
			if body, err = e.ReadAll(1 << 24); err != nil {
				t.Fatal(err)
			}
		}
		fmt.Fprintf(&b, "%s=%s %s %o %d:%d %d %d,%d %q %s\n", p, owners[key], e.Kind, e.Mode, e.UID, e.GID, e.MTime, e.Major, e.Minor, e.Target, digest.Of(body))
	}
	return b.String()
}

func TestGolden(t *testing.T) {
	const want = "cfd00b19ee723ac829b1b6fb86be052866744220f37724f351515069324a07c0"
	got := digest.Of(write(t, sample(t), Options{})).String()
	if got != want {
		t.Errorf("archive of the sample tree has digest %s, want %s", got, want)
	}
}

func TestRoundTrip(t *testing.T) {
	tr := sample(t)
	back, err := Read(bytes.NewReader(write(t, tr, Options{})), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(listing(t, tr), listing(t, back)); diff != "" {
		t.Error(diff)
	}
	if e := back.Get("bin/a"); e.Kind != tree.File || e.Size != 5 {
		t.Errorf("bin/a is a %s of %d bytes, want the first name to be the file", e.Kind, e.Size)
	}
}

// TestRandomTrees writes random trees and reads them back.
func TestRandomTrees(t *testing.T) {
	for seed := range uint64(50) {
		rng := rand.New(rand.NewPCG(seed, 1))
		tr := randomTree(t, rng)
		raw := write(t, tr, Options{})
		if !bytes.Equal(raw, write(t, tr.Clone(), Options{})) {
			t.Fatalf("seed %d: two writes differ", seed)
		}
		if len(raw)%4 != 0 {
			t.Fatalf("seed %d: %d bytes, not a multiple of 4", seed, len(raw))
		}
		back, err := Read(bytes.NewReader(raw), Limits{})
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if diff := cmp.Diff(listing(t, tr), listing(t, back)); diff != "" {
			t.Fatalf("seed %d: %s", seed, diff)
		}
	}
}

func randomTree(t *testing.T, rng *rand.Rand) *tree.Tree {
	t.Helper()
	tr := &tree.Tree{}
	dirs, files := []string{"."}, []string(nil)
	put := func(e tree.Entry) {
		if err := tr.Put(e); err != nil {
			t.Fatal(err)
		}
	}
	put(tree.NewDir(".", 0o755))
	for i := range 1 + rng.IntN(60) {
		dir := dirs[rng.IntN(len(dirs))]
		p, err := tree.Clean(dir + "/" + strings.Repeat("n", rng.IntN(9)) + fmt.Sprint(i))
		if err != nil {
			t.Fatal(err)
		}
		switch rng.IntN(5) {
		case 0:
			put(tree.NewDir(p, uint32(rng.IntN(0o10000))))
			dirs = append(dirs, p)
		case 1:
			put(tree.NewSymlink(p, strings.Repeat("t", 1+rng.IntN(30))))
		case 2:
			if len(files) > 0 {
				put(tree.Entry{Path: p, Kind: tree.HardLink, Target: files[rng.IntN(len(files))]})
			}
		default:
			data := make([]byte, rng.IntN(100))
			for j := range data {
				data[j] = byte(rng.Uint32())
			}
			e := tree.NewFile(p, uint32(rng.IntN(0o10000)), data)
			e.UID, e.GID, e.MTime = rng.Uint32(), rng.Uint32(), int64(rng.Uint32())
			put(e)
			files = append(files, p)
		}
	}
	return tr
}

func TestMTimeLimit(t *testing.T) {
	back, err := Read(bytes.NewReader(write(t, sample(t), Options{MTimeLimit: 250})), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]int64{".": 100, "bin": 200, "bin/a": 250, "empty": 250} {
		if got := back.Get(path).MTime; got != want {
			t.Errorf("%s has time %d, want %d", path, got, want)
		}
	}
}

// TestAlign: bodies stand where they shall, and all is read as without.
func TestAlign(t *testing.T) {
	tr := &tree.Tree{}
	for n, size := range []int{0, 1, 15, 16, 17, 100} {
		if err := tr.Put(tree.NewFile(strings.Repeat("n", 1+3*n), 0o644, []byte(strings.Repeat(string(rune('a'+n)), size)))); err != nil {
			t.Fatal(err)
		}
	}
	for _, align := range []int{16, 512} {
		data := write(t, tr, Options{Align: align})
		for n, size := range []int{0, 1, 15, 16, 17, 100} {
			body := strings.Repeat(string(rune('a'+n)), size)
			at := 0
			for size > 0 && (at%align != 0 || !strings.HasPrefix(string(data[at:]), body+"\x00") && !strings.HasPrefix(string(data[at:]), body+magic)) {
				if at++; at == len(data) {
					t.Errorf("the body of %d bytes stands at no multiple of %d", size, align)
					break
				}
			}
		}
		back, err := Read(bytes.NewReader(data), Limits{})
		if err != nil {
			t.Fatal(err)
		}
		if got, want := listing(t, back), listing(t, tr); got != want {
			t.Errorf("at multiples of %d: got %s\nwant %s", align, got, want)
		}
	}
	for _, align := range []int{-4, 3, 1024} {
		if err := Write(io.Discard, tr, Options{Align: align}); err == nil {
			t.Errorf("bodies at multiples of %d", align)
		}
	}
}

// TestGNU has GNU cpio unpack an archive, and reads what GNU cpio makes of it.
func TestGNU(t *testing.T) {
	tool := testenv.RequireTool(t, "cpio")
	testenv.RequireRoot(t)
	dir := t.TempDir()
	tr := sample(t)
	cmd := exec.Command(tool, "-idm", "--quiet", "--no-absolute-filenames")
	cmd.Dir, cmd.Stdin = dir, bytes.NewReader(write(t, tr, Options{Align: 16}))
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		t.Fatalf("cpio -i: %v: %s", err, out)
	}
	for _, p := range tr.Paths() {
		checkHost(t, tr, p, filepath.Join(dir, p))
	}
	cmd = exec.Command("sh", "-c", "find . | sort -r | "+tool+" -o -H newc --quiet")
	cmd.Dir = dir
	raw, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	back, err := Read(bytes.NewReader(raw), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	forgetTimes(tr) // cpio -i leaves those of directories and symbolic links to the clock
	forgetTimes(back)
	if diff := cmp.Diff(listing(t, tr), listing(t, back)); diff != "" {
		t.Error(diff)
	}
}

// forgetTimes clears all times but those of files.
func forgetTimes(tr *tree.Tree) {
	for _, p := range tr.Paths() {
		if e := tr.Get(p); e.Kind != tree.File {
			e.MTime = 0
		}
	}
}

func checkHost(t *testing.T, tr *tree.Tree, name, host string) {
	t.Helper()
	e := tr.Get(name)
	links := uint64(1)
	if e.Kind == tree.HardLink || name == "bin/m" {
		e, links = tr.Get("bin/m"), 3
	}
	var st syscall.Stat_t
	if err := syscall.Lstat(host, &st); err != nil {
		t.Error(err)
		return
	}
	if st.Mode&modePerm != e.Mode || st.Uid != e.UID || st.Gid != e.GID {
		t.Errorf("%s: mode %o owner %d:%d, want %o %d:%d", name, st.Mode&modePerm, st.Uid, st.Gid, e.Mode, e.UID, e.GID)
	}
	if e.Kind == tree.File {
		if got, err := os.ReadFile(host); err != nil || int64(len(got)) != e.Size || st.Nlink != links || st.Mtim.Sec != e.MTime {
			t.Errorf("%s: %d bytes, %d links, time %d, %v; want %d, %d, %d", name, len(got), st.Nlink, st.Mtim.Sec, err, e.Size, links, e.MTime)
		}
	}
	if major, minor := st.Rdev>>8&0xfff, st.Rdev&0xff|st.Rdev>>12&0xfff00; uint32(major) != e.Major || uint32(minor) != e.Minor {
		t.Errorf("%s: device %d,%d, want %d,%d", name, major, minor, e.Major, e.Minor)
	}
}

func TestRefusals(t *testing.T) {
	root := tree.NewDir(".", 0o755)
	for name, c := range map[string]struct {
		e    tree.Entry
		want string
	}{
		"xattr":     {tree.Entry{Path: "f", Kind: tree.File, Xattrs: []tree.Xattr{{Name: "user.a"}}}, "extended attribute user.a"},
		"too large": {tree.Entry{Path: "f", Kind: tree.File, Size: 1 << 32}, "at most 4 GiB"},
		"short":     {tree.Entry{Path: "f", Kind: tree.File, Size: 3, Source: tree.Bytes("ab")}, "content gave 2 bytes"},
		"long":      {tree.Entry{Path: "f", Kind: tree.File, Size: 1, Source: tree.Bytes("ab")}, "content gave 2 bytes"},
		"orphan":    {tree.Entry{Path: "d/f", Kind: tree.File}, "parent directory d is missing"},
		"dangling":  {tree.Entry{Path: "f", Kind: tree.HardLink, Target: "g"}, "hard link to g"},
		"to a dir":  {tree.Entry{Path: "f", Kind: tree.HardLink, Target: "."}, "hard link to ."},
		"time":      {tree.Entry{Path: "f", Kind: tree.File, MTime: -1}, "time -1"},
		"trailer":   {tree.NewFile(trailer, 0o644, nil), "would end the archive"},
		"mode":      {tree.Entry{Path: "f", Kind: tree.File, Mode: 0o100644}, "mode"},
		"target":    {tree.NewSymlink("f", strings.Repeat("x", 4096)), "symbolic link of 4096 bytes"},
	} {
		tr := &tree.Tree{}
		for _, e := range []tree.Entry{root, c.e} {
			if err := tr.Put(e); err != nil {
				t.Fatal(err)
			}
		}
		err := Write(&bytes.Buffer{}, tr, Options{})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want an error with %q", name, err, c.want)
		}
	}
}

// TestDamaged cuts and bounds archives; every way must end in an error.
func TestDamaged(t *testing.T) {
	raw := write(t, sample(t), Options{})
	for n := 0; n < len(raw)-1; n += 3 {
		if _, err := Read(bytes.NewReader(raw[:n]), Limits{}); err == nil {
			t.Fatalf("the first %d of %d bytes are read without an error", n, len(raw))
		}
	}
	if _, err := Read(bytes.NewReader(raw), Limits{Entries: 3}); err == nil {
		t.Error("the limit of entries does not hold")
	}
	if _, err := Read(bytes.NewReader(raw), Limits{Bytes: 30}); err == nil {
		t.Error("the limit of bytes does not hold")
	}
	escape := bytes.Replace(raw, []byte("bin-2\x00"), []byte("../ab\x00"), 1)
	if _, err := Read(bytes.NewReader(escape), Limits{}); err == nil {
		t.Error("a path that leaves the tree is read")
	}
}

func FuzzRead(f *testing.F) {
	raw := write(f, sample(f), Options{})
	f.Add(raw)
	f.Add(raw[:200])
	f.Add(bytes.Repeat([]byte("0"), headerSize))
	f.Fuzz(func(t *testing.T, raw []byte) {
		tr, err := Read(bytes.NewReader(raw), Limits{Entries: 100, Bytes: 1 << 20})
		if err != nil {
			return
		}
		var again bytes.Buffer
		if Write(&again, tr, Options{}) != nil {
			return // what a foreign archive holds need not be writable: orphans
		}
		back, err := Read(&again, Limits{})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(listing(t, tr), listing(t, back)); diff != "" {
			t.Error(diff)
		}
	})
}
