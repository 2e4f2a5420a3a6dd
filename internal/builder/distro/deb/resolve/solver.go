package resolve

import (
	"fmt"

	"ashlar/internal/builder/distro/deb/pkginfo"
	"ashlar/internal/builder/distro/deb/relation"
)

// kind is the field that a relation stands in, in the order in which apt
// looks at them.
type kind uint8

const (
	preDepends kind = iota
	depends
	conflicts
	breaks
	recommends
	suggests
)

func (k kind) String() string {
	return [...]string{"Pre-Depends", "Depends", "Conflicts", "Breaks", "Recommends", "Suggests"}[k]
}

func (k kind) negative() bool { return k == conflicts || k == breaks }

// critical kinds must hold in every installation.
func (k kind) critical() bool { return k <= breaks }

// atom is a relation with its name looked up.
type atom struct {
	target  nameID
	op      relation.Op
	version string
}

// clause is what a version asks for: one of the alternatives, or that no
// package matches its only one if the kind is negative.
type clause struct {
	kind  kind
	owner nameID
	alts  []atom
	text  string
}

// solver is the state of one resolution: apt's dependency cache of a root in
// which nothing is installed yet.
type solver struct {
	u        *Universe
	req      *Request
	excluded map[nameID]bool
	named    map[nameID]verID // versions that the request names
	suites   []fromSuite      // entries "name/suite" of the request
	parsed   map[verID][]clause
	states   []state
	clock    int32
	changes  map[nameID][]change
	bad      error // the first relation that could not be read
}

// state is what is decided about a name.
type state struct {
	known     bool  // candidate is computed
	candidate verID // what would be installed
	installed verID // what is to be installed, or none
	install   bool  // marked for installation
	protected bool  // not to be changed any more
	manual    bool  // asked for, not pulled in
	updated   int32 // when relations that ask for this name were last looked at
}

// change is a candidate given up at a time.
type change struct {
	at        int32
	candidate verID
}

func newSolver(u *Universe, req *Request) *solver {
	s := &solver{
		u: u, req: req,
		excluded: make(map[nameID]bool),
		named:    make(map[nameID]verID),
		parsed:   make(map[verID][]clause),
		states:   make([]state, len(u.names)),
		changes:  make(map[nameID][]change),
	}
	for _, text := range req.Exclude {
		if id, ok := u.ids[text]; ok {
			s.excluded[id] = true
		}
	}
	return s
}

// state gives what is decided about a name, with its candidate computed.
func (s *solver) state(n nameID) *state {
	st := &s.states[n]
	if !st.known {
		st.known, st.candidate, st.installed = true, s.policy(n), none
	}
	return st
}

func (s *solver) candidate(n nameID) verID { return s.state(n).candidate }
func (s *solver) installed(n nameID) verID { return s.state(n).installed }

// candidateAt gives the candidate as it was at a time.
func (s *solver) candidateAt(n nameID, at int32) verID {
	now := s.candidate(n)
	list := s.changes[n]
	if len(list) == 0 || list[len(list)-1].at <= at {
		return now
	}
	for i := len(list) - 1; i > 0; i-- {
		if list[i-1].at <= at {
			return list[i-1].candidate
		}
	}
	return s.policy(n)
}

func (s *solver) setCandidate(n nameID, v verID) {
	if st := s.state(n); st.candidate != v {
		s.clock++
		st.candidate = v
		s.changes[n] = append(s.changes[n], change{s.clock, v})
	}
}

// setInstalled marks a name as to be installed in its candidate version, or
// as not to be installed.
func (s *solver) setInstalled(n nameID, on bool) {
	st := s.state(n)
	st.install, st.installed = on, none
	if on {
		st.installed = st.candidate
	}
	s.update(n)
}

// update notes that apt looks again at all relations that ask for a name or
// for what its candidate provides. In between it goes by what it saw last,
// even where a candidate has been given up; choices depend on that.
func (s *solver) update(n nameID) {
	s.clock++
	s.states[n].updated = s.clock
	if c := s.candidate(n); c != none {
		for _, p := range s.u.versions[c].provides {
			s.states[p].updated = s.clock
		}
	}
}

// clauses gives the parsed relations of a version.
func (s *solver) clauses(v verID) []clause {
	if list, ok := s.parsed[v]; ok {
		return list
	}
	p := s.u.versions[v].info
	var list []clause
	for _, field := range fields(p) {
		parsed, err := relation.Parse(field.text)
		if err != nil && s.bad == nil {
			s.bad = fmt.Errorf("read %s of %s: %w", field.kind, p.ID(), err)
		}
		for _, c := range parsed {
			list = s.appendClause(list, s.u.versions[v].name, field.kind, c)
		}
	}
	s.parsed[v] = list
	return list
}

type field struct {
	kind kind
	text string
}

func fields(p *pkginfo.Package) []field {
	return []field{
		{preDepends, p.PreDepends}, {depends, p.Depends}, {conflicts, p.Conflicts},
		{breaks, p.Breaks}, {recommends, p.Recommends}, {suggests, p.Suggests},
	}
}

// appendClause looks names up. Alternatives of a negative field are clauses
// of their own.
func (s *solver) appendClause(list []clause, owner nameID, k kind, c relation.Clause) []clause {
	out := clause{kind: k, owner: owner, text: c.String()}
	for _, r := range c {
		// The universe knows every name that its indexes mention.
		a := atom{s.u.ids[s.u.target(r)], r.Op, r.Version}
		if k.negative() {
			list = append(list, clause{kind: k, owner: owner, alts: []atom{a}, text: r.String()})
			continue
		}
		out.alts = append(out.alts, a)
	}
	if len(out.alts) > 0 {
		list = append(list, out)
	}
	return list
}

// matching gives the versions that match an atom among those that choose
// gives for each name. A package never conflicts with itself or with what it
// provides.
func (s *solver) matching(c *clause, a atom, choose func(nameID) verID, yield func(verID) bool) {
	if v := choose(a.target); v != none && !(c.kind.negative() && c.owner == a.target) &&
		a.op.Holds(s.u.versions[v].info.Version, a.version) && !yield(v) {
		return
	}
	for _, p := range s.u.names[a.target].providers {
		owner := s.u.versions[p.ver].name
		if c.kind.negative() && c.owner == owner {
			continue
		}
		if choose(owner) == p.ver && a.op.Holds(p.version, a.version) && !yield(p.ver) {
			return
		}
	}
}

func (s *solver) matches(c *clause, a atom, choose func(nameID) verID) bool {
	found := false
	s.matching(c, a, choose, func(verID) bool { found = true; return false })
	return found
}

// satisfied reports whether a clause holds among what is to be installed.
func (s *solver) satisfied(c *clause) bool {
	for _, a := range c.alts {
		if s.matches(c, a, s.installed) {
			return !c.kind.negative()
		}
	}
	return c.kind.negative()
}

// seenCandidate reports whether some candidate matched when apt last looked.
func (s *solver) seenCandidate(c *clause, a atom) bool {
	at := s.states[a.target].updated
	return s.matches(c, a, func(n nameID) verID { return s.candidateAt(n, at) })
}

// important kinds are followed.
func (s *solver) important(k kind) bool {
	return k.critical() || k == recommends && s.req.Recommends
}

// broken reports whether something that the installed version of a name needs
// is missing; policy counts recommendations that are to be followed.
func (s *solver) broken(n nameID, policy bool) bool {
	v := s.installed(n)
	if v == none {
		return false
	}
	list := s.clauses(v)
	for i := range list {
		c := &list[i]
		if (c.kind.critical() || policy && s.important(c.kind)) && !s.satisfied(c) {
			return true
		}
	}
	return false
}
