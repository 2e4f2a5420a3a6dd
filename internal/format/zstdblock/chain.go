package zstdblock

// chainFinder finds earlier places with the same four bytes: heads holds the
// last one of each hash, links what came before each. Places count from one.
type chainFinder struct {
	heads  []uint32
	links  []uint32
	shift  uint
	depth  int
	nice   int
	sure   uint32
	done   int // places below are in
	threes threeFinder
}

// restart empties the finder for a frame of so many bytes.
func (f *chainFinder) restart(size int, s *settings) {
	f.shift = 32 - uint(hashBitsFor(size, s.hashBits))
	f.heads = cleared(f.heads, 1<<(32-f.shift))
	f.links = roomFor(f.links, size)
	f.depth, f.nice, f.sure, f.done = s.depth, s.nice, uint32(s.sure), 0
	if s.search != lazyChains {
		f.threes.restart()
	}
}

// insert takes in all places below p.
func (f *chainFinder) insert(src []byte, p int) {
	for i := f.done; i < p; i++ {
		h := hash4(load32(src, i)) >> f.shift
		f.links[i] = f.heads[h]
		f.heads[h] = uint32(i + 1)
	}
	f.done = max(f.done, p)
}

// find gives the longest match at p that is longer than least and ends before
// end, the nearest of equals; length 0 if there is none.
func (f *chainFinder) find(src []byte, p, end, least int) (length, off int) {
	f.insert(src, p)
	if end-p <= least || end-p < 4 {
		return 0, 0
	}
	first := load32(src, p)
	next := f.heads[hash4(first)>>f.shift]
	for n := f.depth; next > 0 && n > 0; n-- {
		at := int(next - 1)
		next = f.links[at]
		if src[at+least] != src[p+least] || load32(src, at) != first {
			continue
		}
		got := 4 + matchLength(src, at+4, p+4, end)
		if got > least {
			least, length, off = got, got, p-at
			if got >= f.nice || p+got >= end {
				break
			}
		}
	}
	return length, off
}

// fill finds the matches of the places in [from, to) that end before to. At the
// places inside a match of nice bytes it does not look for any, and what is
// left of a sure match is all that it notes of a place.
func (f *chainFinder) fill(t *matchTable, src []byte, from, to int) {
	t.restart(to - from)
	known, quiet := match{}, from
	for p := from; p < to; p++ {
		t.first[p-from] = uint32(len(t.found))
		f.insert(src, p)
		if p < quiet || to-p < 4 {
			f.threes.insert(p, load32(src, p))
			continue
		}
		if known.length > 0 {
			known.length--
		}
		if known.length >= f.sure {
			f.threes.insert(p, load32(src, p))
			t.found = append(t.found, known)
			continue
		}
		if known = f.search(t, src, p, to); int(known.length) >= f.nice {
			quiet, known = p+int(known.length), match{}
		}
	}
	t.first[to-from] = uint32(len(t.found))
}

// search puts the matches of p into the table and gives the longest, if it is
// longer than three bytes.
func (f *chainFinder) search(t *matchTable, src []byte, p, to int) (longest match) {
	here := load32(src, p)
	best := minMatch - 1
	if off := f.threes.find(src, p, here); off > 0 {
		best = minMatch
		t.found = append(t.found, match{minMatch, uint32(off)})
	}
	next := f.heads[hash4(here)>>f.shift]
	for n := f.depth; next > 0 && n > 0; n-- {
		at := int(next - 1)
		next = f.links[at]
		if src[at+best] != src[p+best] || load32(src, at) != here {
			continue
		}
		if got := 4 + matchLength(src, at+4, p+4, to); got > best {
			best, longest = got, match{uint32(got), uint32(p - at)}
			t.found = append(t.found, longest)
			if got >= f.nice || p+got >= to {
				break
			}
		}
	}
	return longest
}
