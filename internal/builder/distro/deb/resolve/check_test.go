package resolve_test

import (
	"fmt"
	"slices"
	"strings"

	"ashlar/internal/builder/distro/deb/pkginfo"
	"ashlar/internal/builder/distro/deb/relation"
)

// checkInstallation is an independent judge: it knows control fields only and
// nothing of the universe or the solver. order asks that everything a package
// Pre-Depends on comes before it.
func checkInstallation(packages []*pkginfo.Package, arch string, order bool) error {
	all, earlier := installation{arch: arch}, installation{arch: arch}
	for _, p := range packages {
		if len(all.real(p.Name)) > 0 {
			return fmt.Errorf("%s is installed twice", p.Name)
		}
		if err := all.add(p); err != nil {
			return err
		}
	}
	for _, p := range packages {
		if err := all.positive(p, p.PreDepends+","+p.Depends); err != nil {
			return err
		}
		if order {
			if err := earlier.positive(p, p.PreDepends); err != nil {
				return fmt.Errorf("order: %w", err)
			}
		}
		if err := all.negative(p, p.Conflicts+","+p.Breaks); err != nil {
			return err
		}
		if err := earlier.add(p); err != nil {
			return err
		}
	}
	return nil
}

// installation is packages by the names they have and provide.
type installation struct {
	arch string
	by   map[string][]offer
}

// offer is a package under a name.
type offer struct {
	owner   *pkginfo.Package
	version string // "" where a Provides entry has none
	any     bool   // it may be asked for with :any
	own     bool   // it is the package's own name
}

func (in *installation) add(p *pkginfo.Package) error {
	if in.by == nil {
		in.by = make(map[string][]offer)
	}
	anyArch := p.MultiArch == "allowed"
	in.by[p.Name] = append(in.by[p.Name], offer{p, p.Version, anyArch, true})
	list, err := relation.Parse(p.Provides)
	if err != nil {
		return err
	}
	for _, clause := range list {
		for _, r := range clause {
			in.by[r.Name] = append(in.by[r.Name], offer{p, r.Version, anyArch || r.Qualifier == "any", false})
		}
	}
	return nil
}

func (in *installation) real(name string) []offer {
	return slices.DeleteFunc(slices.Clone(in.by[name]), func(o offer) bool { return !o.own })
}

// meeting gives the packages that are, or provide, what a relation asks for.
func (in *installation) meeting(r relation.Relation) []*pkginfo.Package {
	var out []*pkginfo.Package
	for _, o := range in.by[r.Name] {
		admitted := r.Qualifier == "" || r.Qualifier == "native" || r.Qualifier == in.arch || r.Qualifier == "any" && o.any
		if admitted && r.Op.Holds(o.version, r.Version) {
			out = append(out, o.owner)
		}
	}
	return out
}

func (in *installation) positive(p *pkginfo.Package, text string) error {
	list, err := relation.Parse(strings.TrimLeft(text, ","))
	if err != nil {
		return fmt.Errorf("%s: %w", p.Name, err)
	}
	for _, clause := range list {
		if !slices.ContainsFunc(clause, func(r relation.Relation) bool { return len(in.meeting(r)) > 0 }) {
			return fmt.Errorf("%s needs %s, which is not met", p.Name, clause)
		}
	}
	return nil
}

func (in *installation) negative(p *pkginfo.Package, text string) error {
	list, err := relation.Parse(strings.TrimLeft(text, ","))
	if err != nil {
		return fmt.Errorf("%s: %w", p.Name, err)
	}
	for _, clause := range list {
		for _, o := range in.meeting(clause[0]) {
			if o.Name != p.Name {
				return fmt.Errorf("%s must not be with %s, but there is %s", p.Name, clause, o.ID())
			}
		}
	}
	return nil
}
