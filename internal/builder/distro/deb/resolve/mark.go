package resolve

import (
	"cmp"
	"slices"
)

// This file follows apt's MarkInstall step by step (apt 2.6, the solver of
// Debian 12 and of Ubuntu up to 24.10), as far as it matters in an empty root. It
// is greedy: a package pulls in the first solution of each of its relations, in
// order, and what it conflicts with is given up. The rules are facts about apt
// that decide what is installed; none of them is ours to improve.

// maxDepth is where apt stops to follow dependencies.
const maxDepth = 3000

// mark marks a package for installation and, if deep, what it needs.
// It reports whether that worked; what was already marked on the way stays.
func (s *solver) mark(n nameID, deep bool, depth int, asked bool) bool {
	st := s.state(n)
	if !s.mayInstall(n, depth, asked) || st.candidate == none {
		return false
	}
	if !st.protected && st.install && !s.broken(n, true) {
		return true
	}
	if deep && !s.satisfiable(n) {
		return false
	}
	if asked {
		s.markSelf(n, asked)
	}
	giveUpEarly := !st.protected && !asked
	if !deep {
		if !asked {
			s.markSelf(n, asked)
		}
		return true
	}
	wanted, unwanted := s.collect(n)
	ok := s.giveUpConflicting(unwanted, depth, st.protected, asked)
	if !ok && giveUpEarly {
		return false
	}
	if !asked {
		s.markSelf(n, asked)
	}
	// While its dependencies are followed nothing may unmark it.
	already := st.protected
	st.protected = true
	defer func() { st.protected = already }()
	if !s.follow(wanted, depth, already, asked) {
		ok = false
		if giveUpEarly {
			s.unmark(n)
		}
	}
	return ok
}

// mayInstall is apt's check before a mode changes to installation.
func (s *solver) mayInstall(n nameID, depth int, asked bool) bool {
	if depth > maxDepth || len(s.u.names[n].versions) == 0 {
		return false
	}
	st := s.state(n)
	return asked || st.install || !st.protected
}

// markSelf marks one package and nothing else.
func (s *solver) markSelf(n nameID, asked bool) {
	st := s.state(n)
	if st.protected && st.installed == st.candidate {
		return
	}
	st.manual = asked
	s.setInstalled(n, true)
}

// unmark takes a package back for good: it is no candidate any more.
func (s *solver) unmark(n nameID) {
	s.setInstalled(n, false)
	s.setCandidate(n, none)
}

// satisfiable gives up a candidate that needs something which no candidate
// gives. apt goes by what it saw when it last looked at the relation.
func (s *solver) satisfiable(n nameID) bool {
	st := s.state(n)
	list := s.clauses(st.candidate)
	for i := range list {
		c := &list[i]
		if !c.kind.critical() || c.kind.negative() {
			continue
		}
		if slices.ContainsFunc(c.alts, func(a atom) bool { return s.matches(c, a, s.installed) || s.seenCandidate(c, a) }) {
			continue
		}
		if !st.protected {
			s.setCandidate(n, none)
			st.install = false
		}
		return false
	}
	return true
}

// collect parts the relations that are to be looked at: all of a protected
// package, otherwise those that do not hold yet.
func (s *solver) collect(n nameID) (wanted, unwanted []*clause) {
	st := s.state(n)
	list := s.clauses(st.candidate)
	for i := range list {
		c := &list[i]
		if !s.important(c.kind) || !st.protected && s.satisfied(c) {
			continue
		}
		if c.kind.negative() {
			unwanted = append(unwanted, c)
		} else {
			wanted = append(wanted, c)
		}
	}
	return wanted, unwanted
}

// giveUpConflicting unmarks what conflicts. A protected package takes even the
// chance from what it conflicts with.
func (s *solver) giveUpConflicting(unwanted []*clause, depth int, protected, asked bool) bool {
	ok := true
	for _, c := range unwanted {
		for _, v := range s.solutions(c) {
			n := s.u.versions[v].name
			st := s.state(n)
			switch {
			case st.candidate != v:
			case st.install && !s.keep(n, depth):
				ok = false
			case protected:
				s.setCandidate(n, st.installed)
				st.protected = true
			}
			if !ok && !protected && !asked {
				return false
			}
		}
	}
	return ok
}

// keep unmarks a package unless it is protected.
func (s *solver) keep(n nameID, depth int) bool {
	st := s.state(n)
	switch {
	case depth > maxDepth:
		return false
	case !st.install:
		return true
	case st.protected:
		return false
	}
	s.setInstalled(n, false)
	return true
}

// follow marks a solution of each clause.
func (s *solver) follow(wanted []*clause, depth int, protected, asked bool) bool {
	ok := true
	for _, c := range wanted {
		if s.satisfied(c) {
			if protected && c.kind.critical() && !s.protectOnly(c, depth) {
				ok = false
			}
			continue
		}
		if !s.first(c, depth, protected) && c.kind.critical() {
			ok = false
			if !protected && !asked {
				return false
			}
		}
	}
	return ok
}

// protectOnly protects the only solution of a clause that holds already.
func (s *solver) protectOnly(c *clause, depth int) bool {
	solutions := s.solutions(c)
	slices.Sort(solutions)
	if solutions = slices.Compact(solutions); len(solutions) != 1 {
		return true
	}
	n := s.u.versions[solutions[0]].name
	if s.state(n).protected {
		return true
	}
	s.state(n).protected = true
	return s.mark(n, true, depth+1, false)
}

// first marks the first solution of a clause that can be marked.
func (s *solver) first(c *clause, depth int, protected bool) bool {
	solutions := s.solutions(c)
	for _, v := range solutions {
		n := s.u.versions[v].name
		if s.candidate(n) != v {
			continue
		}
		if protected && c.kind.critical() && len(solutions) == 1 {
			if !s.mark(n, false, depth+1, false) {
				continue
			}
			s.state(n).protected = true
		}
		if s.mark(n, true, depth+1, false) {
			return true
		}
	}
	return false
}

// solutions gives the candidates that match a clause, in order of preference:
// by alternative as written, then as comparePreference has it.
func (s *solver) solutions(c *clause) []verID {
	var out []verID
	for _, a := range c.alts {
		if !s.seenCandidate(c, a) {
			continue
		}
		start := len(out)
		s.matching(c, a, s.candidate, func(v verID) bool { out = append(out, v); return true })
		slices.SortStableFunc(out[start:], func(x, y verID) int { return s.comparePreference(a, x, y) })
	}
	out = slices.Compact(out)
	if c.kind.negative() {
		return out
	}
	return slices.DeleteFunc(out, func(v verID) bool {
		st := s.state(s.u.versions[v].name)
		return st.protected && !st.install
	})
}

// comparePreference is apt's order among packages that satisfy the same
// relation: protected ones, the package of that very name, essential ones,
// dpkg-protected ones, higher priority, and at last what the indexes mention
// later. apt itself counts as essential.
func (s *solver) comparePreference(a atom, x, y verID) int {
	vx, vy := &s.u.versions[x], &s.u.versions[y]
	nx, ny := &s.u.names[vx.name], &s.u.names[vy.name]
	first := func(x, y bool) int {
		switch {
		case x == y:
			return 0
		case x:
			return -1
		}
		return 1
	}
	return cmp.Or(
		first(s.state(vx.name).protected, s.state(vy.name).protected),
		first(vx.name == a.target, vy.name == a.target),
		first(nx.essential || nx.text == "apt", ny.essential || ny.text == "apt"),
		first(nx.important || nx.text == "apt", ny.important || ny.text == "apt"),
		cmp.Compare(vx.priority, vy.priority),
		cmp.Compare(vy.name, vx.name),
	)
}

// sweep leaves out what was marked on the way but is needed by nothing that
// was asked for: apt's automatic removal, which follows recommendations and
// suggestions too.
func (s *solver) sweep() map[nameID]bool {
	needed := make(map[nameID]bool)
	var queue []nameID
	push := func(n nameID) {
		if !needed[n] && s.state(n).install {
			needed[n] = true
			queue = append(queue, n)
		}
	}
	for n := range s.states {
		st, name := &s.states[n], &s.u.names[n]
		if st.known && st.install && (st.manual || name.essential || name.important || name.text == "apt") {
			push(nameID(n))
		}
	}
	for len(queue) > 0 {
		v := s.installed(queue[0])
		queue = queue[1:]
		list := s.clauses(v)
		for i := range list {
			if list[i].kind.negative() {
				continue
			}
			for _, a := range list[i].alts {
				s.matching(&list[i], a, s.installed, func(v verID) bool { push(s.u.versions[v].name); return true })
			}
		}
	}
	return needed
}
