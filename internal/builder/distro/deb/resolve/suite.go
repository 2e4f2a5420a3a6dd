package resolve

import "slices"

// fromSuite is an entry "name/suite" of the request.
type fromSuite struct {
	ver   verID
	suite string
}

// switchSuites lets dependencies of what was named with a suite come from that
// suite, by apt's rule (SetCandidateRelease): a relation is fine if a candidate
// satisfies it and could be configured with what is marked so far; otherwise,
// if it asks for a version, the suite's version becomes the candidate and its
// own relations are looked at. apt stops at the first Depends that is not fine
// after that, but keeps what it has switched.
func (s *solver) switchSuites() {
	var switched []verID
	for _, f := range s.suites {
		switched = append(switched, f.ver)
		s.switchSuite(f, &switched)
	}
}

func (s *solver) switchSuite(f fromSuite, switched *[]verID) bool {
	s.makeCandidate(f.ver)
	from := len(*switched) - 1
	list := s.clauses(f.ver)
	for i := range list {
		c := &list[i]
		if c.kind.negative() || !s.important(c.kind) {
			continue
		}
		if slices.ContainsFunc(c.alts, func(a atom) bool { return s.ready(a) }) || s.switchAny(c, f.suite, switched) {
			continue
		}
		if c.kind.critical() {
			*switched = (*switched)[:min(from, len(*switched))]
			return false
		}
	}
	return true
}

// makeCandidate changes a candidate, and what is marked if it is marked.
func (s *solver) makeCandidate(v verID) {
	n := s.u.versions[v].name
	st := s.state(n)
	if st.candidate == v {
		return
	}
	if st.install && st.installed == st.candidate {
		st.installed = v
	}
	s.setCandidate(n, v)
	s.update(n)
}

// ready reports whether a candidate that could be configured now satisfies an
// alternative. Of what provides a name apt asks only if no version is wanted,
// and then not of the package of that name itself.
func (s *solver) ready(a atom) bool {
	name := &s.u.names[a.target]
	candidate := s.candidate(a.target)
	if a.version == "" && len(name.providers) > 0 {
		return slices.ContainsFunc(name.providers, func(p provider) bool {
			return s.candidate(s.u.versions[p.ver].name) == p.ver && s.complete(p.ver)
		})
	}
	return candidate != none && a.op.Holds(s.u.versions[candidate].info.Version, a.version) && s.complete(candidate)
}

// complete reports whether what is marked satisfies all that a version needs.
func (s *solver) complete(v verID) bool {
	list := s.clauses(v)
	for i := range list {
		if list[i].kind.critical() && !s.satisfied(&list[i]) {
			return false
		}
	}
	return true
}

// switchAny makes the suite's version of the first alternative for which that
// helps the candidate.
func (s *solver) switchAny(c *clause, suite string, switched *[]verID) bool {
	for i, a := range c.alts {
		v := s.inSuite(a.target, suite)
		if a.version == "" || v == none || !a.op.Holds(s.u.versions[v].info.Version, a.version) {
			continue
		}
		before := s.candidate(a.target)
		if v == before && slices.ContainsFunc(*switched, func(o verID) bool { return s.u.versions[o].name == a.target }) {
			return true
		}
		*switched = append(*switched, v)
		if s.switchSuite(fromSuite{v, suite}, switched) {
			return true
		}
		if i < len(c.alts)-1 && before != none {
			s.makeCandidate(before)
			*switched = (*switched)[:max(0, len(*switched)-1)]
		}
	}
	return false
}

// inSuite gives the highest version of a name that a suite has.
func (s *solver) inSuite(n nameID, suite string) verID {
	for _, v := range s.u.names[n].versions {
		for o := range s.u.versions[v].origins {
			if inRelease(o, suite) {
				return v
			}
		}
	}
	return none
}

// preferSuite is the rule for the search: where no candidate satisfies a
// versioned Depends, the suite's version becomes the candidate. apt's own rule
// often leaves nothing that can be installed.
func (s *solver) preferSuite(f fromSuite) {
	list := s.clauses(f.ver)
	for i := range list {
		c := &list[i]
		if c.kind > depends || slices.ContainsFunc(c.alts, func(a atom) bool { return s.matches(c, a, s.candidate) }) {
			continue
		}
		for _, a := range c.alts {
			if v := s.inSuite(a.target, f.suite); v != none && a.op.Holds(s.u.versions[v].info.Version, a.version) {
				s.makeCandidate(v)
				s.preferSuite(fromSuite{v, f.suite})
				break
			}
		}
	}
}
