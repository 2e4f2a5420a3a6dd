package erofs

import (
	"encoding/binary"
	"slices"

	"ashlar/internal/foundation/digest"
	"ashlar/internal/foundation/tree"
)

const (
	// minUnit is the least that is packed together; with larger clusters it is as much as a cluster.
	minUnit = 64 << 10
	// maxAlone is the longest file that stands behind its inode, although there are fragments.
	maxAlone = 128
	// maxPacked is how far an index says where a fragment is.
	maxPacked = 1 << 32
)

// fragments are the ends of files, and small files, that are compressed together:
// they stand in a file that has no name, the packed file. It has packs of equal size, each
// filled with zeros: so a changed file changes its own pack and few others.
type fragments struct {
	unit  int64
	packs [][]*content
}

// packFragments has the ends of contents come into packs, and adds the packed file to the plan.
func (p *plan) packFragments(clusterSize int, buildTime int64) {
	f := &fragments{unit: int64(max(clusterSize, minUnit))}
	var owners []*content
	for _, c := range p.contents {
		if c.entry.Size%f.unit > 0 && c.entry.Size > maxAlone {
			owners = append(owners, c)
		}
	}
	for len(owners) > 0 && int64(len(f.packs)+1)*f.unit <= maxPacked {
		n := endOfPack(owners, f.unit)
		at := int64(len(f.packs)) * f.unit
		for _, c := range owners[:n] {
			c.whole = c.entry.Size - c.entry.Size%f.unit
			c.isFragment, c.fragment = true, at
			at += c.entry.Size - c.whole
			c.layout = layoutCompactIndex
		}
		f.packs = append(f.packs, slices.Clip(owners[:n]))
		owners = owners[n:]
	}
	if len(f.packs) == 0 {
		return
	}
	size := int64(len(f.packs)-1) * f.unit
	for _, c := range f.packs[len(f.packs)-1] {
		size += c.entry.Size - c.whole
	}
	entry := &tree.Entry{Path: "(packed file)", Kind: tree.File, Size: size}
	p.packed = &node{entry: entry, links: 1, mtime: buildTime, number: uint32(len(p.inodes) + 1)}
	p.packed.content = &content{entry: entry, whole: size, fragments: f}
	p.inodes = append(p.inodes, p.packed)
	p.contents = append(p.contents, p.packed.content)
}

// endOfPack gives how many contents come into the next pack.
//
// A pack that is filled to the brim would move every later one when a file
// grows. Instead it may end once it is half full, and it ends before the content whose name has the
// lowest hash. Trees with the same names come to the same ends of packs again.
func endOfPack(owners []*content, unit int64) int {
	filled := owners[0].entry.Size % unit
	best, lowest := 0, uint64(0)
	for i := 1; i < len(owners); i++ {
		sum := digest.Of([]byte(owners[i].entry.Path))
		if h := binary.BigEndian.Uint64(sum[:8]); filled >= unit/2 && (best == 0 || h < lowest) {
			best, lowest = i, h
		}
		if filled += owners[i].entry.Size % unit; filled > unit {
			if best == 0 {
				best = i
			}
			return best
		}
	}
	return len(owners)
}
