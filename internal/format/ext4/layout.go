package ext4

import (
	"fmt"
)

// layout is where the fixed parts are, in blocks.
type layout struct {
	blocks         uint64
	groups         uint64
	gdtBlocks      uint64 // descriptors in use
	reservedGDT    uint64 // descriptor blocks in reserve, behind them
	inodesPerGroup uint64
	tableBlocks    uint64 // of one group's inode table
	blockBitmap    []uint64
	inodeBitmap    []uint64
	inodeTable     []uint64 // first block
}

// groupStart is the first block of a group.
func groupStart(group uint64) uint64 { return group * blocksPerGroup }

// groupLen is how many blocks a group has; only the last may be short.
func (l *layout) groupLen(group uint64) uint64 {
	return min(blocksPerGroup, l.blocks-groupStart(group))
}

// overhead is how many blocks the superblock and descriptors take at the start
// of a group.
func (l *layout) overhead(group uint64) uint64 {
	if !hasSuper(group) {
		return 0
	}
	return 1 + l.gdtBlocks + l.reservedGDT
}

// newLayout reckons the layout for a number of inodes that must be there.
func newLayout(opt Options, inodes uint64) (*layout, error) {
	if opt.Size < minBlocks*blockSize || opt.Size > maxSize {
		return nil, fmt.Errorf("size %d: must be from %d to %d bytes", opt.Size, minBlocks*blockSize, int64(maxSize))
	}
	l := &layout{blocks: uint64(opt.Size) / blockSize}
	for {
		l.size(opt, inodes)
		last := l.groups - 1
		if last == 0 || l.groupLen(last) >= l.overhead(last)+2+l.tableBlocks+50 {
			break
		}
		l.blocks = groupStart(last)
	}
	if l.inodesPerGroup > 8*blockSize {
		return nil, fmt.Errorf("%d files are too many for %d bytes", inodes, opt.Size)
	}
	return l, l.place()
}

// size sets the counts that follow from blocks.
func (l *layout) size(opt Options, inodes uint64) {
	l.groups = divUp(l.blocks, blocksPerGroup)
	l.gdtBlocks = divUp(l.groups, descsPerBlock)
	grow := opt.GrowTo
	if grow == 0 {
		grow = defaultGrow
	}
	wanted := divUp(divUp(uint64(max(grow, opt.Size)), blocksPerGroup*blockSize), descsPerBlock)
	// On a small file system not more than 1/64 is given to reserve; the kernel
	// changes to another layout of descriptors when it runs out.
	wanted = min(wanted, addrsPerBlock, l.gdtBlocks+l.blocks/64)
	l.reservedGDT = wanted - min(wanted, l.gdtBlocks)

	ratio := uint64(opt.InodeRatio)
	if ratio == 0 {
		ratio = 16384
	}
	// The table is that of a full group also where the only group is short, so
	// that groups added later get their share; a tiny file system cannot afford it.
	full := uint64(blocksPerGroup)
	if l.blocks < blocksPerGroup/4 {
		full = l.blocks
	}
	const perBlock = blockSize / inodeSize
	l.inodesPerGroup = divUp(max(full*blockSize/ratio, divUp(inodes, l.groups), perBlock), perBlock) * perBlock
	l.tableBlocks = l.inodesPerGroup / perBlock
}

// place puts the bitmaps and inode tables of each flexible group together at
// its start.
func (l *layout) place() error {
	l.blockBitmap, l.inodeBitmap, l.inodeTable = make([]uint64, l.groups), make([]uint64, l.groups), make([]uint64, l.groups)
	for first := uint64(0); first < l.groups; first += groupsPerFlex {
		end := min(first+groupsPerFlex, l.groups)
		next := groupStart(first)
		for _, part := range []struct {
			at   []uint64
			size uint64
		}{{l.blockBitmap, 1}, {l.inodeBitmap, 1}, {l.inodeTable, l.tableBlocks}} {
			for g := first; g < end; g++ {
				part.at[g] = l.clear(next, part.size)
				next = part.at[g] + part.size
			}
		}
		if next > l.blocks {
			return fmt.Errorf("size %d: too small for the inode tables", l.blocks*blockSize)
		}
	}
	return nil
}

// clear gives the first place from start on for size blocks that no superblock
// or descriptor lies in.
func (l *layout) clear(start, size uint64) uint64 {
	for group := start / blocksPerGroup; group*blocksPerGroup < start+size; group++ {
		over := l.overhead(group)
		if over > 0 && start < groupStart(group)+over {
			start = groupStart(group) + over
		}
	}
	return start
}

// journalBlocks is the journal's length.
func (l *layout) journalBlocks(opt Options) uint64 {
	if opt.JournalSize > 0 {
		return max(1024, uint64(opt.JournalSize)/blockSize)
	}
	for _, row := range []struct{ below, blocks uint64 }{
		{1 << 15, 1024}, {1 << 18, 4096}, {1 << 19, 8192}, {1 << 22, 16384}, {1 << 23, 32768},
	} {
		if l.blocks < row.below {
			return row.blocks
		}
	}
	return 65536
}
