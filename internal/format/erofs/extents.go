package erofs

import (
	"fmt"
	"sort"

	"ashlar/internal/format/imagetree"
)

// Extents says where the content is stored: see imagetree.Extents. Clusters of the packed file are tails.
func (s source) Extents() ([]imagetree.Extent, error) {
	f, err := s.r.inode(s.nid)
	if err != nil {
		return nil, err
	}
	var list []imagetree.Extent
	switch f.layout {
	case layoutPlain, layoutInline:
		list = flatExtents(f)
	case layoutChunks:
		list, err = s.r.chunkExtents(f)
	default:
		list, err = s.r.clusterExtents(f)
	}
	size := int64(s.r.super.Blocks) << blockBits
	for _, x := range list {
		if x.Place < 0 || x.Stored < 0 || x.Place > size || x.Stored > size-x.Place {
			return nil, fmt.Errorf("%d bytes at %d: beyond the image's %d", x.Stored, x.Place, size)
		}
	}
	return list, err
}

func flatExtents(f *found) []imagetree.Extent {
	whole := f.size
	if f.layout == layoutInline {
		whole &^= BlockSize - 1
	}
	var list []imagetree.Extent
	if whole > 0 {
		list = append(list, imagetree.Extent{Place: int64(f.data) << blockBits, Stored: alignUp(whole, BlockSize), Plain: whole})
	}
	if rest := f.size - whole; rest > 0 {
		list = append(list, imagetree.Extent{Place: f.end, Stored: rest, Plain: rest})
	}
	return list
}

func (r *Reader) chunkExtents(f *found) ([]imagetree.Extent, error) {
	c, err := newChunked(r, f)
	if err != nil {
		return nil, err
	}
	var list []imagetree.Extent
	raw := make([]byte, c.entry)
	for at := int64(0); at < f.size; at += 1 << c.bits {
		if err := r.at(raw, c.index+at>>c.bits*c.entry); err != nil {
			return nil, err
		}
		plain := min(f.size-at, 1<<c.bits)
		if address := order.Uint32(raw[c.entry-4:]); address != nullBlock {
			list = append(list, imagetree.Extent{Place: int64(address) << blockBits, Stored: alignUp(plain, BlockSize), Plain: plain})
		}
	}
	return list, nil
}

func (r *Reader) clusterExtents(f *found) ([]imagetree.Extent, error) {
	c, err := newClustered(r, f)
	if err != nil {
		return nil, err
	}
	if c.part != nil {
		return r.packedExtents(nil, c.part.at, c.part.left)
	}
	var list []imagetree.Extent
	for c.at < f.size {
		x, err := c.nextRun()
		if err != nil {
			return nil, err
		}
		if x.start+x.size == f.size && c.head.Advise&adviseFragment != 0 {
			place := int64(c.head.Tail)
			if f.layout == layoutFullIndex {
				place |= int64(x.head.address) << 32
			}
			return r.packedExtents(list, place, x.size)
		}
		list = append(list, c.stored(x))
	}
	return list, nil
}

// stored says where an extent is, as cluster reads it.
func (c *clustered) stored(x run) imagetree.Extent {
	if c.head.Advise&adviseTail != 0 && x.start+x.size == c.f.size {
		return imagetree.Extent{Place: c.index + c.indexSize(), Stored: int64(c.head.Tail >> 16), Plain: x.size}
	}
	return imagetree.Extent{Place: int64(x.head.address) << blockBits, Stored: x.blocks << blockBits, Plain: x.size}
}

// packedExtents adds what bytes of the packed file are stored in.
func (r *Reader) packedExtents(list []imagetree.Extent, at, size int64) ([]imagetree.Extent, error) {
	p := &r.packed
	if err := p.open(r); err != nil {
		return nil, fmt.Errorf("packed file: %w", err)
	}
	if at < 0 || at > p.f.size || size > p.f.size-at {
		return nil, fmt.Errorf("a fragment of %d bytes at %d of a packed file of %d", size, at, p.f.size)
	}
	if p.c == nil {
		return append(list, imagetree.Extent{Place: int64(p.f.data)<<blockBits + at, Stored: size, Plain: size}), nil
	}
	end := at + size
	for i := sort.Search(len(p.runs), func(i int) bool { return p.runs[i].start+p.runs[i].size > at }); at < end; i++ {
		run := p.runs[i]
		x := p.c.stored(run)
		x.Plain, x.Tail, x.Offset = min(end, run.start+run.size)-at, true, at-run.start
		list = append(list, x)
		at += x.Plain
	}
	return list, nil
}
