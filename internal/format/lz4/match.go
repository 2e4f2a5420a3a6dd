package lz4

import (
	"encoding/binary"
	"math/bits"
)

const hashBits = 16

// finder finds earlier places with the same bytes: for each hash of four bytes
// the latest place, and for each of the last 65536 places the one before it with the same hash.
type finder struct {
	src    []byte
	latest [1 << hashBits]int32 // place + 1; 0 is none
	before [1 << 16]int32       // likewise
	filled int                  // places below are in the tables
}

func (f *finder) reset(src []byte) {
	f.src, f.filled = src, 0
	clear(f.latest[:])
}

func hash(word uint32) uint32 { return word * 2654435761 >> (32 - hashBits) }

// fill enters all places up to and with at, which has four bytes behind it,
// but for those that are too far back for any match from now on.
func (f *finder) fill(at int) {
	f.filled = max(f.filled, at-maxDistance)
	for ; f.filled <= at; f.filled++ {
		h := hash(binary.LittleEndian.Uint32(f.src[f.filled:]))
		f.before[uint16(f.filled)] = f.latest[h]
		f.latest[h] = int32(f.filled) + 1
	}
}

// longest gives the length and the distance of the longest match at a place,
// the nearest of equally long ones. It starts at from or later and ends at end or before.
func (f *finder) longest(at, from, end, effort, nice int) (length, distance int) {
	most := end - at
	if most < minMatch {
		return 0, 0
	}
	f.fill(at)
	src := f.src
	word := binary.LittleEndian.Uint32(src[at:])
	from = max(from, at-maxDistance)
	for place := int(f.before[uint16(at)]) - 1; place >= from && effort > 0; effort-- {
		if length < most && src[place+length] == src[at+length] && binary.LittleEndian.Uint32(src[place:]) == word {
			if n := common(src, place, at, most); n > length && n >= minMatch {
				if length, distance = n, at-place; n >= nice || n == most {
					break
				}
			}
		}
		place = int(f.before[uint16(place)]) - 1
	}
	return length, distance
}

// common counts equal bytes at two places, at most most.
func common(src []byte, a, b, most int) int {
	n := 0
	for n+8 <= most {
		if x := binary.LittleEndian.Uint64(src[a+n:]) ^ binary.LittleEndian.Uint64(src[b+n:]); x != 0 {
			return n + bits.TrailingZeros64(x)/8
		}
		n += 8
	}
	for n < most && src[a+n] == src[b+n] {
		n++
	}
	return n
}
