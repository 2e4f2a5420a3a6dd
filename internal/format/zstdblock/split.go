package zstdblock

import (
	"math"
	"slices"
)

// maxParts is into how many pieces of equal length a block may be cut to see
// where its statistics change.
const maxParts = 64

// partEnd is where a part of a block ends.
type partEnd struct {
	seq   int // sequences before
	place int // content before
}

// splitter finds where to end zstd blocks so that each has tables of its own
// that pay for themselves.
type splitter struct {
	sums  [maxParts + 1]histogram // of what stands before each piece
	ends  [maxParts + 1]partEnd
	costs [maxParts + 1]int64 // of the best division of all before
	from  [maxParts + 1]int   // where its last part begins
	parts []partEnd
}

// divide gives the ends of the parts into which the content is best divided.
// It ends parts only where a match ends.
func (d *splitter) divide(content []byte, seqs []sequence, rep repeats, pieces int) []partEnd {
	n := d.cut(content, seqs, rep, pieces)
	for end := 1; end <= n; end++ {
		d.costs[end] = math.MaxInt64
		for from := range end {
			sum := d.costs[from] + partCost(&d.sums[from], &d.sums[end])
			if sum < d.costs[end] {
				d.costs[end], d.from[end] = sum, from
			}
		}
	}
	d.parts = d.parts[:0]
	for end := n; end > 0; end = d.from[end] {
		d.parts = append(d.parts, d.ends[end])
	}
	slices.Reverse(d.parts)
	return d.parts
}

// cut adds up the histograms of the pieces and gives how many there are.
func (d *splitter) cut(content []byte, seqs []sequence, rep repeats, pieces int) int {
	piece := max(len(content)/pieces, 1<<10)
	sum := histogram{}
	d.sums[0] = sum
	n, place := 0, 0
	for i, s := range seqs {
		if place >= (n+1)*piece && len(content)-place >= piece/2 {
			n++
			d.sums[n], d.ends[n] = sum, partEnd{i, place}
			if n == pieces-1 {
				piece = math.MaxInt / maxParts
			}
		}
		for _, c := range content[place : place+int(s.lit)] {
			sum.lit[c]++
		}
		sum.ll[llCode(s.lit)]++
		sum.ml[mlCode(s.length)]++
		sum.of[ofCode(rep.value(s.off, s.lit > 0))]++
		rep = rep.after(s.off, s.lit > 0)
		place += int(s.lit + s.length)
	}
	for _, c := range content[place:] {
		sum.lit[c]++
	}
	n++
	d.sums[n], d.ends[n] = sum, partEnd{len(seqs), len(content)}
	return n
}

// The costs of tables and headers that partCost supposes, in bits.
const (
	blockOverhead  = 14 * 8
	treeOverhead   = 24
	treePerSymbol  = 3
	tableOverhead  = 8
	tablePerSymbol = 4
)

// partCost estimates the length of the content between two sums as a block of
// its own, in 65536ths of a bit, without the extra bits.
func partCost(from, to *histogram) int64 {
	lit, used := entropy(from.lit[:], to.lit[:])
	cost := lit.bits + int64(treeOverhead+treePerSymbol*used)<<16
	cost = min(cost, int64(lit.total)<<19)
	cost += tableCost(from.ll[:], to.ll[:], &predefinedLL.fseCounts)
	cost += tableCost(from.of[:], to.of[:], &predefinedOF.fseCounts)
	cost += tableCost(from.ml[:], to.ml[:], &predefinedML.fseCounts)
	return cost + blockOverhead<<16
}

// tableCost estimates what the codes of one kind take.
func tableCost(from, to []uint32, standard *fseCounts) int64 {
	own, used := entropy(from, to)
	cost := own.bits + int64(tableOverhead+tablePerSymbol*used)<<16
	var other int64
	for s := range to {
		if n := to[s] - from[s]; n > 0 {
			other += int64(n) * int64(uint32(standard.log)<<16-log2(uint32(standard.states(s))))
		}
	}
	return min(cost, other)
}

// contents is how many symbols there are and how many bits they hold, in 65536ths.
type contents struct {
	total uint32
	bits  int64
}

// entropy gives what the symbols between two sums hold, and how many differ.
func entropy(from, to []uint32) (c contents, used int) {
	var each int64
	from = from[:len(to)]
	for s := range to {
		if n := to[s] - from[s]; n > 0 {
			used++
			c.total += n
			each += int64(n) * int64(log2(n))
		}
	}
	if c.total > 0 {
		c.bits = int64(c.total)*int64(log2(c.total)) - each
	}
	return c, used
}
