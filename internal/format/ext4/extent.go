package ext4

import (
	"encoding/binary"
	"fmt"
)

const (
	extentMagic    = 0xf30a
	extentEntry    = 12 // bytes of a header, an extent or an index
	extentsInline  = 4
	extentsPerLeaf = (blockSize - extentEntry) / extentEntry
	maxExtentLen   = 1 << 15 // blocks; longer counts mean "not initialised"
	blockAreaSize  = 60      // of an inode
)

// extent maps logical blocks of a file to blocks of the disk.
type extent struct {
	logical uint32
	length  uint32
	start   uint64
	unwrit  bool // allocated but not written: reads as zeros
}

// end is the logical block behind the extent.
func (e extent) end() int64 { return int64(e.logical) + int64(e.length) }

// leaf is a block of an extent tree.
type leaf struct {
	block uint64
	data  []byte // without its checksum, which needs the inode's number
}

func extentHeader(entries, capacity, depth int) []byte {
	b := make([]byte, extentEntry)
	le := binary.LittleEndian
	le.PutUint16(b, extentMagic)
	le.PutUint16(b[2:], uint16(entries))
	le.PutUint16(b[4:], uint16(capacity))
	le.PutUint16(b[6:], uint16(depth))
	return b
}

func encodeExtents(extents []extent) []byte {
	le := binary.LittleEndian
	out := make([]byte, 0, len(extents)*extentEntry)
	for _, e := range extents {
		var b [extentEntry]byte
		le.PutUint32(b[:], e.logical)
		le.PutUint16(b[4:], uint16(e.length))
		le.PutUint16(b[6:], uint16(e.start>>32))
		le.PutUint32(b[8:], uint32(e.start))
		out = append(out, b[:]...)
	}
	return out
}

// extentsOf cuts runs into extents.
func extentsOf(runs []run) []extent {
	var out []extent
	logical := uint64(0)
	for _, r := range runs {
		for done := uint64(0); done < r.length; {
			n := min(r.length-done, maxExtentLen)
			out = append(out, extent{logical: uint32(logical), length: uint32(n), start: r.start + done})
			logical, done = logical+n, done+n
		}
	}
	return out
}

// mapRuns gives an inode's block area for the runs, and the leaves of the tree
// when it needs any, for which it takes blocks.
func mapRuns(a *allocator, runs []run) (area [blockAreaSize]byte, leaves []leaf, err error) {
	extents := extentsOf(runs)
	if len(extents) <= extentsInline {
		copy(area[:], append(extentHeader(len(extents), extentsInline, 0), encodeExtents(extents)...))
		return area, nil, nil
	}
	if len(extents) > extentsInline*extentsPerLeaf {
		return area, nil, fmt.Errorf("needs %d extents, %d are supported", len(extents), extentsInline*extentsPerLeaf)
	}
	var index []byte
	for len(extents) > 0 {
		part := extents[:min(len(extents), extentsPerLeaf)]
		extents = extents[len(part):]
		block, err := a.takeOne()
		if err != nil {
			return area, nil, err
		}
		data := make([]byte, blockSize)
		copy(data, append(extentHeader(len(part), extentsPerLeaf, 0), encodeExtents(part)...))
		leaves = append(leaves, leaf{block, data})
		var b [extentEntry]byte
		le := binary.LittleEndian
		le.PutUint32(b[:], part[0].logical)
		le.PutUint32(b[4:], uint32(block))
		le.PutUint16(b[8:], uint16(block>>32))
		index = append(index, b[:]...)
	}
	copy(area[:], append(extentHeader(len(leaves), extentsInline, 1), index...))
	return area, leaves, nil
}

// sumLeaf puts the checksum behind the entries that the leaf has room for.
func sumLeaf(data []byte, seed uint32) {
	end := extentEntry * (1 + extentsPerLeaf)
	binary.LittleEndian.PutUint32(data[end:], crc(seed, data[:end]))
}
