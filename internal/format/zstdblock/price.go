package zstdblock

// histogram counts what a parse needs codes for.
type histogram struct {
	lit [256]uint32
	ll  [llCodes]uint32
	of  [ofCodes]uint32
	ml  [mlCodes]uint32
}

// count fills the histogram from the sequences of content, which begins with
// the given offsets.
func (h *histogram) count(content []byte, seqs []sequence, rep repeats) {
	*h = histogram{}
	at := 0
	for _, s := range seqs {
		for _, c := range content[at : at+int(s.lit)] {
			h.lit[c]++
		}
		at += int(s.lit + s.length)
		h.ll[llCode(s.lit)]++
		h.ml[mlCode(s.length)]++
		h.of[ofCode(rep.value(s.off, s.lit > 0))]++
		rep = rep.after(s.off, s.lit > 0)
	}
	for _, c := range content[at:] {
		h.lit[c]++
	}
}

// shortLengths is up to which length matches have their price in a table.
const shortLengths = 512

// prices are what each choice takes, with its extra bits, in 256ths of a bit.
type prices struct {
	lit [256]int32
	ll  [llCodes]int32
	of  [ofCodes]int32
	mlc [mlCodes]int32
	ml  [shortLengths]int32 // by length
	one [64]int32           // what one literal more costs after so many
}

// set derives the prices from a histogram.
func (p *prices) set(h *histogram) {
	setPrices(p.lit[:], h.lit[:], nil)
	setPrices(p.ll[:], h.ll[:], llExtra[:])
	setPrices(p.mlc[:], h.ml[:], mlExtra[:])
	setPrices(p.of[:], h.of[:], nil)
	for code := range p.of {
		p.of[code] += int32(code) * oneBit
	}
	for n := range p.one {
		p.one[n] = p.ll[llCode(uint32(n)+1)] - p.ll[llCode(uint32(n))]
	}
	for n := uint32(minMatch); n < shortLengths; n++ {
		p.ml[n] = p.mlc[mlCode(n)]
	}
}

// setPrices prices symbols by how often they occur. What does not occur gets
// the price of what occurs half a time.
func setPrices(prices []int32, counts []uint32, extra []uint8) {
	total := uint32(len(counts))
	for _, n := range counts {
		total += 2 * n
	}
	whole := log2(total)
	for s, n := range counts {
		prices[s] = int32((whole - log2(2*n+1)) >> 8)
		if extra != nil {
			prices[s] += int32(extra[s]) * oneBit
		}
	}
}

// more is what it costs to count one literal more.
func (p *prices) more(literals uint32) int32 {
	if literals < uint32(len(p.one)) {
		return p.one[literals]
	}
	return p.ll[llCode(literals+1)] - p.ll[llCode(literals)]
}

// length is the price of a match length.
func (p *prices) length(n uint32) int32 {
	if n < shortLengths {
		return p.ml[n]
	}
	return p.mlc[mlCode(n)]
}

// typical is what codes a thousand sequences of programs and texts need, in
// the mean of a Debian root: what the first pass believes.
var typical = histogram{
	ll: [llCodes]uint32{306, 365, 175, 51, 29, 22, 11, 8, 5, 5, 3, 2, 2, 1, 1, 1,
		1, 1, 1, 1, 1, 1, 1, 1, 1, 4, 1},
	of: [ofCodes]uint32{298, 58, 4, 18, 36, 48, 54, 54, 56, 57, 58, 58, 56, 52, 45, 32,
		20, 14, 10, 7, 3},
	ml: [mlCodes]uint32{248, 173, 107, 83, 103, 38, 25, 21, 36, 10, 13, 14, 33, 8, 6, 5,
		5, 4, 3, 7, 12, 4, 2, 2, 2, 2, 2, 3, 2, 1, 1, 1,
		2, 2, 2, 1, 2, 3, 3, 2, 2, 1, 1, 2, 1, 1, 1},
}
