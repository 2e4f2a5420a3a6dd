package zstdblock

// treeFinder finds, for each place, the nearest earlier place for each length
// of equal bytes. All places with equal hashes of four bytes hang in a binary
// tree, sorted by what follows them, the latest place at the root.
type treeFinder struct {
	heads  []uint32 // places plus one
	threes threeFinder
	kids   []uint32 // of place p: 2*p sorts before it, 2*p+1 behind it
	shift  uint
	depth  int
	nice   int
}

// foundPerPlace bounds found, to so many times the block's length; a block
// that has more keeps the longest match of the places after that.
const foundPerPlace = 10

// restart empties the finder for a frame of so many bytes.
func (f *treeFinder) restart(size int, s *settings) {
	f.shift = 32 - uint(hashBitsFor(size, s.hashBits))
	f.heads = cleared(f.heads, 1<<(32-f.shift))
	f.threes.restart()
	f.kids = roomFor(f.kids, 2*size)
	f.depth, f.nice = s.depth, s.nice
}

// fill finds the matches of the places in [from, to) that end before to; size
// is where the frame ends. Inside a match of nice bytes nothing is looked for.
func (f *treeFinder) fill(t *matchTable, src []byte, from, to, size int) {
	t.restart(to - from)
	for p, quiet := from, from; p < to; p++ {
		t.first[p-from] = uint32(len(t.found))
		if p < quiet {
			f.insert(t, src, p, size)
			continue
		}
		if longest := f.search(t, src, p, to, size); longest >= f.nice {
			quiet = p + longest
		}
	}
	t.first[to-from] = uint32(len(t.found))
}

// search puts place p into the tree and its matches into the table; it gives
// the longest length.
func (f *treeFinder) search(t *matchTable, src []byte, p, to, size int) int {
	end := min(p+f.nice, size)
	if end-p < 4 {
		return 0
	}
	from := len(t.found)
	best := minMatch - 1
	if off := f.threes.find(src, p, load32(src, p)); off > 0 {
		best = minMatch
		t.found = append(t.found, match{minMatch, uint32(off)})
	}
	f.descend(t, src, p, end, best)
	return f.clip(t, src, from, p, to)
}

// insert puts place p into the tree, without noting matches.
func (f *treeFinder) insert(t *matchTable, src []byte, p, size int) {
	end := min(p+f.nice, size)
	if end-p < 4 {
		return
	}
	f.threes.insert(p, load32(src, p))
	f.descend(t, src, p, end, f.nice)
}

// descend makes p the root of its tree and divides what was there into what
// sorts before p and what sorts behind. On the way it notes each match that is
// longer than best and all before it. Bytes from end on are not looked at.
func (f *treeFinder) descend(t *matchTable, src []byte, p, end, best int) {
	head := &f.heads[hash4(load32(src, p))>>f.shift]
	next := *head
	*head = uint32(p + 1)
	kids := f.kids
	before, behind := 2*p, 2*p+1     // where the next place of each side goes
	equalBefore, equalBehind := 0, 0 // what all of that side share with p
	for n := f.depth; next > 0 && n > 0; n-- {
		at := int(next - 1)
		equal := min(equalBefore, equalBehind)
		equal += matchLength(src, at+equal, p+equal, end)
		if equal > best {
			best = equal
			t.found = append(t.found, match{uint32(equal), uint32(p - at)})
		}
		if p+equal >= end {
			// As far as anyone looks the two are the same: p takes its place.
			kids[before], kids[behind] = kids[2*at], kids[2*at+1]
			return
		}
		if src[at+equal] < src[p+equal] {
			kids[before] = next
			before, equalBefore = 2*at+1, equal
			next = kids[before]
		} else {
			kids[behind] = next
			behind, equalBehind = 2*at, equal
			next = kids[behind]
		}
	}
	kids[before], kids[behind] = 0, 0
}

// clip ends the matches of p at the end of the block, draws out the longest as
// far as it goes, and gives its length.
func (f *treeFinder) clip(t *matchTable, src []byte, from, p, to int) int {
	n := len(t.found)
	for n-1 > from && int(t.found[n-2].length) >= to-p {
		n--
	}
	if n == from {
		return 0
	}
	last := t.found[n-1]
	if last.length = min(last.length, uint32(to-p)); int(last.length) >= f.nice {
		got := int(last.length)
		last.length += uint32(matchLength(src, p+got-int(last.off), p+got, to))
	}
	if last.length < minMatch {
		t.found = t.found[:from]
		return 0
	}
	if n > foundPerPlace*maxBlock {
		n = from + 1
	}
	t.found = t.found[:n]
	t.found[n-1] = last
	return int(last.length)
}
