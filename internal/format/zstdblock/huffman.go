package zstdblock

import (
	"math"
	"math/bits"
	"slices"
)

// Huffman coding of literals: RFC 8878, 4.2.

const (
	maxHuffmanBits = 11
	maxWeightLog   = 6
)

// huffmanTable holds the code of each byte.
type huffmanTable struct {
	codes [256]huffmanCode
	last  int // the last byte that has a code
}

// huffmanCode is a code and its length in bits; length 0 is no code.
type huffmanCode struct {
	code   uint16
	length uint8
}

// build makes an optimal code of at most limit bits for a histogram in which
// two bytes or more occur.
func (t *huffmanTable) build(counts *[256]uint32, limit int) {
	*t = huffmanTable{}
	var list [256]uint64 // count<<8 | byte, ascending
	sorted := list[:0]
	for s, n := range counts {
		if n > 0 {
			sorted = append(sorted, uint64(n)<<8|uint64(s))
			t.last = s
		}
	}
	slices.Sort(sorted)
	var lengths [256]uint8
	codeLengths(sorted, limit, &lengths)
	for i, v := range sorted {
		t.codes[v&255].length = lengths[i]
	}
	t.assign()
}

// codeLengths gives the lengths of an optimal code by package and merge: a
// level is made of the leaves and of pairs of the level before; the cheapest
// 2n-2 nodes of the last level are the code.
func codeLengths(sorted []uint64, limit int, lengths *[256]uint8) {
	n := len(sorted)
	limit = max(limit, bits.Len(uint(n-1)))
	var isLeaf [maxHuffmanBits + 1][512]bool
	var weights, merged [512]uint64
	made := 0 // nodes of the level before
	for level := range limit {
		pairs, leaf, out := made/2, 0, 0
		for pair := 0; leaf < n || pair < pairs; out++ {
			if pair == pairs || leaf < n && sorted[leaf]>>8 <= weights[2*pair]+weights[2*pair+1] {
				merged[out] = sorted[leaf] >> 8
				isLeaf[level][out] = true
				leaf++
			} else {
				merged[out] = weights[2*pair] + weights[2*pair+1]
				pair++
			}
		}
		made = out
		weights = merged
	}
	for level, take := limit-1, 2*n-2; level >= 0 && take > 0; level-- {
		leaves := 0
		for i := range take {
			if isLeaf[level][i] {
				lengths[leaves]++
				leaves++
			}
		}
		take = 2 * (take - leaves)
	}
}

// assign numbers the codes: longest first, bytes of one length in order.
func (t *huffmanTable) assign() {
	code := uint16(0)
	for length := t.longest(); length > 0; length-- {
		for s := range t.codes[:t.last+1] {
			if c := &t.codes[s]; c.length == length {
				c.code = code
				code++
			}
		}
		code >>= 1
	}
}

func (t *huffmanTable) longest() (most uint8) {
	for _, c := range t.codes[:t.last+1] {
		most = max(most, c.length)
	}
	return most
}

// size is what the literals of a histogram take in bits; a byte without a code
// makes it impossible.
func (t *huffmanTable) size(counts *[256]uint32) int {
	sum := 0
	for s, n := range counts {
		if n == 0 {
			continue
		}
		length := int(t.codes[s].length)
		if length == 0 {
			return math.MaxInt
		}
		sum += int(n) * length
	}
	return sum
}

// writeHeader appends the tree description, the shorter of its two forms. It
// reports false if there is none: more than 129 bytes with equal weights.
func (t *huffmanTable) writeHeader(w *bitWriter) bool {
	var room [256]uint8
	weights := room[:t.last] // of all bytes but the last, which follows
	longest := t.longest()
	for s := range weights {
		if length := t.codes[s].length; length > 0 {
			weights[s] = longest + 1 - length
		}
	}
	from := w.pos
	if writeFSEWeights(w, weights) && (len(weights) > 128 || w.pos-from <= 1+(len(weights)+1)/2) {
		return true
	}
	w.pos, w.acc, w.n = from, 0, 0
	if len(weights) > 128 {
		return false
	}
	w.byte(byte(127 + len(weights)))
	for i := 0; i < len(weights); i += 2 {
		pair := weights[i] << 4
		if i+1 < len(weights) {
			pair |= weights[i+1]
		}
		w.byte(pair)
	}
	return true
}

// writeFSEWeights appends the compressed form: two states that take turns,
// the first with the even weights. It reports false if that is impossible.
func writeFSEWeights(w *bitWriter, weights []uint8) bool {
	var counts [maxHuffmanBits + 1]uint32
	used := 0
	for _, v := range weights {
		if counts[v] == 0 {
			used++
		}
		counts[v]++
	}
	if used < 2 || len(weights) < 3 {
		return false
	}
	var norm fseCounts
	norm.optimise(counts[:], uint32(len(weights)), maxWeightLog)
	var table fseTable
	table.build(&norm)
	w.reserve(len(weights)*2 + 64)
	header := w.pos
	w.byte(0)
	norm.writeHeader(w)
	last := len(weights) - 1
	var states [2]uint32
	states[last&1] = table.start(weights[last])
	states[(last-1)&1] = table.start(weights[last-1])
	for i := last - 2; i >= 0; i-- {
		table.encode(w, &states[i&1], weights[i])
		w.flush()
	}
	w.add(uint64(states[1])&(1<<table.log-1), table.log)
	w.add(uint64(states[0])&(1<<table.log-1), table.log)
	w.end()
	size := w.pos - header - 1
	w.out[header] = byte(size)
	return size < 128
}

// encode moves a state over a symbol.
func (t *fseTable) encode(w *bitWriter, state *uint32, s uint8) {
	sym := &t.symbols[s]
	n := (*state + sym.bits) >> 16
	w.add(uint64(*state)&(1<<n-1), uint(n))
	*state = uint32(t.next[int32(*state>>n)+sym.first])
}

// writeStream appends one stream of literals, which the decoder reads from its end.
func (t *huffmanTable) writeStream(w *bitWriter, literals []byte) {
	i := len(literals)
	for ; i&3 != 0; i-- {
		c := t.codes[literals[i-1]]
		w.add(uint64(c.code), uint(c.length))
	}
	w.flush()
	for ; i >= 4; i -= 4 {
		p := literals[i-4 : i : i]
		c3, c2, c1, c0 := t.codes[p[3]], t.codes[p[2]], t.codes[p[1]], t.codes[p[0]]
		w.add(uint64(c3.code), uint(c3.length))
		w.add(uint64(c2.code), uint(c2.length))
		w.add(uint64(c1.code), uint(c1.length))
		w.add(uint64(c0.code), uint(c0.length))
		w.flush()
	}
	w.end()
}
