package ext4

import "fmt"

// run is a row of blocks.
type run struct {
	start, length uint64
}

// allocator hands out blocks in rising order.
type allocator struct {
	used   []byte // one bit a block, of whole groups; set beyond the end
	blocks uint64
	next   uint64 // all below are used, or were passed over
	free   uint64
}

// newAllocator marks what the layout takes.
func newAllocator(l *layout) *allocator {
	a := &allocator{used: make([]byte, l.groups*blockSize), blocks: l.blocks, free: l.blocks}
	for b := l.blocks; b < l.groups*blocksPerGroup; b++ {
		a.used[b/8] |= 1 << (b % 8)
	}
	for g := range l.groups {
		a.mark(groupStart(g), l.overhead(g))
		a.mark(l.blockBitmap[g], 1)
		a.mark(l.inodeBitmap[g], 1)
		a.mark(l.inodeTable[g], l.tableBlocks)
	}
	return a
}

func (a *allocator) isUsed(b uint64) bool { return a.used[b/8]&(1<<(b%8)) != 0 }

func (a *allocator) mark(start, length uint64) {
	for b := start; b < start+length; b++ {
		a.used[b/8] |= 1 << (b % 8)
	}
	a.free -= length
}

// take allocates blocks, in as few runs as the fixed parts allow.
func (a *allocator) take(blocks uint64) ([]run, error) {
	if blocks > a.free {
		return nil, fmt.Errorf("no space: needs %d bytes, %d are free; make the file system larger", blocks*blockSize, a.free*blockSize)
	}
	var runs []run
	for blocks > 0 {
		for a.next < a.blocks && a.isUsed(a.next) {
			a.next++
		}
		start := a.next
		for a.next < a.blocks && a.next-start < blocks && !a.isUsed(a.next) {
			a.next++
		}
		got := run{start, a.next - start}
		a.mark(got.start, got.length)
		runs, blocks = append(runs, got), blocks-got.length
	}
	return runs, nil
}

// takeOne allocates a single block.
func (a *allocator) takeOne() (uint64, error) {
	runs, err := a.take(1)
	if err != nil {
		return 0, err
	}
	return runs[0].start, nil
}

// freeIn counts the free blocks of a group.
func (a *allocator) freeIn(group uint64) uint64 {
	free := uint64(0)
	for b := groupStart(group); b < groupStart(group+1); b++ {
		if !a.isUsed(b) {
			free++
		}
	}
	return free
}
