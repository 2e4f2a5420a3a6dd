package resolve

import "slices"

// literal is variable*2, or variable*2+1 for its negation.
type literal int32

func yes(variable int) literal { return literal(variable * 2) }
func no(variable int) literal  { return literal(variable*2 + 1) }

func (l literal) not() literal  { return l ^ 1 }
func (l literal) variable() int { return int(l >> 1) }

// disjunction is a clause of the formula. Its first two literals are watched.
type disjunction struct {
	lits    []literal
	parents []int // clauses that a learnt one was derived from; nil for given ones
}

// noReason marks decisions.
const noReason = -1

// sat is a small conflict-driven clause-learning solver. Choices are not its
// own: decide gives the next literal to try, so that the first solution found
// is the one preferred. It always ends: each learnt clause excludes the
// assignment that led to it.
type sat struct {
	clauses []disjunction
	watches [][]int // by literal: clauses that watch it
	value   []int8  // by variable: 0 open, 1 true, -1 false
	level   []int
	reason  []int
	trail   []literal
	limits  []int // length of the trail before each decision
	head    int   // of the trail, up to which consequences are drawn
}

func newSat(variables int) *sat {
	return &sat{
		watches: make([][]int, 2*variables),
		value:   make([]int8, variables),
		level:   make([]int, variables),
		reason:  make([]int, variables),
	}
}

func (s *sat) of(l literal) int8 {
	if l&1 == 1 {
		return -s.value[l.variable()]
	}
	return s.value[l.variable()]
}

func (s *sat) add(lits []literal, parents []int) int {
	id := len(s.clauses)
	s.clauses = append(s.clauses, disjunction{lits, parents})
	if len(lits) > 1 {
		s.watches[lits[0]] = append(s.watches[lits[0]], id)
		s.watches[lits[1]] = append(s.watches[lits[1]], id)
	}
	return id
}

// solve searches. It gives true, or false and the given clauses that exclude
// each other. decide gives false when nothing more need be true.
func (s *sat) solve(decide func() (literal, bool)) (bool, []int) {
	for id := range s.clauses {
		lits := s.clauses[id].lits
		if len(lits) == 0 || len(lits) == 1 && s.of(lits[0]) < 0 {
			return false, s.core(id)
		}
		if len(lits) == 1 && s.of(lits[0]) == 0 {
			s.assign(lits[0], id)
		}
	}
	for {
		if conflict := s.propagate(); conflict >= 0 {
			if len(s.limits) == 0 {
				return false, s.core(conflict)
			}
			s.learn(conflict)
			continue
		}
		l, more := decide()
		if !more {
			return true, nil
		}
		s.limits = append(s.limits, len(s.trail))
		s.assign(l, noReason)
	}
}

func (s *sat) assign(l literal, reason int) {
	v := l.variable()
	s.value[v] = 1
	if l&1 == 1 {
		s.value[v] = -1
	}
	s.level[v], s.reason[v] = len(s.limits), reason
	s.trail = append(s.trail, l)
}

// propagate draws consequences. It gives the clause that has become false, or
// -1.
func (s *sat) propagate() int {
	for s.head < len(s.trail) {
		falsified := s.trail[s.head].not()
		s.head++
		watching := s.watches[falsified]
		kept := watching[:0]
		for i, id := range watching {
			if s.rewatch(id, falsified) {
				continue
			}
			kept = append(kept, id)
			other := s.clauses[id].lits[0]
			if s.of(other) < 0 {
				kept = append(kept, watching[i+1:]...)
				s.watches[falsified] = kept
				return id
			}
			if s.of(other) == 0 {
				s.assign(other, id)
			}
		}
		s.watches[falsified] = kept
	}
	return -1
}

// rewatch lets a clause watch another literal than a false one, if it can.
// The literal still watched is first afterwards.
func (s *sat) rewatch(id int, falsified literal) bool {
	lits := s.clauses[id].lits
	if lits[0] == falsified {
		lits[0], lits[1] = lits[1], lits[0]
	}
	if s.of(lits[0]) > 0 {
		return false
	}
	for k := 2; k < len(lits); k++ {
		if s.of(lits[k]) >= 0 {
			lits[1], lits[k] = lits[k], lits[1]
			s.watches[lits[1]] = append(s.watches[lits[1]], id)
			return true
		}
	}
	return false
}

// learn adds what a conflict teaches, goes back to where that is news, and
// draws the first conclusion.
func (s *sat) learn(conflict int) {
	now := len(s.limits)
	seen := make(map[int]bool)
	var lits []literal
	parents := []int{conflict}
	open, at, id := 0, len(s.trail), conflict
	var pivot literal
	for {
		for _, l := range s.clauses[id].lits {
			v := l.variable()
			if seen[v] || id != conflict && l == pivot {
				continue
			}
			seen[v] = true
			if s.level[v] == now {
				open++
			} else {
				lits = append(lits, l)
			}
		}
		for at--; !seen[s.trail[at].variable()]; at-- {
		}
		pivot = s.trail[at]
		if open--; open == 0 {
			break
		}
		id = s.reason[pivot.variable()]
		parents = append(parents, id)
	}
	back := 0
	for i, l := range lits {
		if s.level[l.variable()] > back {
			back = s.level[l.variable()]
			lits[0], lits[i] = lits[i], lits[0]
		}
	}
	lits = append([]literal{pivot.not()}, lits...)
	s.backTo(back)
	s.assign(lits[0], s.add(lits, parents))
}

func (s *sat) backTo(level int) {
	length := s.limits[level]
	for _, l := range s.trail[length:] {
		s.value[l.variable()] = 0
	}
	s.trail, s.limits, s.head = s.trail[:length], s.limits[:level], length
}

// core gives the given clauses behind a conflict without decisions.
func (s *sat) core(conflict int) []int {
	seen := make(map[int]bool)
	queue := []int{conflict}
	var given []int
	for len(queue) > 0 {
		id := queue[len(queue)-1]
		queue = queue[:len(queue)-1]
		if seen[id] {
			continue
		}
		seen[id] = true
		c := &s.clauses[id]
		if c.parents == nil {
			given = append(given, id)
		}
		queue = append(queue, c.parents...)
		for _, l := range c.lits {
			// All literals are false for good here, or were when c was learnt.
			if v := l.variable(); s.value[v] != 0 && s.level[v] == 0 && s.reason[v] != noReason {
				queue = append(queue, s.reason[v])
			}
		}
	}
	slices.Sort(given)
	return given
}
