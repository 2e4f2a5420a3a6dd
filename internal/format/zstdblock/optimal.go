package zstdblock

import (
	"math"
	"slices"
)

// node is the cheapest way known to a place: its last step and what it costs.
type node struct {
	price  int32  // of all steps so far
	length uint32 // of the match that ends here; 0 if a literal does
	off    uint32 // of that match
	lit    uint32 // literals since the last match
}

// optimiser finds the cheapest sequences at given prices. From each place, in
// order, it tries all steps: a literal, the repeated offsets at all their
// lengths, and each length with the nearest offset that has it.
type optimiser struct {
	nodes  []node
	reps   []repeats // at each node that was visited
	prices prices
	nice   int
}

const unreached = math.MaxInt32

// parse appends the cheapest sequences for src[from:to], which lies in the
// block at start whose matches the finder holds.
func (o *optimiser) parse(seqs []sequence, src []byte, start, from, to int, rep repeats, f *treeFinder) []sequence {
	n := to - from
	o.prepare(n, rep)
	for i := 0; i < n; i++ {
		here := &o.nodes[i]
		if here.price == unreached {
			continue
		}
		if i > 0 {
			o.carry(i)
		}
		o.literal(i, src[from+i])
		if n-i < 4 {
			continue
		}
		length, off := o.repeated(i, src, from, to)
		if l, of := o.matches(i, n, f.at(from-start+i)); l > length {
			length, off = l, of
		}
		if length >= o.nice {
			o.take(i, length, off)
			i += length - 1
		}
	}
	return o.collect(seqs, n)
}

// prepare makes the nodes of n places, of which only the first is reached.
func (o *optimiser) prepare(n int, rep repeats) {
	if cap(o.nodes) < n+1 {
		o.nodes = make([]node, n+1)
		o.reps = make([]repeats, n+1)
	}
	o.nodes, o.reps = o.nodes[:n+1], o.reps[:n+1]
	for i := range o.nodes {
		o.nodes[i].price = unreached
	}
	o.nodes[0] = node{price: o.prices.ll[0]}
	o.reps[0] = rep
}

// carry works out the repeated offsets at a node from the node before it.
func (o *optimiser) carry(i int) {
	here := &o.nodes[i]
	if here.length == 0 {
		o.reps[i] = o.reps[i-1]
		return
	}
	from := i - int(here.length)
	rep := o.reps[from]
	rep.take(here.off, o.nodes[from].lit > 0)
	o.reps[i] = rep
}

// literal tries the step of one byte.
func (o *optimiser) literal(i int, c byte) {
	here, next := &o.nodes[i], &o.nodes[i+1]
	ll := &o.prices.ll
	price := here.price + o.prices.lit[c] + ll[llCode(here.lit+1)] - ll[llCode(here.lit)]
	if price < next.price {
		*next = node{price: price, lit: here.lit + 1}
	}
}

// repeated tries the three offsets, and gives the longest match of them.
func (o *optimiser) repeated(i int, src []byte, from, to int) (longest int, off uint32) {
	here, rep := &o.nodes[i], &o.reps[i]
	offs := *rep
	if here.lit == 0 {
		offs = repeats{rep[1], rep[2], rep[0] - 1}
	}
	p := from + i
	bytes := load32(src, p)
	base := here.price + o.prices.ll[0]
	for k, r := range offs {
		at := p - int(r)
		if r == 0 || at < 0 || (load32(src, at)^bytes)<<8 != 0 {
			continue
		}
		length := minMatch + matchLength(src, at+minMatch, p+minMatch, to)
		if length > longest {
			longest, off = length, r
		}
		if length >= o.nice {
			continue
		}
		price := base + o.prices.of[ofCode(uint32(k+1))]
		o.relax(i, minMatch, length, r, price)
	}
	return longest, off
}

// matches tries what the finder found, and gives the longest match.
func (o *optimiser) matches(i, n int, found []match) (longest int, off uint32) {
	base := o.nodes[i].price + o.prices.ll[0]
	least := minMatch
	for _, m := range found {
		length := min(int(m.length), n-i)
		if length < least {
			continue
		}
		longest, off = length, m.off
		if length >= o.nice {
			break
		}
		o.relax(i, least, length, m.off, base+o.prices.of[ofCode(m.off+3)])
		least = length + 1
	}
	return longest, off
}

// relax tries a match at all lengths from least to most.
func (o *optimiser) relax(i, least, most int, off uint32, base int32) {
	nodes := o.nodes[i+least : i+most+1]
	lengths := o.prices.ml[least : most+1]
	lengths = lengths[:len(nodes)]
	for k := range nodes {
		if price := base + lengths[k]; price < nodes[k].price {
			nodes[k] = node{price: price, length: uint32(least + k), off: off}
		}
	}
}

// take makes a long match the only way to its end.
func (o *optimiser) take(i, length int, off uint32) {
	here := &o.nodes[i]
	rep := o.reps[i]
	price := here.price + o.prices.ll[0] + o.prices.of[ofCode(rep.take(off, here.lit > 0))] + o.prices.length(uint32(length))
	o.nodes[i+length] = node{price: price, length: uint32(length), off: off}
}

// collect walks back from the end and appends the sequences in order.
func (o *optimiser) collect(seqs []sequence, n int) []sequence {
	from := len(seqs)
	for i := n; i > 0; {
		here := &o.nodes[i]
		if here.length == 0 {
			i -= int(here.lit)
			continue
		}
		i -= int(here.length)
		seqs = append(seqs, sequence{o.nodes[i].lit, here.length, here.off})
	}
	slices.Reverse(seqs[from:])
	return seqs
}

// guess appends the sequences that a quick look at the matches suggests: for
// the first histogram.
func (o *optimiser) guess(seqs []sequence, start, from, to int, f *treeFinder) []sequence {
	anchor := from
	for p := from; p < to; {
		here := longestOf(f.at(p-start), to-p)
		if here.length < 4 || p+1 < to && longestOf(f.at(p+1-start), to-p-1).length > here.length {
			p++
			continue
		}
		seqs = append(seqs, sequence{uint32(p - anchor), here.length, here.off})
		p += int(here.length)
		anchor = p
	}
	return seqs
}

func longestOf(found []match, most int) match {
	if len(found) == 0 {
		return match{}
	}
	m := found[len(found)-1]
	m.length = min(m.length, uint32(most))
	return m
}
