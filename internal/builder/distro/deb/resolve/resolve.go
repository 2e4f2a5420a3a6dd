// Package resolve chooses packages: what apt-get install would choose in a
// root where nothing is installed.
//
// It first does what apt does, step by step (mark.go). Where that leaves
// something broken it searches, in the same order of preference, all
// installations of the same candidates (search.go); so it finds a solution
// whenever there is one. Where there is none it says why (explain.go).
//
// A candidate is the one version of a package that pins and priorities choose
// (pins.go). Other versions are never installed unless the request names them.
// What this package does not do: upgrade or remove what is installed, fetch, or
// read indexes.
package resolve

import (
	"fmt"
	"slices"
	"strings"

	"ashlar/internal/builder/distro/deb/pkginfo"
)

// Request says what to install.
type Request struct {
	// Packages are names, real or virtual with one provider, or
	// "name=version" (shell patterns allowed), or "name/suite", which also lets
	// versioned dependencies come from that suite.
	Packages   []string
	Pins       []Pin    // first match counts
	Recommends bool     // also what packages recommend
	Essential  bool     // also all packages that are Essential: yes, before the others
	Exclude    []string // names never to be installed
}

// Result is an installation that satisfies all relations of its packages.
type Result struct {
	// Packages are in an order in which they can be configured: what a
	// package needs comes before it, except within cycles of Depends.
	Packages []*pkginfo.Package
	// Why says, by package name, what brought a package in: "requested",
	// "essential" or "nginx Depends: libc6 (>= 2.38)".
	Why map[string]string
	// Searched is set where apt's own way ended in a conflict and a search
	// found the solution.
	Searched bool
}

// root is a package that must be installed, and why.
type root struct {
	name nameID
	ver  verID
	why  string
}

// Resolve chooses packages. The error of a request that cannot be satisfied
// is an *Error.
func Resolve(u *Universe, req Request) (*Result, error) {
	for _, pin := range req.Pins {
		if err := pin.check(); err != nil {
			return nil, err
		}
	}
	s := newSolver(u, &req)
	roots, err := s.roots()
	if err != nil {
		return nil, err
	}
	chosen, ok := s.apt(roots)
	if s.bad != nil {
		return nil, s.bad
	}
	result := &Result{}
	if !ok {
		result.Searched = true
		s, roots, err = s.restart()
		if err != nil {
			return nil, err
		}
		if chosen, err = s.search(roots); err != nil {
			return nil, err
		}
	}
	result.Why = s.why(roots, chosen)
	result.Packages = s.order(chosen)
	return result, nil
}

// restart forgets what apt's way has decided.
func (s *solver) restart() (*solver, []root, error) {
	fresh := newSolver(s.u, s.req)
	roots, err := fresh.roots()
	if err != nil {
		return nil, nil, err
	}
	for _, f := range fresh.suites {
		fresh.preferSuite(f)
	}
	fresh.refresh(roots)
	return fresh, roots, nil
}

// refresh makes the candidates of now the versions of the roots.
func (s *solver) refresh(roots []root) {
	for i := range roots {
		roots[i].ver = s.candidate(roots[i].name)
	}
}

// apt does what apt-get install does with names on its command line: mark all
// of them, then what they need, one after the other. It reports whether nothing
// is broken then.
func (s *solver) apt(roots []root) (map[nameID]verID, bool) {
	for _, r := range roots {
		s.state(r.name).protected = true
		s.mark(r.name, false, 0, true)
	}
	s.switchSuites()
	for _, r := range roots {
		s.mark(r.name, true, 0, true)
	}
	for n := range s.states {
		if s.states[n].known && s.states[n].install && s.broken(nameID(n), false) {
			return nil, false
		}
	}
	chosen := make(map[nameID]verID)
	for n := range s.sweep() {
		chosen[n] = s.installed(n)
	}
	return chosen, true
}

// roots looks the request up and makes the versions it names candidates.
func (s *solver) roots() ([]root, error) {
	var roots []root
	seen := make(map[nameID]bool)
	add := func(r root) {
		if !seen[r.name] {
			seen[r.name] = true
			roots = append(roots, r)
		}
	}
	if s.req.Essential {
		for _, r := range s.essential() {
			add(r)
		}
	}
	var problems []string
	for _, text := range s.req.Packages {
		r, err := s.root(text)
		if err != nil {
			problems = append(problems, err.Error())
			continue
		}
		add(r)
	}
	if len(problems) > 0 {
		return nil, &Error{Lines: problems}
	}
	s.refresh(roots) // a later entry may have named a version
	return roots, nil
}

func (s *solver) essential() []root {
	var roots []root
	for n := range s.u.names {
		if !s.u.names[n].essential {
			continue
		}
		if v := s.candidate(nameID(n)); v != none && s.u.versions[v].info.Essential {
			roots = append(roots, root{nameID(n), v, "essential"})
		}
	}
	return roots
}

// root looks up one entry of Request.Packages.
func (s *solver) root(text string) (root, error) {
	base, selector := text, ""
	if i := strings.LastIndexAny(text, "/="); i >= 0 {
		base, selector = text[:i], text[i:]
	}
	n, ok := s.u.ids[strings.TrimSuffix(base, ":"+s.u.arch)]
	if !ok {
		return root{}, fmt.Errorf("find package %q: no archive has it%s", base, s.u.suggest(base))
	}
	if len(s.u.names[n].versions) == 0 {
		provider, err := s.onlyProvider(n)
		if err != nil {
			return root{}, err
		}
		n = provider
	}
	why := "requested"
	if s.u.names[n].text != base {
		why = fmt.Sprintf("requested as %s", base)
	}
	if selector != "" {
		if err := s.choose(n, selector); err != nil {
			return root{}, err
		}
		if v, named := s.named[n]; named && v != s.candidate(n) {
			return root{}, fmt.Errorf("install %s: %s is requested too", text, s.label(v))
		}
		s.named[n] = s.candidate(n)
		why += selector
	}
	v := s.candidate(n)
	if v == none {
		return root{}, fmt.Errorf("install %s: no version may be installed: %s", base, s.describe(n))
	}
	return root{n, v, why}, nil
}

// onlyProvider stands in for a virtual package if there is but one choice.
func (s *solver) onlyProvider(n nameID) (nameID, error) {
	var owners []nameID
	for _, p := range s.u.names[n].providers {
		if owner := s.u.versions[p.ver].name; s.candidate(owner) == p.ver && !slices.Contains(owners, owner) {
			owners = append(owners, owner)
		}
	}
	text := s.u.names[n].text
	switch len(owners) {
	case 1:
		return owners[0], nil
	case 0:
		return 0, fmt.Errorf("find package %q: other packages mention it, but no archive has it%s", text, s.u.suggest(text))
	}
	slices.SortFunc(owners, s.u.compareNames)
	var names []string
	for _, owner := range owners {
		names = append(names, s.u.names[owner].text)
	}
	return 0, fmt.Errorf("install %s: it is virtual; name one of its providers: %s", text, strings.Join(names, ", "))
}

// choose makes the version that a selector names the candidate. What is named
// is taken whatever pins say. The highest match counts.
func (s *solver) choose(n nameID, selector string) error {
	pattern := selector[1:]
	for _, v := range s.u.names[n].versions {
		if selector[0] == '=' {
			if version := s.u.versions[v].info.Version; version == pattern || glob(pattern, version) {
				s.setCandidate(n, v)
				s.update(n)
				return nil
			}
			continue
		}
		for o := range s.u.versions[v].origins {
			if inRelease(o, pattern) {
				s.setCandidate(n, v)
				s.update(n)
				s.suites = append(s.suites, fromSuite{v, pattern})
				return nil
			}
		}
	}
	return fmt.Errorf("install %s%s: there is no such version: %s", s.u.names[n].text, selector, s.describe(n))
}
