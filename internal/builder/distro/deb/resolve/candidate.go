package resolve

import (
	"fmt"

	"ashlar/internal/builder/distro/deb/pkginfo"
)

// Candidate gives the version of a package that pins and priorities choose,
// without looking at its relations: for packages whose files are taken and
// which are not installed.
func (u *Universe) Candidate(name string, pins []Pin) (*pkginfo.Package, error) {
	id, ok := u.ids[name]
	if !ok {
		return nil, &Error{Lines: []string{fmt.Sprintf("find package %q: no archive has it%s", name, u.suggest(name))}}
	}
	s := newSolver(u, &Request{Pins: pins})
	v := s.policy(id)
	if v == none {
		return nil, &Error{Lines: []string{fmt.Sprintf("choose a version of %s: none may be chosen: %s", name, s.describe(id))}}
	}
	return u.versions[v].info, nil
}
