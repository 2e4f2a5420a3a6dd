package lz4

import "slices"

// Encoder packs parts of one input after the other into blocks. It is for one
// goroutine; Reset makes it ready for the next input.
type Encoder struct {
	effort int // places that are looked at for each match
	nice   int // a match of such a length is taken without looking further
	src    []byte
	at     int // where the next block starts
	finder finder
	steps  []step
}

// step is the cheapest way to a place: what it costs, and its last part.
type step struct {
	cost     int32 // bytes of all sequences, without the token of the literals that stand last
	literals int32 // that stand last; 0: a match ends here
	length   int32 // of the match that ends here
	distance int32
}

const unreached = 1 << 30

// NewEncoder gives an encoder that looks at so many places for a match, 1 to 4096.
func NewEncoder(effort int) *Encoder {
	effort = min(max(effort, 1), 4096)
	return &Encoder{effort: effort, nice: min(32+2*effort, 1024)}
}

// Reset starts a new input, which must not change until the next Reset.
func (e *Encoder) Reset(src []byte) {
	e.src, e.at = src, 0
	e.finder.reset(src)
}

// Rest is the number of bytes that no block has yet.
func (e *Encoder) Rest() int { return len(e.src) - e.at }

// Next appends a block to dst that has at most size bytes and as much of the
// rest of the input as they can hold, at most limit bytes of it, and gives how
// much that is. The block is decoded by itself. 0 means that not one byte fits.
func (e *Encoder) Next(dst []byte, size, limit int) ([]byte, int) {
	end := min(len(e.src), e.at+limit)
	last := e.search(end, size)
	stop := e.stopAt(last, end, size)
	if stop == e.at {
		return dst, 0
	}
	dst = e.emit(dst, last, stop)
	n := stop - e.at
	e.at = stop
	return dst, n
}

// Move moves the place where the next block starts: forward past bytes that the
// caller stores plain, or back over bytes that are to come into another block.
func (e *Encoder) Move(n int) {
	e.at = min(max(e.at+n, 0), len(e.src))
	if e.finder.filled-e.at > maxDistance {
		e.finder.reset(e.src) // its chains do not reach that far back
		e.finder.filled = e.at
	}
}

// search fills steps for places from at on until nothing more fits into size
// bytes, and gives the place of the best step for the end of the block: one where a match ends, or the start.
func (e *Encoder) search(end, size int) int {
	e.steps = append(e.steps[:0], step{})
	best, reach := e.at, e.stopAt(e.at, end, size)
	for at := e.at; at < end; {
		s := e.steps[at-e.at]
		if s.cost < unreached && s.literals == 0 && at > e.at {
			if stop := e.stopAt(at, end, size); stop > reach || stop == end && reach == end && e.costOfEnd(at, end) < e.costOfEnd(best, end) {
				best, reach = at, stop
			}
		}
		if int(s.cost)+endCost > size && e.isFrontier(at, size) {
			break
		}
		at = e.advance(at, end, size)
	}
	return best
}

// isFrontier reports whether no place beyond at can be had for size bytes.
func (e *Encoder) isFrontier(at, size int) bool {
	for _, s := range e.steps[at-e.at:] {
		if int(s.cost)+endCost <= size {
			return false
		}
	}
	return true
}

// advance goes on from a place by a literal and by matches and gives the next place to look at.
func (e *Encoder) advance(at, end, size int) int {
	s := e.steps[at-e.at]
	if s.cost >= unreached || int(s.cost)+endCost > size {
		return at + 1
	}
	room := size - int(s.cost) - endCost - 3
	if at <= end-lastStart && room >= 0 {
		length, distance := e.finder.longest(at, e.at, end-lastLiterals, e.effort, e.nice)
		length = min(length, minMatch+longestFor(room))
		if length >= e.nice {
			e.offer(at, length, length, s.cost, distance)
			return at + length
		}
		if length >= minMatch {
			e.offer(at, minMatch, length, s.cost, distance)
		}
	}
	e.grow(at + 1)
	if next := &e.steps[at+1-e.at]; s.cost+literalCost(s.literals) < next.cost {
		*next = step{s.cost + literalCost(s.literals), s.literals + 1, 0, 0}
	}
	return at + 1
}

// grow makes room for steps up to a place.
func (e *Encoder) grow(at int) {
	from, to := len(e.steps), at-e.at+1
	if to <= from {
		return
	}
	e.steps = slices.Grow(e.steps, to-from)[:to]
	fresh := e.steps[from:]
	fresh[0] = step{cost: unreached}
	for n := 1; n < len(fresh); n *= 2 {
		copy(fresh[n:], fresh[:n])
	}
}

// offer keeps matches of lengths from shortest to longest where they are
// cheaper than what is known for the places where they end. The first of equal matches
// stays, but a match goes before literals, which close no sequence.
func (e *Encoder) offer(at, shortest, longest int, before int32, distance int) {
	e.grow(at + longest)
	ends := e.steps[at-e.at : at-e.at+longest+1]
	for n := shortest; n < len(ends); n++ {
		known, cost := &ends[n], before+matchCost(n)
		if cost < known.cost || cost == known.cost && known.literals > 0 {
			*known = step{cost, 0, int32(n), int32(distance)}
		}
	}
}

// literalCost is the cost of one more literal behind so many.
func literalCost(n int32) int32 {
	if n+1 >= runBits && (n+1-runBits)%255 == 0 {
		return 2
	}
	return 1
}

// matchCost is the cost of a match with its token.
func matchCost(length int) int32 { return int32(3 + extra(length-minMatch)) }

// extra is the number of bytes that a length takes behind the token.
func extra(n int) int {
	if n < runBits {
		return 0
	}
	return (n-runBits)/255 + 1
}

// longestFor is the greatest length that takes at most so many bytes behind the token.
func longestFor(room int) int { return runBits - 1 + 255*room }

// costOfEnd is the size of a block whose last match ends at a place.
func (e *Encoder) costOfEnd(at, end int) int {
	return int(e.steps[at-e.at].cost) + 1 + extra(end-at) + end - at
}

// stopAt gives how far a block of size bytes reaches whose last match ends at
// a place, or at e.at if it may not end so.
func (e *Encoder) stopAt(at, end, size int) int {
	s := e.steps[at-e.at]
	room := size - int(s.cost) - 1
	if room <= 0 {
		return e.at
	}
	literals := min(end-at, room)
	for literals > 0 && literals+extra(literals) > room {
		literals = min(literals-1, room-extra(literals))
	}
	if s.length > 0 && (literals < lastLiterals || literals+int(s.length) < lastStart) {
		return e.at
	}
	return at + literals
}

// emit walks back over the steps and writes the sequences.
func (e *Encoder) emit(dst []byte, last, stop int) []byte {
	var way []int // places where matches end, from the last
	for at := last; at > e.at; {
		s := e.steps[at-e.at]
		if s.length == 0 {
			at -= int(s.literals)
			continue
		}
		way = append(way, at)
		at -= int(s.length)
	}
	from := e.at
	for i := len(way) - 1; i >= 0; i-- {
		s := e.steps[way[i]-e.at]
		start := way[i] - int(s.length)
		dst = sequence(dst, e.src[from:start], int(s.length)-minMatch)
		dst = append(dst, byte(s.distance), byte(s.distance>>8))
		dst = appendExtra(dst, int(s.length)-minMatch)
		from = way[i]
	}
	return sequence(dst, e.src[from:stop], 0)
}

// sequence appends a token and literals.
func sequence(dst, literals []byte, match int) []byte {
	dst = append(dst, byte(min(len(literals), runBits)<<4|min(match, runBits)))
	dst = appendExtra(dst, len(literals))
	return append(dst, literals...)
}

func appendExtra(dst []byte, n int) []byte {
	if n < runBits {
		return dst
	}
	for n -= runBits; n >= 255; n -= 255 {
		dst = append(dst, 255)
	}
	return append(dst, byte(n))
}
