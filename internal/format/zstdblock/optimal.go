package zstdblock

import (
	"math"
	"slices"
)

// step is the last step of the cheapest way known to a place: a match of some
// length, or, with length 0, one of so many literals in a row as off says.
type step struct {
	length, off uint32
}

// literals gives how many literals end the way.
func (s step) literals() uint32 {
	if s.length > 0 {
		return 0
	}
	return s.off
}

// optimiser finds the cheapest sequences at given prices. From each place, in
// order, it tries all steps: a literal, the repeated offsets at all their
// lengths, and each length with the nearest offset that has it.
type optimiser struct {
	costs  []int32   // of the cheapest way to each place
	steps  []step    // its last step
	reps   []repeats // its repeated offsets, once the place was visited
	prices prices
	nice   int
}

// unreached is the cost of a place that no step has come to yet. Each place is
// reached before it is visited, if only by literals.
const unreached = math.MaxInt32

// parse appends the cheapest sequences for src[from:to], which lies in the
// block at start whose matches the table holds.
func (o *optimiser) parse(seqs []sequence, src []byte, start, from, to int, rep repeats, t *matchTable) []sequence {
	n := to - from
	o.prepare(n, rep)
	for i := 0; i < n; i++ {
		cost, here := o.costs[i], o.steps[i]
		if i > 0 {
			rep = o.carry(i, here)
		}
		lit := here.literals()
		if next := cost + o.prices.lit[src[from+i]] + o.prices.more(lit); next < o.costs[i+1] {
			o.costs[i+1], o.steps[i+1] = next, step{0, lit + 1}
		}
		if n-i < 4 {
			continue
		}
		cost += o.prices.ll[0]
		if lit == 0 {
			rep = rep.unled()
		}
		length, off := o.repeated(i, cost, rep, src, from+i, to)
		if found := t.at(from - start + i); len(found) > 0 {
			if l, of := o.matches(i, n, cost, found); l > length {
				length, off = l, of
			}
		}
		if length >= o.nice {
			o.take(i, length, cost, step{uint32(length), off})
			i += length - 1
		}
	}
	return o.collect(seqs, n)
}

// prepare makes room for n places, of which only the first is reached.
func (o *optimiser) prepare(n int, rep repeats) {
	if cap(o.costs) < n+1 {
		o.costs = make([]int32, n+1)
		o.steps = make([]step, n+1)
		o.reps = make([]repeats, n+1)
	}
	o.costs, o.steps, o.reps = o.costs[:n+1], o.steps[:n+1], o.reps[:n+1]
	for i := range o.costs {
		o.costs[i] = unreached
	}
	o.costs[0], o.steps[0], o.reps[0] = o.prices.ll[0], step{}, rep
}

// carry works out the repeated offsets at a place from where the step began.
func (o *optimiser) carry(i int, here step) repeats {
	var rep repeats
	if here.length == 0 {
		rep = o.reps[i-1]
	} else {
		from := i - int(here.length)
		rep = o.reps[from].after(here.off, o.steps[from].literals() > 0)
	}
	o.reps[i] = rep
	return rep
}

// repeated tries the three offsets, which have the values 1 to 3, and gives
// the longest match of them.
func (o *optimiser) repeated(i int, cost int32, rep repeats, src []byte, p, to int) (longest int, off uint32) {
	bytes := load32(src, p)
	if at := p - int(rep.a); uint(at) < uint(p) && (load32(src, at)^bytes)<<8 == 0 {
		longest, off = o.repeat(i, cost+o.prices.of[0], rep.a, src, p, to), rep.a
	}
	if at := p - int(rep.b); uint(at) < uint(p) && (load32(src, at)^bytes)<<8 == 0 {
		if l := o.repeat(i, cost+o.prices.of[1], rep.b, src, p, to); l > longest {
			longest, off = l, rep.b
		}
	}
	if at := p - int(rep.c); uint(at) < uint(p) && (load32(src, at)^bytes)<<8 == 0 {
		if l := o.repeat(i, cost+o.prices.of[1], rep.c, src, p, to); l > longest {
			longest, off = l, rep.c
		}
	}
	return longest, off
}

// repeat tries one offset at which three bytes are equal.
func (o *optimiser) repeat(i int, cost int32, off uint32, src []byte, p, to int) int {
	length := minMatch + matchLength(src, p-int(off)+minMatch, p+minMatch, to)
	if length < o.nice {
		o.relax(i, minMatch, length, off, cost)
	}
	return length
}

// matches tries what was found, and gives the longest match.
func (o *optimiser) matches(i, n int, cost int32, found []match) (longest int, off uint32) {
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
		o.relax(i, least, length, m.off, cost+o.prices.of[ofCode(m.off+3)])
		least = length + 1
	}
	return longest, off
}

// relax tries a match at all lengths from least to most.
func (o *optimiser) relax(i, least, most int, off uint32, cost int32) {
	costs := o.costs[i+least : i+most+1]
	lengths := o.prices.ml[least : most+1]
	lengths = lengths[:len(costs)]
	for k, old := range costs {
		if c := cost + lengths[k]; c < old {
			costs[k] = c
			o.steps[i+least+k] = step{uint32(least + k), off}
		}
	}
}

// take makes a long match the only way to its end.
func (o *optimiser) take(i, length int, cost int32, s step) {
	value := o.reps[i].value(s.off, o.steps[i].literals() > 0)
	o.costs[i+length] = cost + o.prices.of[ofCode(value)] + o.prices.length(s.length)
	o.steps[i+length] = s
}

// collect walks back from the end and appends the sequences in order.
func (o *optimiser) collect(seqs []sequence, n int) []sequence {
	from := len(seqs)
	for i := n; i > 0; {
		here := o.steps[i]
		if here.length == 0 {
			i -= int(here.off)
			continue
		}
		i -= int(here.length)
		seqs = append(seqs, sequence{o.steps[i].literals(), here.length, here.off})
	}
	slices.Reverse(seqs[from:])
	return seqs
}

// guess appends the sequences that a quick look at the matches suggests: for
// the first prices of literals.
func (t *matchTable) guess(seqs []sequence) []sequence {
	anchor, n := 0, len(t.first)-1
	for i := 0; i < n; {
		here := t.longest(i, n-i)
		if here.length < 4 || i+1 < n && t.longest(i+1, n-i-1).length > here.length {
			i++
			continue
		}
		seqs = append(seqs, sequence{uint32(i - anchor), here.length, here.off})
		i += int(here.length)
		anchor = i
	}
	return seqs
}
