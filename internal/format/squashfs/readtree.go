package squashfs

import (
	"fmt"
	"path"
	"strings"

	"ashlar/internal/format/imagetree"
	"ashlar/internal/foundation/tree"
)

// Tree reads all inodes. Files' contents are read from the image when they
// are opened; their digests are not known. Of the names of one inode the first by path
// is the file and the others are hard links to it.
func (r *Reader) Tree() (*tree.Tree, error) {
	w := &walker{r: r}
	root, err := r.inode(r.super.Root)
	if err == nil && root.entry.Kind != tree.Dir {
		err = fmt.Errorf("is a %s, not a directory", root.entry.Kind)
	}
	if err == nil {
		err = w.add(".", root)
	}
	var t *tree.Tree
	if err == nil {
		t, err = w.found.Tree()
	}
	if err != nil {
		return nil, fmt.Errorf("read squashfs: %w", err)
	}
	return t, nil
}

type walker struct {
	r     *Reader
	found imagetree.Collector
}

// add puts an inode under a name, and all below it. Xattrs are shared, and bounded
// where they are read.
func (w *walker) add(name string, f *found) error {
	e := f.entry
	e.Path = name
	if e.Kind == tree.File && e.Size > 0 {
		e.Source = source{w.r, f.ref}
	}
	if err := w.found.Add(f.ref, e, 0); err != nil || e.Kind != tree.Dir {
		return err
	}
	if err := w.children(name, f); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// dirHeader stands before a run of entries, dirEntry before each name.
type (
	dirHeader struct {
		Count  uint32 // less one
		Block  uint32 // of the inodes, in the inode table
		Number uint32
	}
	dirEntry struct {
		Offset   uint16
		Distance int16 // of the inode number from the header's
		Type     uint16
		Size     uint16 // of the name, less one
	}
)

// children reads a listing.
func (w *walker) children(dir string, f *found) error {
	left := int64(f.dir.Size) - listingExtra
	c := w.r.cursor(w.r.super.DirTable+uint64(f.dir.Block), int(f.dir.Offset))
	last := ""
	for left > 0 {
		var head dirHeader
		if err := c.value(&head); err != nil {
			return err
		}
		if head.Count >= maxRun {
			return fmt.Errorf("a run of %d entries, at most %d", int64(head.Count)+1, maxRun)
		}
		left -= headerBytes
		for range head.Count + 1 {
			name, size, err := w.child(c, dir, head, last)
			if err != nil {
				return err
			}
			left -= size
			last = name
		}
	}
	if left < 0 {
		return fmt.Errorf("the last entry ends %d bytes beyond the listing", -left)
	}
	return nil
}

// child reads one entry and all below it.
func (w *walker) child(c *cursor, dir string, head dirHeader, last string) (string, int64, error) {
	var e dirEntry
	if err := c.value(&e); err != nil {
		return "", 0, err
	}
	if e.Size > maxName {
		return "", 0, fmt.Errorf("name of %d bytes", int(e.Size)+1)
	}
	name, err := c.text(int(e.Size) + 1)
	if err != nil {
		return "", 0, err
	}
	if name == "." || name == ".." || strings.ContainsAny(name, "/\x00") {
		return "", 0, fmt.Errorf("name %q is not allowed", name)
	}
	if name <= last {
		return "", 0, fmt.Errorf("entry %q stands after %q", name, last)
	}
	f, err := w.r.inode(reference(uint64(head.Block), int(e.Offset)))
	if err != nil {
		return "", 0, fmt.Errorf("entry %q: %w", name, err)
	}
	if typeOfKind(f.entry.Kind) != e.Type {
		return "", 0, fmt.Errorf("entry %q has type %d, its inode is a %s", name, e.Type, f.entry.Kind)
	}
	return name, entryBytes + int64(len(name)), w.add(path.Join(dir, name), f)
}
