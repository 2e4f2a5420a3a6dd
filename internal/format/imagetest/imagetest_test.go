package imagetest

import (
	"os"
	"path/filepath"
	"testing"

	"ashlar/internal/foundation/tree"
	"ashlar/internal/testenv"
)

// TestDifferences changes one thing of the sample at a time: each must be seen.
func TestDifferences(t *testing.T) {
	if diff := Differences(t, Sample(t), Sample(t)); diff != "" {
		t.Fatalf("two samples differ: %s", diff)
	}
	for name, change := range map[string]func(*tree.Tree){
		"mode":      func(tr *tree.Tree) { tr.Get("void").Mode++ },
		"owner":     func(tr *tree.Tree) { tr.Get("void").UID++ },
		"group":     func(tr *tree.Tree) { tr.Get("dev/pipe").GID++ },
		"time":      func(tr *tree.Tree) { tr.Get("data").MTime++ },
		"device":    func(tr *tree.Tree) { tr.Get("dev/console").Minor++ },
		"target":    func(tr *tree.Tree) { tr.Get("link").Target += "/" },
		"xattr":     func(tr *tree.Tree) { tr.Get("bin").Xattrs = nil },
		"content":   func(tr *tree.Tree) { tr.Get("data/whole").Source = tree.Bytes(Words(7, 128<<10)) },
		"kind":      func(tr *tree.Tree) { tr.Get("dev/pipe").Kind = tree.Socket },
		"absence":   func(tr *tree.Tree) { tr.Remove("void") },
		"hard link": func(tr *tree.Tree) { Put(t, tr, *tr.Get("z-link")); tr.Get("z-link").Target = "data/whole" },
	} {
		tr := Sample(t)
		change(tr)
		if Differences(t, Sample(t), tr) == "" {
			t.Errorf("another %s is not seen", name)
		}
	}
}

// TestHostTree takes what the host made of a few calls.
func TestHostTree(t *testing.T) {
	testenv.RequireRoot(t) // the owner
	dir := t.TempDir()
	for _, err := range []error{
		os.Mkdir(filepath.Join(dir, "d"), 0o700),
		os.WriteFile(filepath.Join(dir, "d", "file"), []byte("text"), 0o600),
		os.Link(filepath.Join(dir, "d", "file"), filepath.Join(dir, "link")),
		os.Symlink("d/file", filepath.Join(dir, "symlink")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	got, want := HostTree(t, dir), &tree.Tree{}
	Put(t, want, tree.NewDir(".", got.Get(".").Mode), tree.NewDir("d", 0o700), tree.NewFile("d/file", 0o600, []byte("text")),
		tree.Entry{Path: "link", Kind: tree.HardLink, Target: "d/file"}, tree.NewSymlink("symlink", "d/file"))
	if err := got.Walk(func(e *tree.Entry) error { e.MTime = 0; return nil }); err != nil {
		t.Fatal(err)
	}
	if diff := Differences(t, want, got); diff != "" {
		t.Error(diff)
	}
}
