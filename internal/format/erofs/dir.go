package erofs

import (
	"slices"
	"strings"
)

// listing is what a directory holds: entries in byte order, "." and ".." among
// them, in blocks that have a table of entries and then their names.
type listing struct {
	entries []child
	starts  []int // index of the first entry of each block
	size    int64 // bytes; the last block ends with its last name
}

// listingOf cuts the entries of a directory into blocks.
func listingOf(n *node) *listing {
	l := &listing{entries: append([]child{{".", n}, {"..", n.parent}}, n.children...)}
	slices.SortFunc(l.entries, func(a, b child) int { return strings.Compare(a.name, b.name) })
	used := BlockSize
	for i, c := range l.entries {
		need := direntSize + len(c.name)
		if used+need > BlockSize {
			l.starts = append(l.starts, i)
			used = 0
		}
		used += need
	}
	l.size = int64(len(l.starts)-1)<<blockBits + int64(used)
	return l
}

// encode gives the listing; the inodes have their places.
func (l *listing) encode() []byte {
	out := make([]byte, 0, l.size)
	for i, start := range l.starts {
		end := len(l.entries)
		if i+1 < len(l.starts) {
			end = l.starts[i+1]
		}
		out = append(out, make([]byte, -len(out)&(BlockSize-1))...)
		out = appendEntries(out, l.entries[start:end])
	}
	return out
}

// appendEntries appends one block, without what fills it up.
func appendEntries(out []byte, entries []child) []byte {
	name := direntSize * len(entries)
	for _, c := range entries {
		out = order.AppendUint64(out, c.node.nid())
		out = order.AppendUint16(out, uint16(name))
		out = append(out, typeOfKind(c.node.entry.Kind), 0)
		name += len(c.name)
	}
	for _, c := range entries {
		out = append(out, c.name...)
	}
	return out
}
