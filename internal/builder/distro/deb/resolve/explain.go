package resolve

import (
	"fmt"
	"strings"
)

// Error says why a request cannot be satisfied, in lines to be shown to a
// person.
type Error struct {
	Lines []string
}

func (e *Error) Error() string {
	return "resolve packages: " + strings.Join(e.Lines, "\n  ")
}

// describe lists the versions of a name with what decides about them.
func (s *solver) describe(n nameID) string {
	name := &s.u.names[n]
	if s.excluded[n] {
		return name.text + " is excluded"
	}
	if len(name.versions) == 0 {
		return "no archive has " + name.text
	}
	var parts []string
	for _, v := range name.versions {
		var from []string
		for o := range s.u.versions[v].origins {
			from = append(from, o.Suite)
		}
		_, why := s.priority(v)
		parts = append(parts, fmt.Sprintf("%s %s in %s (%s)", name.text, s.u.versions[v].info.Version, strings.Join(from, ", "), why))
	}
	return strings.Join(parts, "; ")
}
