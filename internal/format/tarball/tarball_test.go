package tarball

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ashlar/internal/format/imagetest"
	"ashlar/internal/foundation/digest"
	"ashlar/internal/foundation/tree"
	"ashlar/internal/testenv"
)

// sample is imagetest's without its socket, with names that need extended records.
func sample(t testing.TB) *tree.Tree {
	t.Helper()
	tr := imagetest.Sample(t)
	tr.Remove("dev/sock")
	long := "long/" + strings.Repeat("directory-", 20)
	imagetest.Put(t, tr, tree.NewDir("long", 0o755), tree.NewDir(long, 0o755),
		tree.NewFile(long+"/"+strings.Repeat("n", 255), 0o600, []byte("long")),
		tree.NewFile("long/größe", 0o600, []byte("not ASCII")),
		tree.Entry{Path: "long/a-link", Kind: tree.HardLink, Target: long + "/" + strings.Repeat("n", 255)},
		tree.Entry{Path: "old", Kind: tree.Fifo, MTime: -5})
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

func TestGolden(t *testing.T) {
	const want = "c78fa9598a3de6c204cc82382d8b1d5fcaaffeda52b9da164f981f08743d75f3"
	if got := digest.Of(write(t, sample(t), Options{})).String(); got != want {
		t.Errorf("archive of the sample has digest %s, want %s", got, want)
	}
}

func TestRoundTrip(t *testing.T) {
	tr := sample(t)
	back, err := Read(bytes.NewReader(write(t, tr, Options{})), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := imagetest.Differences(t, tr, back); diff != "" {
		t.Error(diff)
	}
}

func TestRandomTrees(t *testing.T) {
	for seed := range uint64(30) {
		tr := imagetest.Random(t, rand.New(rand.NewPCG(seed, 3)), 60)
		dropSockets(tr)
		raw := write(t, tr, Options{})
		if !bytes.Equal(raw, write(t, tr.Clone(), Options{})) {
			t.Fatalf("seed %d: two archives differ", seed)
		}
		back, err := Read(bytes.NewReader(raw), Limits{})
		if err != nil {
			t.Fatal(err)
		}
		if diff := imagetest.Differences(t, tr, back); diff != "" {
			t.Fatalf("seed %d: %s", seed, diff)
		}
	}
}

func dropSockets(tr *tree.Tree) {
	for _, p := range slices.Clone(tr.Paths()) {
		e := tr.Get(p)
		if e == nil {
			continue
		}
		if e.Kind == tree.HardLink {
			e = tr.Get(e.Target)
		}
		if e.Kind == tree.Socket {
			tr.Remove(p)
		}
	}
}

// TestForeignReaders has other programs unpack the sample, owners, attributes and all.
func TestForeignReaders(t *testing.T) {
	testenv.RequireRoot(t)
	tr := sample(t)
	// A directory's attribute of no bytes is none to both programs, and no
	// file system takes attributes of users on links.
	tr.Get("bin").Xattrs = []tree.Xattr{{Name: "user.note", Value: []byte("raw \x00\xff\n= bytes")}}
	archive := imagetest.File(t, write(t, tr, Options{}))
	for name, args := range map[string][]string{
		"tar":    {"--warning=no-timestamp", "--numeric-owner", "--xattrs", "--xattrs-include=*", "-xpf"},
		"bsdtar": {"--numeric-owner", "--xattrs", "-xpf"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			cmd := exec.Command(testenv.RequireTool(t, name), append(args, archive, "-C", dir)...)
			cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8")
			if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
				t.Fatalf("%v: %s", err, out)
			}
			got := imagetest.HostTree(t, dir)
			if name == "bsdtar" { // it leaves the time of the root
				got.Get(".").MTime = tr.Get(".").MTime
			}
			if diff := imagetest.Differences(t, tr, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestForeignWriter reads what GNU tar makes of a directory.
func TestForeignWriter(t *testing.T) {
	testenv.RequireRoot(t)
	tr := sample(t)
	tr.Remove("dev/pipe2") // it sees hard links of files only
	source := t.TempDir()
	archive := imagetest.File(t, write(t, tr, Options{}))
	tool := testenv.RequireTool(t, "tar")
	if out, err := exec.Command(tool, "--warning=no-timestamp", "--xattrs", "--xattrs-include=*", "-xpf", archive, "-C", source).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, form := range []string{"gnu", "pax"} {
		name := filepath.Join(t.TempDir(), "made.tar")
		args := []string{"--format=" + form, "-cf", name, "-C", source, "."}
		if form == "pax" {
			args = append([]string{"--xattrs", "--xattrs-include=*"}, args...)
		}
		if out, err := exec.Command(tool, args...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Read(f, Limits{})
		if err = errors.Join(err, f.Close()); err != nil {
			t.Fatal(err)
		}
		want := imagetest.HostTree(t, source)
		if form == "gnu" {
			for _, p := range want.Paths() {
				want.Get(p).Xattrs = nil
			}
		}
		if diff := imagetest.Differences(t, want, got); diff != "" {
			t.Errorf("%s: %s", form, diff)
		}
	}
}

func TestPathsAndLimit(t *testing.T) {
	raw := write(t, sample(t), Options{Paths: []string{".", "z-link", "bin", "bin/ping"}, MTimeLimit: 1_600_000_000})
	var got []string
	err := Each(bytes.NewReader(raw), Limits{}, func(e tree.Entry, _ io.Reader) error {
		got = append(got, e.Kind.String()+" "+e.Path+" "+e.Target)
		if e.MTime > 1_600_000_000 {
			t.Errorf("%s has time %d", e.Path, e.MTime)
		}
		return nil
	})
	want := []string{"dir . ", "dir bin ", "file bin/ping ", "hardlink z-link bin/ping"}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%v: got %q, want %q", err, got, want)
	}
}

func TestRefuses(t *testing.T) {
	failing := errors.New("disk on fire")
	for name, c := range map[string]struct {
		e    tree.Entry
		want string
	}{
		"socket":    {tree.Entry{Path: "f", Kind: tree.Socket}, "write tar member f: tar cannot hold a socket"},
		"xattr":     {tree.Entry{Path: "f", Kind: tree.Fifo, Xattrs: []tree.Xattr{{Name: "user.a=b"}}}, `attribute "user.a=b"`},
		"dangling":  {tree.Entry{Path: "f", Kind: tree.HardLink, Target: "g"}, "hard link to g, which is no file"},
		"mode":      {tree.Entry{Path: "f", Kind: tree.Fifo, Mode: 1 << 20}, "mode"},
		"too short": {tree.Entry{Path: "f", Kind: tree.File, Size: 3, Source: tree.Bytes("ab")}, "content has 2 bytes, the entry says 3"},
		"too long":  {tree.Entry{Path: "f", Kind: tree.File, Size: 1, Source: tree.Bytes("ab")}, "content has not the 1 bytes"},
		"unread":    {tree.Entry{Path: "f", Kind: tree.File, Size: 100, Source: imagetest.Broken{Err: failing}}, "disk on fire"},
	} {
		tr := &tree.Tree{}
		imagetest.Put(t, tr, tree.NewDir(".", 0o755), c.e)
		if err := Write(io.Discard, tr, Options{}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want an error with %q", name, err, c.want)
		}
	}
	for want, paths := range map[string][]string{
		"hard link to bin/ping, which is not written with it": {"z-link"},
		"no such entry": {"nowhere"},
	} {
		if err := Write(io.Discard, sample(t), Options{Paths: paths}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an error with %q", err, want)
		}
	}
}

func TestReadRefuses(t *testing.T) {
	big := write(t, sample(t), Options{})
	for name, c := range map[string]struct {
		raw    []byte
		limits Limits
		want   string
	}{
		"entries":   {big, Limits{Entries: 3}, "more than 3 members"},
		"bytes":     {big, Limits{Bytes: 1 << 20}, "more than 1048576 bytes in all"},
		"cut":       {big[:len(big)/2], Limits{}, "unexpected EOF"},
		"no tar":    {bytes.Repeat([]byte("no tar "), 1000), Limits{}, "invalid tar header"},
		"leaving":   {headers(t, tar.Header{Name: "../a", Typeflag: tar.TypeFifo}), Limits{}, "has a .. element"},
		"leaving 2": {headers(t, tar.Header{Name: "a", Typeflag: tar.TypeLink, Linkname: "a/../../b"}), Limits{}, "has a .. element"},
		"no file":   {headers(t, tar.Header{Name: "a", Typeflag: tar.TypeLink, Linkname: "b"}), Limits{}, "which is no earlier file"},
		"file root": {headers(t, tar.Header{Name: ".", Typeflag: tar.TypeFifo}), Limits{}, "the root is a fifo"},
		"below a file": {headers(t, tar.Header{Name: "a", Typeflag: tar.TypeFifo}, tar.Header{Name: "a/b", Typeflag: tar.TypeFifo}),
			Limits{}, "parent a is a fifo"},
		"type": {headers(t, tar.Header{Name: "a", Typeflag: tar.TypeCont}), Limits{}, "type '7'"},
	} {
		if _, err := Read(bytes.NewReader(c.raw), c.limits); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want an error with %q", name, err, c.want)
		}
	}
}

// headers is an archive of members without content.
func headers(t testing.TB, list ...tar.Header) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range list {
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestApply has later members take the place of earlier ones.
func TestApply(t *testing.T) {
	tr, err := Read(bytes.NewReader(headers(t,
		tar.Header{Name: "d/e/f", Typeflag: tar.TypeFifo}, tar.Header{Name: "d/g", Typeflag: tar.TypeLink, Linkname: "d/e/f"},
		tar.Header{Name: "d/h", Typeflag: tar.TypeLink, Linkname: "d/g"},
		tar.Header{Name: "d/h", Typeflag: tar.TypeLink, Linkname: "d/h"},
		tar.Header{Name: "d/", Typeflag: tar.TypeDir, Mode: 0o700}, tar.Header{Name: "d/e", Typeflag: tar.TypeSymlink, Linkname: "g"})), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := strings.Join(tr.Paths(), " "), ". d d/e d/g d/h"; got != want {
		t.Errorf("paths are %s, want %s", got, want)
	}
	if tr.Get("d").Mode != 0o700 || tr.Get("d/g").Kind != tree.Fifo || tr.Get("d/h").Target != "d/g" || tr.Get("d/e").Target != "g" {
		t.Error(imagetest.Describe(t, tr))
	}
}

// FuzzRead reads anything; what it takes can be written and read back the same.
func FuzzRead(f *testing.F) {
	small := imagetest.Small(f, 600)
	f.Add(write(f, small, Options{}))
	f.Add(headers(f, tar.Header{Name: "a/" + strings.Repeat("b", 300), Typeflag: tar.TypeSymlink, Linkname: "x", Format: tar.FormatGNU}))
	f.Add(headers(f, tar.Header{Name: "a", Typeflag: tar.TypeChar, Devmajor: 1 << 20, Uid: 1 << 22, PAXRecords: map[string]string{xattrRecord + "user.x": ""}}))
	f.Fuzz(func(t *testing.T, data []byte) {
		tr, err := Read(bytes.NewReader(data), Limits{Entries: 100, Bytes: 1 << 20})
		if err != nil {
			return
		}
		var b bytes.Buffer
		if err := Write(&b, tr, Options{}); err != nil {
			return // devices and names that no kernel has
		}
		back, err := Read(&b, Limits{})
		if err != nil {
			t.Fatal(err)
		}
		if diff := imagetest.Differences(t, tr, back); diff != "" {
			t.Error(diff)
		}
	})
}
