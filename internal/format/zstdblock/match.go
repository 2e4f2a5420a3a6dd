package zstdblock

import "math/bits"

// match is an earlier place with the same bytes.
type match struct {
	length, off uint32
}

// matchTable holds the matches of all places of a block.
type matchTable struct {
	found []match  // ascending lengths at each place
	first []uint32 // where in found the matches of a place begin
}

// restart empties the table for a block of n places.
func (t *matchTable) restart(n int) {
	t.found = t.found[:0]
	t.first = roomFor(t.first, n+1)
}

// at gives the matches of a place, counted from the start of the block.
func (t *matchTable) at(i int) []match { return t.found[t.first[i]:t.first[i+1]] }

// longest gives the longest match of a place, of at most so many bytes.
func (t *matchTable) longest(i, most int) match {
	found := t.at(i)
	if len(found) == 0 {
		return match{}
	}
	m := found[len(found)-1]
	m.length = min(m.length, uint32(most))
	return m
}

// threeFinder knows the last place of each hash of three bytes.
type threeFinder struct {
	heads []uint32 // places plus one
}

// hash3Bits is the size of its table.
const hash3Bits = 15

func (f *threeFinder) restart() { f.heads = cleared(f.heads, 1<<hash3Bits) }

// insert takes in place p, where the bytes are here.
func (f *threeFinder) insert(p int, here uint32) {
	f.heads[hash4(here<<8)>>(32-hash3Bits)] = uint32(p + 1)
}

// find gives the offset of a match of three bytes, 0 if there is none, and
// takes in place p.
func (f *threeFinder) find(src []byte, p int, here uint32) int {
	head := &f.heads[hash4(here<<8)>>(32-hash3Bits)]
	at := int(*head) - 1
	*head = uint32(p + 1)
	if at < 0 || (load32(src, at)^here)<<8 != 0 {
		return 0
	}
	return p - at
}

// hash4 spreads four bytes over the top bits of a word.
func hash4(v uint32) uint32 { return v * 2654435761 }

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
