package zstdblock

import "math/bits"

// Finite state entropy, RFC 8878, 4.1.

const (
	maxFSELog = 9
	// maxFSESymbols is the largest alphabet: match length codes.
	maxFSESymbols = mlCodes
)

// fseCounts are normalised counts: how many of the 1<<log states a symbol has,
// -1 for one state at the end of the table.
type fseCounts struct {
	log  uint
	n    int // symbols; the last has a count
	norm [maxFSESymbols]int16
}

// fseTable turns symbols into bits.
type fseTable struct {
	log     uint
	symbols [maxFSESymbols]fseSymbol
	next    [1 << maxFSELog]uint16
}

// fseSymbol says of a symbol with p states: from state x in [size, 2*size) it
// takes (x+bits)>>16 bits, and what remains of x, in [p, 2*p), plus first is
// where next holds the new state.
type fseSymbol struct {
	bits  uint32
	first int32
}

// states gives the number of states of a symbol.
func (c *fseCounts) states(s int) int {
	if c.norm[s] < 0 {
		return 1
	}
	return int(c.norm[s])
}

// build makes the table. Decoders number the states of a symbol in the order
// in which they lie in the table; so does next.
func (t *fseTable) build(c *fseCounts) {
	t.log = c.log
	size := 1 << c.log
	var spread [1 << maxFSELog]uint8
	high := size
	for s := range c.n {
		if c.norm[s] < 0 {
			high--
			spread[high] = uint8(s)
		}
	}
	step, mask, pos := size>>1+size>>3+3, size-1, 0
	for s := range c.n {
		for range max(c.norm[s], 0) {
			spread[pos] = uint8(s)
			for pos = (pos + step) & mask; pos >= high; pos = (pos + step) & mask {
			}
		}
	}
	var place [maxFSESymbols]int
	total := 0
	for s := range c.n {
		place[s] = total
		total += t.describe(c, s, total)
	}
	for i := range size {
		s := spread[i]
		t.next[place[s]] = uint16(size + i)
		place[s]++
	}
}

// describe fills the entry of a symbol whose states begin at total.
func (t *fseTable) describe(c *fseCounts, s, total int) int {
	p := c.states(s)
	if p == 0 {
		t.symbols[s] = fseSymbol{}
		return 0
	}
	most := c.log - uint(bits.Len(uint(p))-1) // bits from the states that are p<<most and above
	t.symbols[s] = fseSymbol{
		bits:  uint32(most)<<16 - uint32(p)<<most,
		first: int32(total - p),
	}
	return p
}

// buildRLE makes the table of a single symbol, which takes no bits at all.
func (t *fseTable) buildRLE(symbol uint8) {
	t.log = 0
	t.symbols[symbol] = fseSymbol{bits: 0, first: 0}
	t.next[0], t.next[1] = 1, 1
}

// start gives the first state for the symbol that is decoded last. It is the
// symbol's first one, whose successor takes bits: weight decoding ends there.
func (t *fseTable) start(s uint8) uint32 {
	sym := t.symbols[s]
	if t.log == 0 {
		return 1
	}
	most := (sym.bits + 1<<16 - 1) >> 16
	p := (uint32(most)<<16 - sym.bits) >> most
	return uint32(t.next[int32(p)+sym.first])
}

// writeHeader appends the table description: RFC 8878, 4.1.1.
func (c *fseCounts) writeHeader(w *bitWriter) {
	w.reserve(2 * maxFSESymbols)
	w.add(uint64(c.log-5), 4)
	left := 1<<c.log + 1 // what is not given out yet, and one
	for s := 0; s < c.n && left > 1; {
		v := uint32(c.norm[s] + 1)
		width := uint(bits.Len32(uint32(left)))
		low := uint32(1)<<width - 1 - uint32(left) // values below take a bit less
		switch {
		case v < low:
			w.add(uint64(v), width-1)
		case v < 1<<(width-1):
			w.add(uint64(v), width)
		default:
			w.add(uint64(v+low), width)
		}
		left -= c.states(s)
		s++
		if v == 1 {
			s = c.writeZeros(w, s)
		}
		w.flush()
	}
	w.align()
}

// writeZeros says, after a symbol without states, how many more have none.
func (c *fseCounts) writeZeros(w *bitWriter, s int) int {
	from := s
	for s < c.n && c.norm[s] == 0 {
		s++
	}
	for zeros := s - from; ; zeros -= 3 {
		w.add(uint64(min(zeros, 3)), 2)
		w.flush()
		if zeros < 3 {
			return s
		}
	}
}
