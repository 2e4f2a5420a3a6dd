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
type repeats struct{ a, b, c uint32 }

// initialRepeats is what a frame begins with.
var initialRepeats = repeats{1, 4, 8}

// value gives the Offset_Value of an offset. After literals the values 1 to 3
// name the three; without, the second, the third, and one less than the first.
func (r repeats) value(off uint32, literals bool) uint32 {
	if !literals {
		r = r.unled()
	}
	switch off {
	case r.a:
		return 1
	case r.b:
		return 2
	case r.c:
		return 3
	}
	return off + 3
}

// unled gives what the values 1 to 3 name where no literals lead.
func (r repeats) unled() repeats { return repeats{r.b, r.c, r.a - 1} }

// after gives the three after a sequence.
func (r repeats) after(off uint32, literals bool) repeats {
	if off == r.a && literals {
		return r
	}
	if off == r.b {
		return repeats{off, r.a, r.c}
	}
	return repeats{off, r.a, r.b}
}
