package pipeline

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"ashlar/internal/builder/store"
	"ashlar/internal/foundation/digest"
	"ashlar/internal/foundation/tree"
)

// list gives the names below a directory, with their contents.
func list(t *testing.T, dir string) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		name, _ := filepath.Rel(dir, path)
		found[name] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// made is a generation of two files and a disk.
func made(t *testing.T, text string) *generation {
	t.Helper()
	disk := filepath.Join(t.TempDir(), DiskImage)
	if err := os.WriteFile(disk, []byte("disk of "+text), 0o600); err != nil {
		t.Fatal(err)
	}
	return &generation{id: "1", made: []artefact{{"disk", disk}}, files: map[string]tree.Entry{
		"vmlinuz": tree.NewFile("vmlinuz", 0o444, []byte("kernel of "+text)), "initrd": tree.NewFile("initrd", 0o444, []byte("initrd of "+text)),
	}}
}

func publisher(t *testing.T) *build {
	t.Helper()
	st, err := store.Open(filepath.Join(t.TempDir(), "store"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	return &build{env: &Env{Store: st}, p: &project{def: parsed(t, "")}, in: inputs{}, dir: t.TempDir()}
}

// TestReuse takes a file of the last build only while it is that file.
func TestReuse(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	b := publisher(t)
	if _, err := b.publish(made(t, "one"), out); err != nil {
		t.Fatal(err)
	}
	b.last = b.env.lastBuild(out)
	if !b.last.stands(b.in, out) {
		t.Fatal("what was just published does not stand")
	}
	e, ok := b.reuse(stepRoot, out, "vmlinuz")
	if !ok {
		t.Fatal("a file that nobody touched is not taken")
	}
	if data, err := e.ReadAll(100); err != nil || string(data) != "kernel of one" || e.Digest != digest.Of(data) {
		t.Errorf("%q, %v", data, err)
	}
	if _, ok := b.reuse(stepRoot, out, "none"); ok {
		t.Error("a file that there is not is taken")
	}
	changed := inputs{"files": digest.Of([]byte("other"))}
	b.in = changed
	if _, ok := b.reuse(stepRoot, out, "vmlinuz"); ok || b.last.stands(changed, out) {
		t.Error("the files changed, and the root is taken")
	}
	b.in = inputs{}
	file := filepath.Join(out, "vmlinuz")
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Chmod(file, 0o644), os.WriteFile(file, []byte("kernel of two"), 0o644), os.Chtimes(file, info.ModTime(), info.ModTime())); err != nil {
		t.Fatal(err)
	}
	if _, ok := b.reuse(stepRoot, out, "vmlinuz"); ok || b.last.stands(b.in, out) {
		t.Error("a file of the same size and time, with other content, is taken")
	}
}

func TestPublish(t *testing.T) {
	out := filepath.Join(t.TempDir(), "deep", "out")
	b := publisher(t)
	for _, text := range []string{"one", "two"} {
		a, err := b.publish(made(t, text), out)
		if err != nil {
			t.Fatal(err)
		}
		got := list(t, out)
		if len(got) != 4 || got["vmlinuz"] != "kernel of "+text || got["initrd"] != "initrd of "+text || got[DiskImage] != "disk of "+text {
			t.Errorf("published is %q", got)
		}
		sums := ""
		for _, f := range a.Files {
			if d := digest.Of([]byte(got[f.Name])); f.Digest != d || f.Size != int64(len(got[f.Name])) {
				t.Errorf("%s is said to have %d bytes, %s", f.Name, f.Size, f.Digest)
			}
			sums += fmt.Sprintf("%s  %s\n", f.Digest, f.Name)
		}
		if got[SumsFile] != sums || len(a.Files) != 3 {
			t.Errorf("the sums are\n%s\nwant\n%s", got[SumsFile], sums)
		}
	}
}

type brokenContent struct{}

func (brokenContent) Open() (io.ReadCloser, error) { return nil, errors.New("broken") }

// TestPublishFails: what was published stays whole, and nothing half-made is left.
func TestPublishFails(t *testing.T) {
	out := t.TempDir()
	b := publisher(t)
	if _, err := b.publish(made(t, "old"), out); err != nil {
		t.Fatal(err)
	}
	before := list(t, out)
	killed := filepath.Join(out, stagePrefix+"killed", "part")
	if err := errors.Join(os.Mkdir(filepath.Dir(killed), 0o700), os.WriteFile(killed, []byte("half"), 0o600)); err != nil {
		t.Fatal(err)
	}
	bad := made(t, "new")
	e := bad.files["vmlinuz"] // after initrd, which is written by then
	e.Source = brokenContent{}
	bad.files["vmlinuz"] = e
	if _, err := b.publish(bad, out); err == nil || !strings.Contains(err.Error(), "broken") {
		t.Errorf("the error is %v", err)
	}
	if after := list(t, out); fmt.Sprint(after) != fmt.Sprint(before) {
		t.Errorf("the output was %q and is %q", before, after)
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := b.publish(made(t, "x"), file); err == nil || !strings.Contains(err.Error(), "output directory") {
		t.Errorf("into a file: %v", err)
	}
}

// TestPublishAtOnce: builds that end at the same time do not mix.
func TestPublishAtOnce(t *testing.T) {
	out := t.TempDir()
	b := publisher(t)
	var builds sync.WaitGroup
	for n := range 8 {
		gen := made(t, strings.Repeat(fmt.Sprint(n), 200_000))
		builds.Go(func() {
			if _, err := b.publish(gen, out); err != nil {
				t.Error(err)
			}
		})
	}
	builds.Wait()
	got, sums := list(t, out), ""
	for _, name := range []string{DiskImage, "initrd", "vmlinuz"} {
		sums += fmt.Sprintf("%s  %s\n", digest.Of([]byte(got[name])), name)
	}
	if len(got) != 4 || got[SumsFile] != sums {
		t.Errorf("%d files, sums\n%s\nwant\n%s", len(got), got[SumsFile], sums)
	}
}

// TestWorkDir: a directory that a build works in stays, what a killed one has
// left goes, and a build that fails leaves no output directory.
func TestWorkDir(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	one, removeOne, err := workDir(out)
	if err != nil {
		t.Fatal(err)
	}
	killed := filepath.Join(out, workPrefix+"killed")
	if err := errors.Join(os.Mkdir(killed, 0o700), os.WriteFile(filepath.Join(one, "made"), []byte("x"), 0o600)); err != nil {
		t.Fatal(err)
	}
	two, removeTwo, err := workDir(out)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(filepath.Join(one, "made")); err != nil || one == two {
		t.Errorf("the first build's work is gone: %v", err)
	}
	if _, err := os.Lstat(killed); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what a killed build left is still there: %v", err)
	}
	if err := errors.Join(removeTwo(), removeOne()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(out); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an output directory without output is left: %v", err)
	}
}

func TestCheckOutput(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir)
	for _, good := range []string{dir, filepath.Join(dir, "new", "deep"), "new", "."} {
		if err := checkOutput(good); err != nil {
			t.Error(err)
		}
	}
	for _, bad := range []string{file, filepath.Join(file, "below"), "file"} {
		if err := checkOutput(bad); !errors.Is(err, unix.ENOTDIR) || !strings.Contains(err.Error(), bad) {
			t.Errorf("%s: %v", bad, err)
		}
	}
	if _, err := os.Lstat(filepath.Join(dir, "new")); !errors.Is(err, fs.ErrNotExist) {
		t.Error("looking made a directory")
	}
}

func TestNoRoom(t *testing.T) {
	for _, full := range []error{unix.ENOSPC, unix.EDQUOT} {
		err := noRoom("store x", fmt.Errorf("write: %w", full))
		if !errors.Is(err, full) || !strings.Contains(err.Error(), "store x is full: free some space, or run: ashlar store gc") {
			t.Errorf("%v", err)
		}
	}
	other := errors.New("other")
	if err := noRoom("store x", other); err != other {
		t.Errorf("%v", err)
	}
}

// TestCopySparse: any pattern of holes is copied byte for byte, and holes are
// holes again.
func TestCopySparse(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 10))
	for round := range 20 {
		dir := t.TempDir()
		from, to := filepath.Join(dir, "from"), filepath.Join(dir, "to")
		size := rng.Int64N(8 << 20)
		f, err := os.Create(from)
		if err == nil {
			err = f.Truncate(size)
		}
		if err != nil {
			t.Fatal(err)
		}
		for range rng.IntN(4) {
			if size > 0 {
				at := rng.Int64N(size)
				if _, err := f.WriteAt(make([]byte, min(1+rng.Int64N(9000), size-at)), at); err != nil { // zeros that are data
					t.Fatal(err)
				}
				if _, err := f.WriteAt([]byte{1}, at); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		if err := CopyIfAbsent(from, to); err != nil {
			t.Fatal(err)
		}
		want, n, err := fileDigest(from)
		if err != nil || n != size {
			t.Fatal(n, err)
		}
		if got, _, err := fileDigest(to); err != nil || got != want {
			t.Fatalf("round %d: %d bytes are copied wrong: %v", round, size, err)
		}
		if row, err := sparseFile(from); err != nil || row.Digest != want || row.Size != size {
			t.Fatalf("round %d: %d bytes, the digest without reading holes is another: %v", round, size, err)
		}
		var a, b unix.Stat_t
		if err := errors.Join(unix.Stat(from, &a), unix.Stat(to, &b)); err != nil {
			t.Fatal(err)
		}
		const slack = 64 // blocks of 512 bytes
		if b.Blocks > a.Blocks+slack {
			t.Errorf("round %d: %d blocks of data became %d", round, a.Blocks, b.Blocks)
		}
	}
}

// TestCopyIfAbsent: a machine's disk is never made anew.
func TestCopyIfAbsent(t *testing.T) {
	dir := t.TempDir()
	image, disk := filepath.Join(dir, "image"), filepath.Join(dir, "disk")
	for path, text := range map[string]string{image: "new", disk: "with state"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := CopyIfAbsent(image, disk); err != nil {
		t.Fatal(err)
	}
	if got := list(t, dir)["disk"]; got != "with state" {
		t.Errorf("the disk has %q", got)
	}
	if err := CopyIfAbsent(filepath.Join(dir, "none"), filepath.Join(dir, "other")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no image: %v", err)
	}
	if _, err := os.Lstat(filepath.Join(dir, "other")); !errors.Is(err, fs.ErrNotExist) {
		t.Error("a disk was made of no image")
	}
}
