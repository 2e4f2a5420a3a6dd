package erofs

import (
	"errors"
	"fmt"
	"sort"
	"sync"

	"ashlar/internal/foundation/tree"
)

// packedFile is the file that fragments are parts of.
type packedFile struct {
	once sync.Once
	err  error
	f    *found
	c    *clustered // nil: it is not compressed
	runs []run

	mu    sync.Mutex
	last  int // index of the run that was read last
	plain []byte
}

// open reads where the extents of the packed file are, once. c is used for
// nothing else but to read extents after that.
func (p *packedFile) open(r *Reader) error {
	p.once.Do(func() { p.err = p.find(r) })
	return p.err
}

func (p *packedFile) find(r *Reader) error {
	if r.super.Incompat&incompatDedupe == 0 || r.super.PackedNid == 0 {
		return errors.New("the image has no packed file")
	}
	f, err := r.inode(r.super.PackedNid)
	if err != nil {
		return err
	}
	if p.f = f; f.entry.Kind != tree.File {
		return fmt.Errorf("the packed file is a %s", f.entry.Kind)
	}
	if f.layout == layoutPlain {
		return nil
	}
	if f.layout != layoutCompactIndex && f.layout != layoutFullIndex {
		return fmt.Errorf("a packed file of layout %d is not read", f.layout)
	}
	if p.c, err = newClustered(r, f); err != nil {
		return err
	}
	if p.c.part != nil || p.c.head.Advise&adviseFragment != 0 {
		return errors.New("the packed file is a fragment")
	}
	for p.c.at < f.size {
		x, err := p.c.nextRun()
		if err != nil {
			return err
		}
		p.runs = append(p.runs, x)
	}
	return nil
}

// read gives bytes of the packed file from a place on, at least one and at most so many.
func (p *packedFile) read(r *Reader, at, most int64) ([]byte, error) {
	if err := p.open(r); err != nil {
		return nil, fmt.Errorf("packed file: %w", err)
	}
	if at < 0 || at > p.f.size || most > p.f.size-at {
		return nil, fmt.Errorf("a fragment of %d bytes at %d of a packed file of %d", most, at, p.f.size)
	}
	if p.c == nil {
		piece := make([]byte, min(most, pieceSize))
		return piece, r.at(piece, int64(p.f.data)<<blockBits+at)
	}
	i := sort.Search(len(p.runs), func(i int) bool { return p.runs[i].start+p.runs[i].size > at })
	plain, err := p.extent(i)
	if err != nil {
		return nil, fmt.Errorf("packed file: %w", err)
	}
	plain = plain[at-p.runs[i].start:]
	return plain[:min(int64(len(plain)), most)], nil
}

// extent reads an extent, or gives the one that was read last.
func (p *packedFile) extent(i int) ([]byte, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.plain == nil || p.last != i {
		plain, err := p.c.extent(p.runs[i])
		if err != nil {
			return nil, err
		}
		p.last, p.plain = i, plain
	}
	return p.plain, nil
}

// fragmentReader reads a fragment.
type fragmentReader struct {
	r        *Reader
	at, left int64
}

func (c *fragmentReader) next() ([]byte, error) {
	piece, err := c.r.packed.read(c.r, c.at, c.left)
	c.at, c.left = c.at+int64(len(piece)), c.left-int64(len(piece))
	return piece, err
}
