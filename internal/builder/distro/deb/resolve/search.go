package resolve

import (
	"cmp"
	"maps"
	"slices"
)

// rule is a clause of the formula with what it means. All rules together say
// which sets of candidates are installations of the roots.
type rule struct {
	root  *root   // must be installed
	owner verID   // has the relation
	c     *clause // critical
	by    []verID // for a positive relation: what satisfies it
	hit   verID   // for a negative one: what matches it
}

// formula is a resolution as a satisfiability problem: a variable for each
// candidate that roots can lead to.
type formula struct {
	s       *solver
	vars    map[verID]int
	vers    []verID
	rules   []rule
	choices [][][]int // by variable: what satisfies each of its relations, by preference
}

// search finds the installation that an orderly trial and error in apt's
// order of preference ends at.
func (s *solver) search(roots []root) (map[nameID]verID, error) {
	f := s.formula(roots)
	if s.bad != nil {
		return nil, s.bad
	}
	sat := f.sat(f.rules)
	ok, core := sat.solve(f.decider(sat))
	if !ok {
		return nil, f.explain(core)
	}
	chosen := make(map[nameID]verID)
	for i, v := range f.vers {
		if sat.value[i] > 0 {
			chosen[s.u.versions[v].name] = v
		}
	}
	return chosen, nil
}

// formula follows relations from the roots to all candidates that may matter.
func (s *solver) formula(roots []root) *formula {
	f := &formula{s: s, vars: make(map[verID]int)}
	for i := range roots {
		f.variable(roots[i].ver)
		f.rules = append(f.rules, rule{root: &roots[i], owner: none, hit: none})
	}
	for i := 0; i < len(f.vers); i++ {
		f.follow(i)
	}
	// What conflicts is known only when all variables are.
	for _, v := range f.vers {
		list := s.clauses(v)
		for k := range list {
			if c := &list[k]; c.kind.negative() {
				f.exclude(v, c)
			}
		}
	}
	return f
}

func (f *formula) variable(v verID) int {
	i, ok := f.vars[v]
	if !ok {
		i = len(f.vers)
		f.vars[v] = i
		f.vers = append(f.vers, v)
		f.choices = append(f.choices, nil)
	}
	return i
}

// follow adds the positive relations of variable i.
func (f *formula) follow(i int) {
	v := f.vers[i]
	list := f.s.clauses(v)
	for k := range list {
		c := &list[k]
		if c.kind.negative() || !f.s.important(c.kind) {
			continue
		}
		by := f.s.preferred(c)
		choice := make([]int, len(by))
		for j, o := range by {
			choice[j] = f.variable(o)
		}
		f.choices[i] = append(f.choices[i], choice)
		if c.kind.critical() {
			f.rules = append(f.rules, rule{owner: v, c: c, by: by, hit: none})
		}
	}
}

// preferred is solutions without regard to what is decided already.
func (s *solver) preferred(c *clause) []verID {
	var out []verID
	for _, a := range c.alts {
		var by []verID
		s.matching(c, a, s.candidate, func(v verID) bool {
			if !slices.Contains(out, v) && !slices.Contains(by, v) {
				by = append(by, v)
			}
			return true
		})
		slices.SortStableFunc(by, func(x, y verID) int { return s.comparePreference(a, x, y) })
		out = append(out, by...)
	}
	return out
}

func (f *formula) exclude(v verID, c *clause) {
	var hits []verID
	f.s.matching(c, c.alts[0], f.s.candidate, func(hit verID) bool {
		if _, ok := f.vars[hit]; ok && !slices.Contains(hits, hit) {
			hits = append(hits, hit)
		}
		return true
	})
	for _, hit := range hits {
		f.rules = append(f.rules, rule{owner: v, c: c, hit: hit})
	}
}

// sat makes a solver for some rules; clause i is rule i.
func (f *formula) sat(rules []rule) *sat {
	s := newSat(len(f.vers))
	for i := range rules {
		r := &rules[i]
		var lits []literal
		switch {
		case r.root != nil:
			lits = []literal{yes(f.vars[r.root.ver])}
		case r.hit != none:
			lits = []literal{no(f.vars[r.owner]), no(f.vars[r.hit])}
		default:
			lits = []literal{no(f.vars[r.owner])}
			for _, v := range r.by {
				if v == r.owner {
					lits = nil
					break
				}
				lits = append(lits, yes(f.vars[v]))
			}
			if lits == nil { // it satisfies itself
				lits = []literal{no(f.vars[r.owner]), yes(f.vars[r.owner])}
			}
		}
		s.add(lits, nil)
	}
	return s
}

// decider chooses like apt: the first relation that does not hold of the
// package decided first, and of what satisfies it the first that may be
// installed. When all relations hold the rest stays out.
func (f *formula) decider(s *sat) func() (literal, bool) {
	return func() (literal, bool) {
		for _, l := range s.trail {
			if l&1 == 1 {
				continue
			}
			for _, choice := range f.choices[l.variable()] {
				if next, open := pick(s, choice); open {
					return yes(next), true
				}
			}
		}
		return 0, false
	}
}

// pick gives the first open variable of a choice that is not made yet.
func pick(s *sat, choice []int) (int, bool) {
	first := -1
	for _, v := range choice {
		if s.value[v] > 0 {
			return 0, false
		}
		if s.value[v] == 0 && first < 0 {
			first = v
		}
	}
	return first, first >= 0
}

// minimize drops rules from an unsatisfiable set as long as it stays so.
func (f *formula) minimize(core []int) []rule {
	rules := make([]rule, len(core))
	for i, id := range core {
		rules[i] = f.rules[id]
	}
	for i := 0; i < len(rules); {
		fewer := slices.Delete(slices.Clone(rules), i, i+1)
		s := f.sat(fewer)
		if ok, _ := s.solve(anyOpen(s)); ok {
			i++
		} else {
			rules = fewer
		}
	}
	return rules
}

// anyOpen decides without preference, until nothing is open.
func anyOpen(s *sat) func() (literal, bool) {
	return func() (literal, bool) {
		for v, value := range s.value {
			if value == 0 {
				return no(v), true
			}
		}
		return 0, false
	}
}

// sorted gives the names of versions, in order, each once.
func (s *solver) sorted(vers []verID) []string {
	set := make(map[string]bool)
	for _, v := range vers {
		set[s.u.versions[v].info.Name] = true
	}
	return slices.SortedFunc(maps.Keys(set), cmp.Compare[string])
}
