package erofs

// placer gives inodes their places in the metadata area. An inode starts at a
// multiple of 32; what stands behind it as its tail must not cross the end of a block.
// What is small goes into the smallest unused end of a block that holds it, of equal
// ones into the latest, else to the end of the area.
type placer struct {
	at   int64                         // the end
	gaps [BlockSize / slotSize][]int64 // unused ends of blocks, by their size in slots
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
	p.at = alignUp(p.at, slotSize)
	left := -p.at & (BlockSize - 1) // before the end of the last block
	for slots := size / slotSize; slots < int64(len(p.gaps)); slots++ {
		if slots*slotSize == left {
			break
		}
		if last := len(p.gaps[slots]) - 1; last >= 0 {
			at := p.gaps[slots][last]
			p.gaps[slots] = p.gaps[slots][:last]
			p.leave(at+size, slots*slotSize-size)
			return at
		}
	}
	if left < size {
		p.leave(p.at, left)
		p.at += left
	}
	at := p.at
	p.at += size
	return at
}

// leave notes an unused end of a block.
func (p *placer) leave(at, size int64) {
	if size > 0 {
		p.gaps[size/slotSize] = append(p.gaps[size/slotSize], at)
	}
}
