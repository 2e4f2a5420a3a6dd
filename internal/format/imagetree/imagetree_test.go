package imagetree

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"ashlar/internal/format/imagetest"
	"ashlar/internal/foundation/digest"
	"ashlar/internal/foundation/tree"
)

// TestFiles finds the duplicate of the sample, whose one file brings no digest.
func TestFiles(t *testing.T) {
	for _, workers := range []int{1, 4} {
		files, err := Files(context.Background(), imagetest.Sample(t), workers)
		if err != nil {
			t.Fatal(err)
		}
		var paths, equal []string
		for _, f := range files {
			paths = append(paths, f.Entry.Path)
			if f.First != f.Entry {
				equal = append(equal, f.Entry.Path+" = "+f.First.Path)
			}
		}
		if len(paths) != 10 || !slices.IsSorted(paths) {
			t.Errorf("files are %v", paths)
		}
		if got := strings.Join(equal, ", "); got != "data/original = data/copy-without-digest" {
			t.Errorf("equal: %q", got)
		}
	}
}

// TestFilesReadsLittle has contents that cannot be read: they are, if and only if
// the size is another's and the digest is not known.
func TestFilesReadsLittle(t *testing.T) {
	failing := errors.New("disk on fire")
	file := func(name string, size int64) tree.Entry {
		return tree.Entry{Path: name, Kind: tree.File, Size: size, Source: imagetest.Broken{Err: failing}}
	}
	tr := &tree.Tree{}
	known := file("known", 100)
	known.Digest = digest.Of([]byte("known"))
	imagetest.Put(t, tr, tree.NewDir(".", 0o755), file("alone", 99), known, file("empty", 0), file("empty too", 0))
	if _, err := Files(context.Background(), tr, 2); err != nil {
		t.Fatal(err)
	}
	imagetest.Put(t, tr, file("other", 100))
	if _, err := Files(context.Background(), tr, 2); !errors.Is(err, failing) || !strings.Contains(err.Error(), "read other") {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Files(ctx, tr, 2); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestContentSize(t *testing.T) {
	e := tree.NewFile("f", 0o644, []byte("four"))
	for text, want := range map[string]bool{"fou": false, "four": true, "fours": false} {
		r := strings.NewReader(text)
		err := Fill(r, make([]byte, e.Size), &e)
		if err == nil {
			err = AtEnd(r, &e)
		}
		if (err == nil) != want || err != nil && !strings.Contains(err.Error(), "has not the 4 bytes") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// TestCollector takes the names of a tree apart and puts them together again,
// in another order.
func TestCollector(t *testing.T) {
	want := imagetest.Sample(t)
	names, err := Names(want)
	if err != nil {
		t.Fatal(err)
	}
	ids := map[*tree.Entry]uint64{}
	slices.Reverse(names)
	var c Collector
	if err := c.Add(1000, *want.Get("."), 0); err != nil {
		t.Fatal(err)
	}
	for _, n := range names {
		if _, ok := ids[n.Inode]; !ok {
			ids[n.Inode] = uint64(len(ids))
		}
		e := *n.Inode
		e.Path = strings.TrimPrefix(n.Dir.Path+"/"+n.Name, "./")
		if err := c.Add(ids[n.Inode], e, 0); err != nil {
			t.Fatal(err)
		}
	}
	got, err := c.Tree()
	if err != nil {
		t.Fatal(err)
	}
	if diff := imagetest.Differences(t, want, got); diff != "" {
		t.Error(diff)
	}
	if e := got.Get("z-link"); e.Kind != tree.HardLink || e.Target != "bin/a-link" {
		t.Errorf("z-link is %+v", e)
	}
}

func TestCollectorRefuses(t *testing.T) {
	var c Collector
	if err := c.Add(1, tree.NewDir(".", 0o755), 0); err != nil {
		t.Fatal(err)
	}
	if err := c.Add(1, tree.NewDir("again", 0o755), 0); err == nil || !strings.Contains(err.Error(), "directory again is also .") {
		t.Errorf("a directory with two names: %v", err)
	}
	if err := c.Add(2, tree.NewDir(strings.Repeat("d/", maxPath/2)+"d", 0o755), 0); err == nil {
		t.Error("a path that is too long is taken")
	}
	if err := c.Add(3, tree.NewDir("d", 0o755), maxTreeBytes); err == nil {
		t.Error("a tree that is too large is taken")
	}
}

func TestNamesRefuses(t *testing.T) {
	if _, err := Names(&tree.Tree{}); err == nil || !strings.Contains(err.Error(), "no root directory") {
		t.Errorf("empty tree: %v", err)
	}
	for name, c := range map[string]struct {
		e    tree.Entry
		want string
	}{
		"no source":     {tree.Entry{Path: "f", Kind: tree.File, Size: 1}, "f: a file of 1 bytes without content"},
		"negative size": {tree.Entry{Path: "f", Kind: tree.File, Size: -1, Source: tree.Bytes("")}, "a file of -1 bytes"},
		"orphan":        {tree.Entry{Path: "d/f", Kind: tree.File}, "parent directory is missing"},
		"dangling":      {tree.Entry{Path: "f", Kind: tree.HardLink, Target: "g"}, "hard link to g"},
		"to a dir":      {tree.Entry{Path: "f", Kind: tree.HardLink, Target: "."}, "hard link to ."},
		"to itself":     {tree.Entry{Path: "f", Kind: tree.HardLink, Target: "f"}, "hard link to f"},
		"mode":          {tree.Entry{Path: "f", Kind: tree.File, Mode: 0o100644}, "mode 0100644"},
		"target":        {tree.NewSymlink("f", strings.Repeat("x", 4096)), "symbolic link of 4096 bytes"},
		"no target":     {tree.NewSymlink("f", ""), "symbolic link of 0 bytes"},
		"name":          {tree.NewDir(strings.Repeat("n", 256), 0o755), "name of 256 bytes"},
		"major":         {tree.Entry{Path: "f", Kind: tree.CharDevice, Major: 4096}, "device 4096,0"},
		"minor":         {tree.Entry{Path: "f", Kind: tree.BlockDevice, Minor: 1 << 20}, "device 0,1048576"},
		"kind":          {tree.Entry{Path: "f"}, "cannot write a kind(0)"},
		"root":          {tree.Entry{Path: ".", Kind: tree.Fifo}, "the root is a fifo"},
	} {
		tr := &tree.Tree{}
		imagetest.Put(t, tr, tree.NewDir(".", 0o755), c.e)
		if _, err := Names(tr); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want an error with %q", name, err, c.want)
		}
	}
}
