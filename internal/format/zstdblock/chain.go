package zstdblock

import "math/bits"

// chainFinder finds earlier places with the same four bytes: heads holds the
// last one of each hash, links what came before each. Places count from one.
type chainFinder struct {
	heads  []uint32
	links  []uint32
	shift  uint
	depth  int
	nice   int
	done   int // places below are in
	heads3 []uint32
}

// restart empties the finder for a frame of so many bytes.
func (f *chainFinder) restart(size int, s *settings) {
	f.shift = 32 - uint(hashBitsFor(size, s.hashBits))
	f.heads = cleared(f.heads, 1<<(32-f.shift))
	f.links = roomFor(f.links, size)
	f.depth, f.nice, f.done = s.depth, s.nice, 0
}

// hashBitsFor gives smaller tables to short frames, which would pay more for
// emptying them than for their content.
func hashBitsFor(size, most int) int {
	return min(max(bits.Len(uint(size)), 8), most)
}

// cleared gives n zeros, in old if it is long enough.
func cleared(old []uint32, n int) []uint32 {
	old = roomFor(old, n)
	clear(old)
	return old
}

// roomFor gives n numbers of any value, in old if it is long enough.
func roomFor(old []uint32, n int) []uint32 {
	if cap(old) < n {
		return make([]uint32, n)
	}
	return old[:n]
}

// hash4 spreads four bytes over the top bits of a word.
func hash4(v uint32) uint32 { return v * 2654435761 }

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

// matchLength counts the equal bytes at a and b, of which b is the later; it
// stops at end.
func matchLength(src []byte, a, b, end int) int {
	from := b
	for b+8 <= end {
		if x := load64(src, a) ^ load64(src, b); x != 0 {
			return b - from + bits.TrailingZeros64(x)>>3
		}
		a += 8
		b += 8
	}
	for b < end && src[a] == src[b] {
		a++
		b++
	}
	return b - from
}

// fill finds the matches of the places in [from, to) that end before to.
func (f *chainFinder) fill(t *matchTable, src []byte, from, to int) {
	t.first = roomFor(t.first, to-from+1)
	t.found = t.found[:0]
	known, knownOff, quiet := 0, uint32(0), 0
	for p := from; p < to; p++ {
		t.first[p-from] = uint32(len(t.found))
		f.insert(src, p)
		here := load32(src, p)
		h3 := hash4(here<<8) >> (32 - hash3Bits)
		at3 := int(f.heads3[h3]) - 1
		f.heads3[h3] = uint32(p + 1)
		if p < quiet || to-p < 4 {
			known--
			continue
		}
		if known--; known >= sureLength {
			t.found = append(t.found, match{uint32(known), knownOff})
			continue
		}
		best := minMatch - 1
		if at3 >= 0 && (load32(src, at3)^here)<<8 == 0 {
			best = minMatch
			t.found = append(t.found, match{minMatch, uint32(p - at3)})
		}
		next := f.heads[hash4(here)>>f.shift]
		for n := f.depth; next > 0 && n > 0; n-- {
			at := int(next - 1)
			next = f.links[at]
			if src[at+best] != src[p+best] || load32(src, at) != here {
				continue
			}
			if got := 4 + matchLength(src, at+4, p+4, to); got > best {
				best = got
				t.found = append(t.found, match{uint32(got), uint32(p - at)})
				if p+got >= to || got >= f.nice {
					break
				}
			}
		}
		if best > minMatch {
			known, knownOff = best, t.found[len(t.found)-1].off
		}
		if best >= f.nice {
			quiet = p + best
		}
	}
	t.first[to-from] = uint32(len(t.found))
}

const sureLength = 16
