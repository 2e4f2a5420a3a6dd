package zstdblock

import "math/bits"

// Codes of literal lengths, match lengths and offsets: RFC 8878, 3.1.1.3.2.1.1.

const (
	minMatch = 3
	// maxBlock is the Block_Maximum_Size of zstd.
	maxBlock = 128 << 10

	llCodes = 36
	mlCodes = 53
	// ofCodes suffices for offsets up to MaxFrame: code 20 and no further.
	ofCodes = 21
)

// llExtra is how many bits follow each code of a literal length.
var llExtra = [llCodes]uint8{16: 1, 1, 1, 1, 2, 2, 3, 3, 4, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}

// mlExtra is how many bits follow each code of a match length.
var mlExtra = [mlCodes]uint8{32: 1, 1, 1, 1, 2, 2, 3, 3, 4, 4, 5, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}

// The least length that each code stands for; extra bits are added to it.
var (
	llBase = bases(llExtra[:], 0)
	mlBase = bases(mlExtra[:], minMatch)
)

func bases(extra []uint8, first uint32) []uint32 {
	list := make([]uint32, len(extra))
	for i, n := range extra {
		list[i] = first
		first += 1 << n
	}
	return list
}

// Codes of short lengths; longer ones follow the length of the number.
var (
	llShort = shortCodes(llBase, 64)
	mlShort = shortCodes(mlBase, 128+minMatch)
)

func shortCodes(base []uint32, n int) []uint8 {
	list := make([]uint8, n)
	code := 0
	for i := range list {
		for code+1 < len(base) && base[code+1] <= uint32(i) {
			code++
		}
		list[i] = uint8(code)
	}
	return list
}

// llCode gives the code of a literal length.
func llCode(n uint32) uint8 {
	if n < 64 {
		return llShort[n]
	}
	return uint8(bits.Len32(n)) + 18
}

// mlCode gives the code of a match length.
func mlCode(n uint32) uint8 {
	if n < uint32(len(mlShort)) {
		return mlShort[n]
	}
	return uint8(bits.Len32(n-minMatch)) + 35
}

// ofCode gives the code of an Offset_Value, which is also the number of its
// extra bits.
func ofCode(value uint32) uint8 { return uint8(bits.Len32(value) - 1) }

// sequence is literals, then a copy of what stands off bytes before.
type sequence struct {
	lit, length, off uint32
}

// repeats are the three offsets that have short names, the latest first.
type repeats [3]uint32

// initialRepeats is what a frame begins with.
var initialRepeats = repeats{1, 4, 8}

// take gives the Offset_Value of a sequence and renews the three. After
// literals the values 1 to 3 name the three; without, they name the second,
// the third, and one less than the first.
func (r *repeats) take(off uint32, literals bool) uint32 {
	if literals {
		switch off {
		case r[0]:
			return 1
		case r[1]:
			r[1], r[0] = r[0], off
			return 2
		case r[2]:
			r[2], r[1], r[0] = r[1], r[0], off
			return 3
		}
		r[2], r[1], r[0] = r[1], r[0], off
		return off + 3
	}
	switch off {
	case r[1]:
		r[1], r[0] = r[0], off
		return 1
	case r[2]:
		r[2], r[1], r[0] = r[1], r[0], off
		return 2
	case r[0] - 1:
		r[2], r[1], r[0] = r[1], r[0], off
		return 3
	}
	r[2], r[1], r[0] = r[1], r[0], off
	return off + 3
}
