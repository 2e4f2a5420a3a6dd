package iso9660

import (
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"ashlar/internal/format/imagetree"
	"ashlar/internal/foundation/tree"
)

// Tree reads all directories. Contents are read from the image when they are
// opened; their digests are not known. Names with one file serial number and
// one place are hard links. Without Rock Ridge names are the identifiers in
// lower case, and all is root's and read-only.
func (f *Reader) Tree() (*tree.Tree, error) {
	w := &walker{f: f, left: f.Size}
	t, err := w.tree()
	if err != nil {
		return nil, fmt.Errorf("read ISO 9660 image: %w", err)
	}
	return t, nil
}

type walker struct {
	f     *Reader
	left  int64 // bytes of listings that can still be true: they share no blocks
	found imagetree.Collector
	rock  bool
	skip  int // bytes of a System Use area before the first entry
	alone uint64
}

func (w *walker) tree() (*tree.Tree, error) {
	data, err := w.listing(w.f.root)
	if err != nil {
		return nil, err
	}
	self, _, err := nextRecord(data)
	if err != nil || self == nil {
		return nil, errors.Join(errors.New("the root has no record of itself"), err)
	}
	w.findRock(self)
	root, err := w.inode(self)
	if err != nil {
		return nil, err
	}
	root.entry.Kind, root.entry.Path = tree.Dir, "."
	if err := w.add(root); err != nil {
		return nil, err
	}
	if err := w.children(".", data); err != nil {
		return nil, err
	}
	return w.found.Tree()
}

// findRock looks for SP in the root's first record.
func (w *walker) findRock(self []byte) {
	use := systemUse(self)
	if len(use) >= 7 && string(use[:2]) == "SP" && use[4] == 0xbe && use[5] == 0xef {
		w.rock, w.skip = true, int(use[6])
	}
}

func (w *walker) listing(e Extent) ([]byte, error) {
	if err := w.f.inside(e); err != nil {
		return nil, err
	}
	if w.left -= e.Size; w.left < 0 {
		return nil, errors.New("listings are longer than the image")
	}
	data := make([]byte, e.Size)
	if n, err := w.f.r.ReadAt(data, e.Offset); n < len(data) {
		return nil, err
	}
	return data, nil
}

// nextRecord gives the first record and what follows; nil at the end. Records
// do not cross blocks: after the last of a block there are zeros.
func nextRecord(data []byte) (record, rest []byte, err error) {
	for len(data) > 0 && data[0] == 0 {
		toEnd := len(data) % BlockSize
		if toEnd == 0 {
			toEnd = BlockSize
		}
		data = data[toEnd:]
	}
	if len(data) == 0 {
		return nil, nil, nil
	}
	size := int(data[0])
	if size <= recordHead || size > len(data) || recordHead+int(data[32]) > size || data[32] == 0 {
		return nil, nil, fmt.Errorf("directory record of %d bytes", size)
	}
	return data[:size], data[size:], nil
}

// children reads the records of a directory, but for the first two.
func (w *walker) children(dir string, data []byte) error {
	var sections []Extent
	for n := 0; ; n++ {
		record, rest, err := nextRecord(data)
		if err != nil || record == nil {
			if err == nil && len(sections) > 0 {
				err = errors.New("the last section of a file is missing")
			}
			return err
		}
		data = rest
		if record[32] == 1 && record[recordHead] <= 1 {
			continue // the directory itself and its parent
		}
		sections = append(sections, extentOf(record))
		if record[25]&flagMoreToCome != 0 {
			continue
		}
		if err := w.child(dir, record, sections); err != nil {
			return err
		}
		sections = nil
	}
}

func (w *walker) child(dir string, record []byte, sections []Extent) error {
	n, err := w.inode(record)
	if err != nil {
		return fmt.Errorf("%s: %w", dir, err)
	}
	if n.relocated {
		return nil
	}
	if n.name == "" || n.name == "." || n.name == ".." || len(n.name) > imagetree.MaxName || strings.ContainsAny(n.name, "/\x00") {
		return fmt.Errorf("%s: name %.300q is not allowed", dir, n.name)
	}
	n.entry.Path = path.Join(dir, n.name)
	if n.entry.Kind == tree.File {
		if err := w.content(n, sections); err != nil {
			return fmt.Errorf("%s: %w", n.entry.Path, err)
		}
	}
	if err := w.add(n); err != nil || n.entry.Kind != tree.Dir {
		return err
	}
	data, err := w.listing(extentOf(record))
	if err != nil {
		return fmt.Errorf("%s: %w", n.entry.Path, err)
	}
	return w.children(n.entry.Path, data)
}

// Inodes are told apart by numbers of three kinds.
const (
	idAlone = iota << 48
	idDir
	idShared
)

// add puts an inode into the tree. A directory is told by its place, so that
// one that is its own ancestor is found.
func (w *walker) add(n *inode) error {
	if w.f.Size/BlockSize > 1<<32 {
		return errors.New("the volume is too large")
	}
	w.alone++
	id := idAlone | w.alone
	switch {
	case n.entry.Kind == tree.Dir:
		id = idDir | uint64(n.place.Offset/BlockSize)
	case n.serial != 0 && n.links > 1:
		id = idShared | uint64(n.serial)
	}
	return w.found.Add(id, n.entry, int64(len(n.entry.Target)))
}

// content makes the source of a file's bytes.
func (w *walker) content(n *inode, sections []Extent) error {
	var s source
	for _, e := range sections {
		n.entry.Size += e.Size
		if e.Size == 0 {
			continue
		}
		if err := w.f.inside(e); err != nil {
			return err
		}
		s = append(s, io.NewSectionReader(w.f.r, e.Offset, e.Size))
	}
	if n.entry.Size > 0 {
		n.entry.Source = s
	}
	return nil
}

// source is the content of a file in sections.
type source []*io.SectionReader

// Open implements tree.Content. What lies in one piece can be read at offsets.
func (s source) Open() (io.ReadCloser, error) {
	var parts []io.Reader
	for _, part := range s {
		parts = append(parts, io.NewSectionReader(part, 0, part.Size()))
	}
	if len(s) == 1 {
		return piece{io.NewSectionReader(s[0], 0, s[0].Size())}, nil
	}
	return io.NopCloser(io.MultiReader(parts...)), nil
}

type piece struct{ *io.SectionReader }

// Close implements io.Closer.
func (piece) Close() error { return nil }
