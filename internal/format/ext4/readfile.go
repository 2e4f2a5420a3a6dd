package ext4

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sort"
)

const (
	maxExtentDepth = 5
	maxExtents     = 1 << 20 // of one file that is read
)

// extents gives a file's map, in rising order of logical blocks.
func (fs *FS) extents(n *node) ([]extent, error) {
	if n.flags&flagInlineData != 0 {
		return nil, errors.New("inline data is not supported")
	}
	if n.flags&flagExtents == 0 {
		return nil, errors.New("block maps without extents are not supported")
	}
	w := extentWalk{fs: fs, n: n}
	if err := w.node(n.area, maxExtentDepth); err != nil {
		return nil, err
	}
	return w.out, nil
}

type extentWalk struct {
	fs    *FS
	n     *node
	out   []extent
	nodes int
	next  uint64 // first logical block that may come
}

// node reads one node of the tree; it may be at most depth levels high.
func (w *extentWalk) node(b []byte, depth int) error {
	le := binary.LittleEndian
	entries, capacity, height := int(le.Uint16(b[2:])), int(le.Uint16(b[4:])), int(le.Uint16(b[6:]))
	if le.Uint16(b) != extentMagic || entries > capacity || extentEntry*(1+capacity) > len(b) || height > depth {
		return errors.New("extent tree is damaged")
	}
	if w.nodes++; w.nodes > maxExtents/16 {
		return fmt.Errorf("extent tree has more than %d blocks", maxExtents/16)
	}
	for i := range entries {
		e := b[extentEntry*(1+i):][:extentEntry]
		if height > 0 {
			if err := w.child(uint64(le.Uint32(e[4:]))|uint64(le.Uint16(e[8:]))<<32, height-1); err != nil {
				return err
			}
			continue
		}
		x := extent{logical: le.Uint32(e), length: uint32(le.Uint16(e[4:])), start: uint64(le.Uint16(e[6:]))<<32 | uint64(le.Uint32(e[8:]))}
		if x.length > maxExtentLen {
			x.length, x.unwrit = x.length-maxExtentLen, true
		}
		if uint64(x.logical) < w.next || x.length == 0 || x.start == 0 || x.start+uint64(x.length) > w.fs.Blocks || len(w.out) >= maxExtents {
			return fmt.Errorf("extent of %d blocks at block %d is damaged", x.length, x.start)
		}
		w.next = uint64(x.logical) + uint64(x.length)
		w.out = append(w.out, x)
	}
	return nil
}

func (w *extentWalk) child(block uint64, depth int) error {
	b, err := w.fs.block(block)
	if err != nil {
		return err
	}
	le := binary.LittleEndian
	if end := extentEntry * (1 + int(le.Uint16(b[4:]))); w.fs.sums && (end+4 > len(b) || crc(w.n.seed, b[:end]) != le.Uint32(b[end:])) {
		return fmt.Errorf("block %d of an extent tree: checksum is wrong", block)
	}
	if int(le.Uint16(b[6:])) != depth {
		return errors.New("extent tree is damaged")
	}
	return w.node(b, depth)
}

// content is a file in the file system.
type content struct {
	fs *FS
	n  *node
}

// Open implements tree.Content. What it gives is an io.ReaderAt too.
func (c *content) Open() (io.ReadCloser, error) {
	extents, err := c.fs.extents(c.n)
	if err != nil {
		return nil, fmt.Errorf("inode %d: %w", c.n.number, err)
	}
	f := &file{fs: c.fs, extents: extents, size: int64(c.n.size)}
	return &reader{io.NewSectionReader(f, 0, f.size)}, nil
}

// reader is an open file.
type reader struct {
	*io.SectionReader
}

// Close implements io.Closer.
func (r *reader) Close() error { return nil }

// file is a file's content by offset.
type file struct {
	fs      *FS
	extents []extent
	size    int64
}

// ReadAt implements io.ReaderAt.
func (f *file) ReadAt(p []byte, off int64) (int, error) {
	done := 0
	for done < len(p) && off < f.size {
		n, err := f.piece(p[done:min(int64(len(p)), int64(done)+f.size-off)], off)
		done, off = done+n, off+int64(n)
		if err != nil {
			return done, err
		}
	}
	if done < len(p) {
		return done, io.EOF
	}
	return done, nil
}

// piece reads from one extent, or from one hole between two.
func (f *file) piece(p []byte, off int64) (int, error) {
	block := f.fs.BlockSize
	i := sort.Search(len(f.extents), func(i int) bool { return off < f.extents[i].end()*block })
	if i == len(f.extents) {
		clear(p)
		return len(p), nil
	}
	e := f.extents[i]
	start := int64(e.logical) * block
	if off < start {
		p = p[:min(int64(len(p)), start-off)]
		clear(p)
		return len(p), nil
	}
	p = p[:min(int64(len(p)), e.end()*block-off)]
	if e.unwrit {
		clear(p)
		return len(p), nil
	}
	n, err := f.fs.r.ReadAt(p, int64(e.start)*block+off-start)
	if n == len(p) {
		return n, nil
	}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}
