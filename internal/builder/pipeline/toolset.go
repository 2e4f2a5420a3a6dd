package pipeline

import (
	"fmt"
	"slices"

	"ashlar/internal/builder/distro/deb/pkginfo"
	"ashlar/internal/builder/distro/deb/relation"
)

// reachable gives those of a complete installation that the set's packages
// need, by dependencies that do not lead through one it goes without.
func reachable(all []*pkginfo.Package, set ToolSet) ([]*pkginfo.Package, error) {
	byName := map[string][]*pkginfo.Package{}
	for _, p := range all {
		byName[p.Name] = append(byName[p.Name], p)
		provides, err := relation.Parse(p.Provides)
		if err != nil {
			return nil, fmt.Errorf("read Provides of %s: %w", p.Name, err)
		}
		for _, clause := range provides {
			byName[clause[0].Name] = append(byName[clause[0].Name], p)
		}
	}
	var found []*pkginfo.Package
	queue := slices.Clone(set.Packages)
	for len(queue) > 0 {
		name := queue[0]
		queue = queue[1:]
		for _, p := range byName[name] {
			if slices.Contains(set.Without, p.Name) || slices.Contains(found, p) {
				continue
			}
			found = append(found, p)
			needs, err := needsOf(p)
			if err != nil {
				return nil, err
			}
			queue = append(queue, needs...)
		}
	}
	return found, nil
}

// needsOf gives the names in a package's dependencies, all alternatives.
func needsOf(p *pkginfo.Package) ([]string, error) {
	var names []string
	for _, field := range []string{p.PreDepends, p.Depends} {
		clauses, err := relation.Parse(field)
		if err != nil {
			return nil, fmt.Errorf("read dependencies of %s: %w", p.Name, err)
		}
		for _, clause := range clauses {
			for _, r := range clause {
				names = append(names, r.Name)
			}
		}
	}
	return names, nil
}
