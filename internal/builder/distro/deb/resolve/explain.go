package resolve

import (
	"fmt"
	"strings"
)

// Error says why a request cannot be satisfied, in lines to be shown to a
// person. For a conflict they are a smallest set of facts that exclude each
// other, each but the first ones following from one before.
type Error struct {
	Lines []string
}

func (e *Error) Error() string {
	return "resolve packages: " + strings.Join(e.Lines, "\n  ")
}

// explain turns the rules behind a conflict into lines.
func (f *formula) explain(core []int) error {
	rules := f.minimize(core)
	mentioned := make(map[verID]bool)
	var lines []string
	// Rules are told when what they are about has been mentioned; those that
	// are left over at the end have no such chain.
	for len(rules) > 0 {
		next := 0
		for i := range rules {
			if rules[i].root != nil || mentioned[rules[i].owner] {
				next = i
				break
			}
		}
		r := rules[next]
		rules = append(rules[:next:next], rules[next+1:]...)
		lines = append(lines, f.s.tell(&r))
		if r.root != nil {
			mentioned[r.root.ver] = true
		}
		for _, v := range r.by {
			mentioned[v] = true
		}
	}
	return &Error{Lines: lines}
}

// tell gives one rule in words.
func (s *solver) tell(r *rule) string {
	if r.root != nil {
		return fmt.Sprintf("%s is %s", s.label(r.root.ver), r.root.why)
	}
	relation := fmt.Sprintf("%s %s: %s", s.label(r.owner), r.c.kind, r.c.text)
	switch {
	case r.hit != none:
		return fmt.Sprintf("%s, and that is %s", relation, s.label(r.hit))
	case len(r.by) > 0:
		return fmt.Sprintf("%s, which only %s can satisfy", relation, strings.Join(s.sorted(r.by), " or "))
	}
	var have []string
	for _, a := range r.c.alts {
		have = append(have, s.describe(a.target))
	}
	return fmt.Sprintf("%s, which nothing satisfies: %s", relation, strings.Join(have, "; "))
}

func (s *solver) label(v verID) string {
	p := s.u.versions[v].info
	return p.Name + " " + p.Version
}

// describe lists the versions of a name with what decides about them, and who
// else provides it.
func (s *solver) describe(n nameID) string {
	name := &s.u.names[n]
	if s.excluded[n] {
		return name.text + " is excluded"
	}
	var parts []string
	for _, v := range name.versions {
		var from []string
		for o := range s.u.versions[v].origins {
			from = append(from, o.Suite)
		}
		text := name.text + " " + s.u.versions[v].info.Version
		if len(from) > 0 {
			_, why := s.priority(v)
			text += fmt.Sprintf(" is in %s (%s)", strings.Join(from, ", "), why)
		}
		if v == s.candidate(n) {
			text += " and is the candidate"
		}
		parts = append(parts, text)
	}
	for _, p := range name.providers {
		text := s.label(p.ver) + " provides " + name.text
		if p.version != "" {
			text += " " + p.version
		}
		if s.candidate(s.u.versions[p.ver].name) != p.ver {
			text += " but is not the candidate"
		}
		parts = append(parts, text)
	}
	if len(parts) == 0 {
		return "no archive has " + name.text
	}
	return strings.Join(parts, "; ")
}
