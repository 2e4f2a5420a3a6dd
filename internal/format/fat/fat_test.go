package fat

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"ashlar/internal/foundation/digest"
	"ashlar/internal/foundation/tree"
	"ashlar/internal/testenv"
)

const epoch = 1_750_000_000

// example has the name and size cases that FAT distinguishes.
func example(t testing.TB) *tree.Tree {
	t.Helper()
	files := map[string]int{
		"EFI/BOOT/BOOTX64.EFI": 300_000, "EFI/BOOT/grub.cfg": 100, "EFI/debian/fbx64.efi": 4096, "empty": 0,
		"README.TXT": 511, "a long name with spaces.conf": 512, "longfilename1.txt": 513, "longfilename2.txt": 2048,
		"ünïcödé-€.dat": 3, ".hidden": 5, "two.dots.tar": 6, "NOEXT": 7, strings.Repeat("x", 255): 8,
	}
	for i := range 300 {
		files[fmt.Sprintf("many/file number %03d", i)] = i
	}
	tr := &tree.Tree{}
	for name, size := range files {
		data := make([]byte, size)
		if size == 4096 {
			copy(data[1000:], "zero pages around")
		} else {
			for i := range data {
				data[i] = name[i%len(name)] + byte(i>>8)
			}
		}
		e := tree.NewFile(name, 0o644, data)
		e.MTime = 1_600_000_000 + int64(size)&^1
		if err := tr.Put(e); err != nil {
			t.Fatal(err)
		}
		if err := tr.AddParents(name, 0o755, 1_700_000_000); err != nil {
			t.Fatal(err)
		}
	}
	late := tree.NewFile("late", 0o644, []byte("bounded by the epoch"))
	late.MTime = epoch + 1000
	if err := tr.Put(late); err != nil {
		t.Fatal(err)
	}
	return tr
}

func build(t testing.TB, tr *tree.Tree, opt Options) string {
	t.Helper()
	image := filepath.Join(t.TempDir(), "fat")
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

var cases = []struct {
	opt    Options
	golden string
}{
	{Options{Size: 8 << 20, Label: "ASHLAR-ESP", Serial: 0x1234abcd, Epoch: epoch}, "2686a706b4ff818da6894caffb3aad7a25fe4130381049288ed4cd7661a696cc"},
	{Options{Size: 100<<20 + 512, Label: "ASHLAR-ESP", Serial: 1, Epoch: epoch, Hidden: 4096}, "d65a9de4debd8ca38798ad935bdc693cd6b2124da7448c6181b30626ec1faf2c"},
	{Options{Size: 36 << 20, Kind: FAT32, Label: "ASHLAR-ESP", Serial: 2, Epoch: epoch}, "9f391f5546aa7e5e26f3fe1c5652443fe2ae4a7a352d83c12c194bfc59066947"},
	{Options{Size: 600 << 20, Serial: 3, Epoch: epoch}, "020fc1518f29c60b0233d07ddbbdfae4e7d9a3215d467d9483809ae239bd7623"},
}

func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(testenv.RequireTool(t, name), args...)
	cmd.Env = append(os.Environ(), "MTOOLS_SKIP_CHECK=0", "TZ=UTC", "LC_ALL=C.UTF-8")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

func TestJudges(t *testing.T) {
	for _, c := range cases {
		t.Run(fmt.Sprintf("%dMiB-%d", c.opt.Size>>20, c.opt.Kind), func(t *testing.T) {
			tr := example(t)
			image := build(t, tr, c.opt)
			if out := run(t, "fsck.vfat", "-n", image); strings.Count(out, "\n") != 2 {
				t.Errorf("fsck.vfat complains:\n%s", out)
			}
			out := t.TempDir()
			run(t, "mcopy", "-s", "-Q", "-m", "-i", image, "::/", out)
			compareDir(t, tr, out)
			if listing := run(t, "mdir", "-i", image, "::/"); c.opt.Label != "" && !strings.Contains(listing, "Volume in drive : is "+c.opt.Label) {
				t.Errorf("mdir shows no label:\n%s", listing)
			}
			f, err := os.Open(image)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			sum, _, err := digest.Reader(f)
			if err != nil || sum.String() != c.golden {
				t.Errorf("digest %s, want %s (%v)", sum, c.golden, err)
			}
		})
	}
}

// compareDir compares names, contents and times with what a foreign tool copied out.
func compareDir(t *testing.T, tr *tree.Tree, dir string) {
	t.Helper()
	found := 0
	err := filepath.WalkDir(dir, func(string, os.DirEntry, error) error { found++; return nil })
	if err != nil || found != tr.Len() {
		t.Errorf("%d entries copied out, %d are in the tree (%v)", found, tr.Len(), err)
	}
	for _, p := range tr.Paths() {
		e := tr.Get(p)
		if e.Kind != tree.File {
			continue
		}
		want, err := e.ReadAll(1 << 20)
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(filepath.Join(dir, p))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: content differs (%v)", p, err)
			continue
		}
		info, err := os.Stat(filepath.Join(dir, p))
		if err != nil || info.ModTime().Unix() != min(e.MTime, epoch) {
			t.Errorf("%s: time %v, want %d (%v)", p, info.ModTime(), min(e.MTime, epoch), err)
		}
	}
}

// snapshot is what a round trip must keep, contents as digests.
func snapshot(t *testing.T, tr *tree.Tree) map[string]tree.Entry {
	t.Helper()
	all := map[string]tree.Entry{}
	err := tr.Walk(func(e *tree.Entry) error {
		c := *e
		c.MTime = min(e.MTime, epoch)
		if e.Kind == tree.File {
			data, err := e.ReadAll(1 << 20)
			if err != nil {
				return err
			}
			c.Digest = digest.Of(data)
		}
		if e.Path == "." {
			c.MTime = 0 // FAT keeps no time of the root
		}
		all[e.Path] = c
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestRoundTrip(t *testing.T) {
	for _, c := range cases {
		tr := example(t)
		data, err := os.ReadFile(build(t, tr, c.opt))
		if err != nil {
			t.Fatal(err)
		}
		fs, err := Open(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			t.Fatal(err)
		}
		if fs.Label != c.opt.Label || fs.Serial != c.opt.Serial {
			t.Errorf("label %q serial %x", fs.Label, fs.Serial)
		}
		got, err := fs.Tree()
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(snapshot(t, tr), snapshot(t, got), cmpopts.IgnoreFields(tree.Entry{}, "Source")); diff != "" {
			t.Error(diff)
		}
	}
}

func TestReadsForeign(t *testing.T) {
	mkfs := testenv.RequireTool(t, "mkfs.vfat")
	for _, kind := range []string{"16", "32"} {
		image := filepath.Join(t.TempDir(), "fat")
		if out, err := exec.Command(mkfs, "-C", "-F", kind, "-n", "FOREIGN", "-i", "cafe0001", image, "70000").CombinedOutput(); err != nil {
			t.Fatalf("mkfs.vfat: %v\n%s", err, out)
		}
		source := filepath.Join(t.TempDir(), "Mixed Case Name.txt")
		if err := os.WriteFile(source, bytes.Repeat([]byte("foreign "), 9999), 0o644); err != nil {
			t.Fatal(err)
		}
		run(t, "mmd", "-i", image, "::/SUB")
		run(t, "mcopy", "-i", image, source, "::/SUB/")
		f, err := os.Open(image)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		fs, err := Open(f, 70000<<10)
		if err != nil {
			t.Fatal(err)
		}
		tr, err := fs.Tree()
		if err != nil {
			t.Fatal(err)
		}
		e := tr.Get("SUB/Mixed Case Name.txt")
		if e == nil || fs.Label != "FOREIGN" || fs.Serial != 0xcafe0001 {
			t.Fatalf("label %q, serial %x, paths %q", fs.Label, fs.Serial, tr.Paths())
		}
		if data, err := e.ReadAll(1 << 20); err != nil || !bytes.Equal(data, bytes.Repeat([]byte("foreign "), 9999)) {
			t.Errorf("content differs: %v", err)
		}
	}
}

func TestWriteRefuses(t *testing.T) {
	with := func(entries ...tree.Entry) *tree.Tree {
		tr := &tree.Tree{}
		for _, e := range append(entries, tree.NewDir(".", 0o755)) {
			if err := tr.Put(e); err != nil {
				t.Fatal(err)
			}
		}
		return tr
	}
	small := Options{Size: 4 << 20}
	for want, c := range map[string]struct {
		tr  *tree.Tree
		opt Options
	}{
		"cannot hold a symlink": {with(tree.NewSymlink("l", "t")), small},
		"differs in case only":  {with(tree.NewFile("a", 0o644, nil), tree.NewFile("A", 0o644, nil)), small},
		"not allow":             {with(tree.NewFile("a:b", 0o644, nil)), small},
		"not in the tree":       {with(tree.NewFile("no/parent", 0o644, nil)), small},
		"larger":                {with(tree.NewFile("a", 0o644, make([]byte, 5<<20))), small},
		"valid number":          {with(), Options{Size: 1 << 20}},
		"is not allowed":        {with(), Options{Size: 4 << 20, Label: "lower"}},
		"longer than":           {with(), Options{Size: 4 << 20, Label: "TWELVE BYTES"}},
		"its size":              {with(tree.Entry{Path: "a", Kind: tree.File, Size: 3, Source: tree.Bytes("abcd")}), small},
		"unexpected EOF":        {with(tree.Entry{Path: "a", Kind: tree.File, Size: 5, Source: tree.Bytes("abcd")}), small},
	} {
		err := Write(context.Background(), discard{}, c.tr, c.opt)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got error %v", want, err)
		}
	}
}

type discard struct{}

func (discard) WriteAt(p []byte, _ int64) (int, error) { return len(p), nil }

func FuzzOpen(f *testing.F) {
	tr := &tree.Tree{}
	for _, name := range []string{"EFI/BOOT/BOOTX64.EFI", "a long name.txt"} {
		if err := tr.Put(tree.NewFile(name, 0o644, bytes.Repeat([]byte(name), 99))); err != nil {
			f.Fatal(err)
		}
		if err := tr.AddParents(name, 0o755, 0); err != nil {
			f.Fatal(err)
		}
	}
	// The head of the file system says enough; what is behind it reads as zero.
	for _, opt := range []Options{{Size: 3 << 20}, {Size: 36 << 20, Kind: FAT32}} {
		data, err := os.ReadFile(build(f, tr, opt))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data[:64<<10], uint32(opt.Size))
	}
	f.Fuzz(func(t *testing.T, head []byte, size uint32) {
		fs, err := Open(padded(head), int64(size))
		if err != nil {
			return
		}
		got, err := fs.Tree()
		if err != nil {
			return
		}
		for _, p := range got.Paths()[:min(50, got.Len())] {
			if e := got.Get(p); e.Kind == tree.File {
				if data, err := e.ReadAll(1 << 16); err == nil && int64(len(data)) != e.Size {
					t.Errorf("%s: %d bytes of %d", p, len(data), e.Size)
				}
			}
		}
	})
}

// padded reads as its bytes with zeros behind.
type padded []byte

func (p padded) ReadAt(b []byte, off int64) (int, error) {
	clear(b)
	if off < int64(len(p)) {
		copy(b, p[off:])
	}
	return len(b), nil
}
