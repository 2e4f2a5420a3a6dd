package erofs

import (
	"encoding/binary"
	"fmt"
	"math"

	"ashlar/internal/foundation/tree"
)

// Bits of a compressed inode's header.
const (
	adviseLargePacks = 0x01
	adviseBig        = 0x06 // clusters of more than a block, for both types of heads
	adviseTail       = 0x08
	adviseFragment   = 0x20
)

// mapHeader stands before the index of a compressed inode.
type mapHeader struct {
	Tail        uint32 // in its upper half the size of the tail, or the place of the fragment
	Advise      uint16
	Algorithm   uint8
	ClusterBits uint8
}

const (
	mapHeaderSize = 8
	wholeFragment = 1 << 63 // all of the file is a fragment, the header is its place
)

// nid is the inode's number in the format: its place.
func (n *node) nid() uint64 { return uint64(n.at / slotSize) }

// compact reports whether the short form holds the inode.
func (n *node) compact(buildTime int64) bool {
	e := n.entry
	return e.UID <= math.MaxUint16 && e.GID <= math.MaxUint16 && n.links <= math.MaxUint16 &&
		n.size() <= math.MaxUint32 && n.mtime == buildTime
}

// size is the inode's size.
func (n *node) size() int64 {
	switch n.entry.Kind {
	case tree.File:
		return n.entry.Size
	case tree.Dir:
		return n.listing.size
	case tree.Symlink:
		return int64(len(n.entry.Target))
	}
	return 0
}

// shape is what an inode takes in the metadata area, and how its data is stored.
type shape struct {
	inode  int64 // bytes of the inode without xattrs
	index  int64 // where behind it the index starts; 0: there is none
	head   int64 // all but the tail
	tail   int64
	layout int
}

// blocks gives how many whole blocks of a directory or link stand outside.
func (s shape) blocks(size int64) int64 { return blocksOf(size - s.tail) }

func (n *node) shape(buildTime int64) shape {
	s := shape{inode: extendedSize, layout: layoutPlain}
	if n.compact(buildTime) {
		s.inode = compactSize
	}
	s.head = s.inode + n.xattrs.size()
	switch {
	case n.entry.Kind == tree.Dir:
		if rest := n.size() % BlockSize; rest > 0 && rest <= maxTail {
			s.tail, s.layout = rest, layoutInline
		}
	case n.entry.Kind == tree.Symlink:
		if s.head+n.size() <= BlockSize {
			s.tail, s.layout = n.size(), layoutInline
		}
	case n.content != nil:
		s.content(n.content)
	}
	return s
}

func (s *shape) content(c *content) {
	s.layout, s.tail = c.layout, int64(len(c.tail))
	switch c.layout {
	case layoutChunks:
		s.index = s.head // a multiple of 4
		s.head += 4 * int64(len(c.chunks))
	case layoutCompactIndex:
		s.index = alignUp(s.head, 8) + mapHeaderSize
		s.head = s.index
		if c.whole > 0 {
			s.head += indexSize(s.index, int(blocksOf(c.entry.Size)))
		}
	}
}

// data is the inode's word for its data: an address, a format, a device or a count.
func (n *node) data(outside uint32) uint32 {
	e := n.entry
	switch {
	case e.Kind == tree.CharDevice || e.Kind == tree.BlockDevice:
		return device(e.Major, e.Minor)
	case n.content == nil:
		return outside
	case n.content.layout == layoutChunks:
		return uint32(n.content.bits - blockBits)
	case n.content.layout == layoutCompactIndex:
		return n.content.blocks
	}
	return n.content.start
}

// encodeInode appends an inode with its xattrs.
func (im *image) encodeInode(n *node, s shape, outside uint32, ids []uint32) ([]byte, error) {
	e := n.entry
	mode := modeOfKind[e.Kind] | uint16(e.Mode)
	var inode any
	if s.inode == compactSize {
		inode = compactInode{
			Format: uint16(s.layout) << 1, Xattrs: n.xattrs.words(), Mode: mode, Links: uint16(n.links), Size: uint32(n.size()),
			Data: n.data(outside), Number: n.number, UID: uint16(e.UID), GID: uint16(e.GID),
		}
	} else {
		inode = extendedInode{
			Format: uint16(s.layout)<<1 | 1, Xattrs: n.xattrs.words(), Mode: mode, Links: n.links, Size: uint64(n.size()),
			Data: n.data(outside), Number: n.number, UID: e.UID, GID: e.GID, MTime: n.mtime,
		}
	}
	out, err := binary.Append(make([]byte, 0, s.head+s.tail), order, inode)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", e.Path, err)
	}
	out = append(out, n.xattrs.encode(ids)...)
	switch s.layout {
	case layoutChunks:
		for _, address := range n.content.chunks {
			out = order.AppendUint32(out, address)
		}
	case layoutCompactIndex:
		out, err = im.appendIndex(out, n.content, s)
	}
	return out, err
}

// appendIndex appends header and index of a compressed inode.
func (im *image) appendIndex(out []byte, c *content, s shape) ([]byte, error) {
	out = append(out, make([]byte, s.index-mapHeaderSize-int64(len(out)))...)
	if c.whole == 0 {
		return order.AppendUint64(out, uint64(c.fragment)|wholeFragment), nil
	}
	big := im.opt.ClusterSize > BlockSize
	head := mapHeader{Advise: adviseLargePacks, Algorithm: uint8(im.opt.Compressor.algorithm), Tail: uint32(len(c.tail)) << 16}
	if big {
		head.Advise |= adviseBig
	}
	if len(c.tail) > 0 {
		head.Advise |= adviseTail
	}
	extents := c.extents
	if c.isFragment {
		head.Advise |= adviseFragment
		head.Tail = uint32(c.fragment)
		extents = append(extents[:len(extents):len(extents)], extent{size: int32(c.entry.Size - c.whole)})
	}
	out, err := binary.Append(out, order, head)
	return append(out, compactIndex(s.index, logicals(extents, c.entry.Size, big), c.start, big)...), err
}
