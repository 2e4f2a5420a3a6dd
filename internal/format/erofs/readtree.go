package erofs

import (
	"bytes"
	"fmt"
	"io"
	"path"

	"ashlar/internal/format/imagetree"
	"ashlar/internal/foundation/tree"
)

// Tree reads all inodes. Files' contents are read from the image when they
// are opened; their digests are not known. Of the names of one inode the first by path
// is the file and the others are hard links to it.
func (r *Reader) Tree() (*tree.Tree, error) {
	w := &walker{r: r}
	root, err := r.inode(uint64(r.super.RootNid))
	if err == nil && root.entry.Kind != tree.Dir {
		err = fmt.Errorf("root is a %s, not a directory", root.entry.Kind)
	}
	if err == nil {
		err = w.add(".", root)
	}
	var t *tree.Tree
	if err == nil {
		t, err = w.found.Tree()
	}
	if err != nil {
		return nil, fmt.Errorf("read erofs: %w", err)
	}
	return t, nil
}

type walker struct {
	r     *Reader
	found imagetree.Collector
}

// add puts an inode under a name, and all below it.
func (w *walker) add(name string, f *found) error {
	e := f.entry
	e.Path = name
	switch {
	case e.Kind == tree.File && e.Size > 0:
		e.Source = source{w.r, f.nid}
	case e.Kind == tree.Symlink:
		var err error
		if e.Target, err = w.r.target(f); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	own := int64(len(e.Target))
	for _, x := range e.Xattrs {
		own += int64(len(x.Name) + len(x.Value))
	}
	if err := w.found.Add(f.nid, e, own); err != nil || e.Kind != tree.Dir {
		return err
	}
	if err := w.children(name, f); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// children reads a listing, block by block.
func (w *walker) children(dir string, f *found) error {
	if f.layout != layoutPlain && f.layout != layoutInline {
		return fmt.Errorf("a directory of layout %d is not read", f.layout)
	}
	content, err := w.r.content(f)
	if err != nil {
		return err
	}
	block, last := make([]byte, BlockSize), ""
	for left := f.size; left > 0; left -= BlockSize {
		part := block[:min(left, BlockSize)]
		if _, err := io.ReadFull(content, part); err != nil {
			return noEOF(err)
		}
		if last, err = w.entries(dir, part, last); err != nil {
			return err
		}
	}
	return nil
}

// entries takes one block of a listing and gives its last name.
func (w *walker) entries(dir string, block []byte, last string) (string, error) {
	if len(block) < direntSize {
		return "", fmt.Errorf("a listing's block of %d bytes", len(block))
	}
	first := int(order.Uint16(block[8:]))
	if first < direntSize || first%direntSize != 0 || first >= len(block) {
		return "", fmt.Errorf("the first name of a listing's block stands at byte %d of %d", first, len(block))
	}
	for at := 0; at < first; at += direntSize {
		name, err := nameOf(block, at, first)
		if err != nil {
			return "", err
		}
		if name <= last {
			return "", fmt.Errorf("entry %q stands after %q", name, last)
		}
		last = name
		if name == "." || name == ".." {
			continue
		}
		if err := w.child(dir, name, order.Uint64(block[at:]), block[at+10]); err != nil {
			return "", err
		}
	}
	return last, nil
}

// nameOf gives the name of the entry at a place of a block. It ends where the
// next begins; the last one's ends with the block or with a zero.
func nameOf(block []byte, at, first int) (string, error) {
	start, end := int(order.Uint16(block[at+8:])), len(block)
	if at+direntSize < first {
		end = int(order.Uint16(block[at+direntSize+8:]))
	}
	if start < first || start >= end || end > len(block) {
		return "", fmt.Errorf("a name from byte %d to %d of a listing's block of %d", start, end, len(block))
	}
	name := block[start:end]
	if at+direntSize == first {
		name, _, _ = bytes.Cut(name, []byte{0})
	}
	if len(name) == 0 || len(name) > maxName || bytes.ContainsAny(name, "/\x00") {
		return "", fmt.Errorf("name %.300q is not allowed", name)
	}
	return string(name), nil
}

func (w *walker) child(dir, name string, nid uint64, kind uint8) error {
	f, err := w.r.inode(nid)
	if err != nil {
		return fmt.Errorf("entry %q: %w", name, err)
	}
	if typeOfKind(f.entry.Kind) != kind {
		return fmt.Errorf("entry %q has type %d, its inode is a %s", name, kind, f.entry.Kind)
	}
	return w.add(path.Join(dir, name), f)
}
