package zstdblock

import "math"

// cost is a length in 256ths of a bit.
type cost int

// optimise finds the table that codes a histogram in the fewest bits, its own
// description included, and what that takes. At least two symbols occur.
func (c *fseCounts) optimise(counts []uint32, total uint32, maxLog uint) cost {
	last, used := 0, 0
	for s, n := range counts {
		if n > 0 {
			last = s
			used++
		}
	}
	best := cost(math.MaxInt)
	var try fseCounts
	for log := maxLog; log >= 5 && 1<<log > used; log-- {
		try.log, try.n = log, last+1
		try.normalise(counts, total)
		if bits := try.headerCost() + try.bodyCost(counts); bits < best {
			best = bits
			*c = try
		}
	}
	return best
}

// normalise gives each symbol its share of the states, at least one, and then
// corrects the sum where that changes the length of the data least.
func (c *fseCounts) normalise(counts []uint32, total uint32) {
	size := 1 << c.log
	left := size
	for s := range c.n {
		n := counts[s]
		switch share := uint64(n) << c.log; {
		case n == 0:
			c.norm[s] = 0
		case share <= uint64(total):
			c.norm[s] = -1
			left--
		default:
			c.norm[s] = int16((share + uint64(total)/2) / uint64(total))
			left -= int(c.norm[s])
		}
	}
	for ; left > 0; left-- {
		c.bump(counts, 1)
	}
	for ; left < 0; left++ {
		c.bump(counts, -1)
	}
}

// bump changes by one the count whose change helps most, or harms least.
func (c *fseCounts) bump(counts []uint32, by int16) {
	best, bestGain := -1, int64(math.MinInt64)
	for s := range c.n {
		p := c.norm[s]
		if p <= 0 && (p == 0 || by < 0) || p == 1 && by < 0 {
			continue
		}
		p = max(p, 1)
		gain := int64(counts[s]) * (int64(log2(uint32(p+by))) - int64(log2(uint32(p))))
		if gain > bestGain {
			best, bestGain = s, gain
		}
	}
	c.norm[best] = max(c.norm[best], 1) + by
}

// bodyCost is what the symbols of a histogram take; a symbol without states
// makes it impossible.
func (c *fseCounts) bodyCost(counts []uint32) cost {
	var sum uint64
	for s, n := range counts {
		if n == 0 {
			continue
		}
		if s >= c.n || c.norm[s] == 0 {
			return math.MaxInt
		}
		sum += uint64(n) * uint64(uint32(c.log)<<16-log2(uint32(c.states(s))))
	}
	return cost(sum >> 8)
}

// headerCost is the length of the table's description, in whole bytes.
func (c *fseCounts) headerCost() cost {
	var room [4*maxFSESymbols + 32]byte
	w := bitWriter{out: room[:]}
	c.writeHeader(&w)
	return cost(w.pos * 8 * oneBit)
}
