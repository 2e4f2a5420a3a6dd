package squashfs

import (
	"encoding/binary"
	"math/bits"

	"ashlar/internal/foundation/digest"
)

// Layout is the version of how images are laid out: which tails share a fragment
// block, and the order of everything. Images of one tree, compressor and block size
// are equal as long as it is the same; the lock names it.
const Layout = 2

// tail is the end of a file that goes into a fragment block.
type tail struct {
	name string // path of the file
	size int    // bytes, less than a block
}

// Tails, in the order of paths, are first cut into groups of some blocks, then
// each group into fragment blocks. All cuts are before the name with the lowest hash among
// those that stand where a cut may be. So a file that changes moves cuts in its own
// group only, and there mostly none; names are hashed, and not contents, since contents
// change and names stay.
//
// What it costs, in bytes of an image with zstd and blocks of 256 KiB, against
// fragment blocks filled to the brim, of which every change moves all behind it up to
// the next luck: 0.34 % of examples/web, 0.26 % of systemd, 0.35 % of git. A file whose
// size changes by up to a tenth changes 1.02 to 1.05 fragment blocks on average, its own
// included, and 4 at most; filled to the brim 1.07 to 1.23, and 10 at most.
const (
	groupBlocks = 8 // the most that a group has

	// A cut of a group leaves so many blocks on both sides at least: as a tail is
	// smaller than a block, there is always a place for it.
	sideNumerator, sideDenominator = groupBlocks - 1, 2

	// A fragment block may end from half full on. Lower means steadier cuts, higher fuller blocks.
	fillNumerator, fillDenominator = 1, 2
)

// packTails splits tails, in their order, into fragment blocks of at most
// blockSize bytes and gives the index of the first tail of each.
func packTails(tails []tail, blockSize int) []int {
	p := packer{blockSize: blockSize, hashes: make([]uint64, len(tails)), sizes: make([]int, len(tails))}
	for i, t := range tails {
		p.hashes[i], p.sizes[i] = nameHash(t.name), steady(t.size, blockSize)
	}
	if len(tails) > 0 {
		p.group(0, len(tails))
	}
	return p.starts
}

// packer collects the first tails of fragment blocks.
type packer struct {
	blockSize int
	hashes    []uint64
	sizes     []int // as they count for cuts
	starts    []int
}

// steady rounds a size up to a thirty-second of its power of two: a file that
// changes a little has the size it had, as far as cuts go.
func steady(size, blockSize int) int {
	step := max(1, 1<<bits.Len(uint(size))>>6)
	return min((size+step-1)/step*step, blockSize)
}

// group cuts tails until they fit into the blocks of a group. Whether and where
// does not depend on any other tails.
func (p *packer) group(first, end int) {
	total := 0
	for _, size := range p.sizes[first:end] {
		total += size
	}
	if total <= groupBlocks*p.blockSize {
		for first < end {
			p.starts = append(p.starts, first)
			first = p.endOfBlock(first, end)
		}
		return
	}
	side := p.blockSize * sideNumerator / sideDenominator
	before, cut := 0, -1
	for i := first; i < end; i++ {
		if before >= side && total-before >= side && (cut < 0 || p.hashes[i] < p.hashes[cut]) {
			cut = i
		}
		before += p.sizes[i]
	}
	p.group(first, cut)
	p.group(cut, end)
}

// endOfBlock gives the index of the first tail that no longer belongs to the
// fragment block that starts with the first one.
func (p *packer) endOfBlock(first, end int) int {
	filled, cut := p.sizes[first], -1
	for i := first + 1; i < end; i++ {
		if filled >= p.blockSize*fillNumerator/fillDenominator && (cut < 0 || p.hashes[i] < p.hashes[cut]) {
			cut = i
		}
		if filled += p.sizes[i]; filled > p.blockSize {
			if cut < 0 {
				cut = i
			}
			return cut
		}
	}
	return end
}

func nameHash(name string) uint64 {
	sum := digest.Of([]byte(name))
	return binary.BigEndian.Uint64(sum[:8])
}
