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
		return nil, &Error{Lines: []string{fmt.Sprintf("there is no package %s", name)}}
	}
	v := newSolver(u, &Request{Pins: pins}).policy(id)
	if v == none {
		return nil, &Error{Lines: []string{fmt.Sprintf("no version of package %s may be chosen", name)}}
	}
	return u.versions[v].info, nil
}
