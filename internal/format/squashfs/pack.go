package squashfs

import (
	"encoding/binary"

	"ashlar/internal/foundation/digest"
)

// tail is the end of a file that goes into a fragment block.
type tail struct {
	name string // path of the file
	size int    // bytes, less than a block
}

// packTails splits tails, in their order, into fragment blocks of at most
// blockSize bytes and gives the index of the first tail of each.
//
// Filling each block to the brim would move every later boundary when one
// file grows. Instead a block may end anywhere once it is filled to minFill, and it ends
// before the tail whose name has the lowest hash. The choice looks at a window of names:
// where two trees have the same names they come to the same boundaries again after a
// block or two, whatever happened before, and a file that only changes moves none
// unless it comes to stand at the edge of a window. Names are hashed, and not
// contents, since contents change and names stay.
func packTails(tails []tail, blockSize, minFill int) []int {
	var starts []int
	for first := 0; first < len(tails); {
		starts = append(starts, first)
		first = endOfPack(tails, first, blockSize, minFill)
	}
	return starts
}

// endOfPack gives the index of the first tail that no longer belongs to the
// block that starts with tails[first].
func endOfPack(tails []tail, first, blockSize, minFill int) int {
	filled := tails[first].size
	best, lowest := 0, uint64(0)
	for i := first + 1; i < len(tails); i++ {
		if h := nameHash(tails[i].name); filled >= minFill && (best == 0 || h < lowest) {
			best, lowest = i, h
		}
		if filled += tails[i].size; filled > blockSize {
			if best == 0 {
				best = i
			}
			return best
		}
	}
	return len(tails)
}

func nameHash(name string) uint64 {
	sum := digest.Of([]byte(name))
	return binary.BigEndian.Uint64(sum[:8])
}
