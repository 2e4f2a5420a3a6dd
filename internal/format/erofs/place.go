package erofs

// maxGaps is how many unfinished blocks of metadata are kept open.
const maxGaps = 64

// gap is the unused end of a block of metadata.
type gap struct{ at, size int64 }

// placer gives inodes their places in the metadata area. An inode starts at a
// multiple of 32; what stands behind it as its tail must not cross the end of a block.
// Small inodes go into the smallest gap that holds them, else to the end.
type placer struct {
	at   int64 // the end
	gaps []gap // oldest first
}

// place gives the place of an inode with so many bytes of head and tail. whole
// wants all of it within one block.
func (p *placer) place(head, tail int64, whole bool) int64 {
	if size := head + tail; size <= BlockSize && (tail > 0 || whole) {
		return p.fit(alignUp(size, slotSize))
	}
	at := alignUp(p.at, slotSize)
	for tail > 0 && (at+head)%BlockSize+tail > BlockSize {
		at += slotSize
	}
	p.at = at + alignUp(head+tail, slotSize)
	return at
}

// fit places what is not larger than a block and a multiple of 32 bytes.
func (p *placer) fit(size int64) int64 {
	best := -1
	for i, g := range p.gaps {
		if g.size >= size && (best < 0 || g.size < p.gaps[best].size) {
			best = i
		}
	}
	p.at = alignUp(p.at, slotSize)
	left := -p.at & (BlockSize - 1) // before the end of the last block
	if best >= 0 && (left < size || p.gaps[best].size < left) {
		g := &p.gaps[best]
		at := g.at
		if g.at, g.size = g.at+size, g.size-size; g.size == 0 {
			p.gaps = append(p.gaps[:best], p.gaps[best+1:]...)
		}
		return at
	}
	if left > 0 && left < size {
		if len(p.gaps) == maxGaps {
			p.gaps = append(p.gaps[:0], p.gaps[1:]...)
		}
		p.gaps = append(p.gaps, gap{p.at, left})
		p.at += left
	}
	at := p.at
	p.at += size
	return at
}
