package resolve

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"ashlar/internal/builder/distro/deb/pkginfo"
	"ashlar/internal/builder/distro/deb/relation"
	"ashlar/internal/builder/distro/deb/version"
)

// nameID is the index of a name in Universe.names, verID that of a version in
// Universe.versions.
type (
	nameID int32
	verID  int32
)

// none is no version.
const none verID = -1

// Universe holds every package that may be chosen from. It is not changed
// after NewUniverse, so any number of Resolve calls may share it.
type Universe struct {
	arch     string
	names    []name
	versions []ver
	ids      map[string]nameID
}

// name is all that is known under one name, real or virtual. Names with an
// architecture qualifier ("python3:any", "libc6:amd64") are names of their
// own, provided by those versions that the qualifier admits. The order of
// nameIDs is the order in which the indexes mention the names for the first
// time: apt's last resort when it chooses between providers.
type name struct {
	text      string
	versions  []verID // highest first; equal ones in the order of the indexes
	providers []provider
	essential bool // some version is Essential: yes
	important bool // some version is Protected: yes
}

// provider is a version that provides a name.
type provider struct {
	ver     verID
	version string // of the name; "" when the entry has none
}

// ver is one version of a package.
type ver struct {
	info     *pkginfo.Package
	more     []*pkginfo.Origin // where else the same version is to be had
	name     nameID
	priority int8     // 1 required … 5 extra, 0 not said
	provides []nameID // the names it is a provider of
}

// NewUniverse indexes packages. Their order matters: it is the order of the
// archives and, within one, of its index, and it decides between providers
// that are otherwise equal, as it does in apt. Packages of another architecture
// than arch and "all" are left out.
func NewUniverse(packages []*pkginfo.Package, arch string) (*Universe, error) {
	u := &Universe{arch: arch, ids: make(map[string]nameID, len(packages)*3/2)}
	u.versions = make([]ver, 0, len(packages))
	u.intern("") // nameID 0: what nothing has and nothing provides
	for _, p := range packages {
		if p.Arch != arch && p.Arch != "all" {
			continue
		}
		if err := u.add(p); err != nil {
			return nil, fmt.Errorf("index %s: %w", p.ID(), err)
		}
	}
	u.addQualified()
	return u, nil
}

// add takes in one stanza. Names are met in the order in which apt's cache
// generator meets them.
func (u *Universe) add(p *pkginfo.Package) error {
	if p.Name == "" || p.Version == "" {
		return errors.New("no name or no version")
	}
	id := u.intern(p.Name)
	if same := u.same(id, p); same != none {
		u.versions[same].more = append(u.versions[same].more, p.Origin)
		return nil
	}
	v := verID(len(u.versions))
	u.versions = append(u.versions, ver{info: p, name: id, priority: priorityOf(p.Priority)})
	n := &u.names[id]
	n.essential = n.essential || p.Essential
	n.important = n.important || p.Important
	at := len(n.versions)
	for at > 0 && version.Compare(u.versions[n.versions[at-1]].info.Version, p.Version) < 0 {
		at--
	}
	n.versions = slices.Insert(n.versions, at, v)
	for _, field := range [...]string{p.PreDepends, p.Depends, p.Conflicts, p.Breaks, p.Recommends, p.Suggests, p.Replaces, p.Enhances} {
		u.internField(field)
	}
	return u.addProvides(v)
}

// same finds a version that is the same build: apt compares the fields below,
// as copies of a package in two archives may differ in others.
func (u *Universe) same(id nameID, p *pkginfo.Package) verID {
	for _, v := range u.names[id].versions {
		o := u.versions[v].info
		if o.Version == p.Version && o.InstalledSize == p.InstalledSize && o.Depends == p.Depends && o.PreDepends == p.PreDepends &&
			o.Conflicts == p.Conflicts && o.Breaks == p.Breaks && o.Replaces == p.Replaces {
			return v
		}
	}
	return none
}

func (u *Universe) intern(text string) nameID {
	if id, ok := u.ids[text]; ok {
		return id
	}
	id := nameID(len(u.names))
	u.names = append(u.names, name{text: text})
	u.ids[text] = id
	return id
}

// internField meets the names of a relation field without reading the rest of
// it: whole fields are parsed only of packages that a resolution looks at.
func (u *Universe) internField(field string) {
	for field != "" {
		field = strings.TrimLeft(field, " \t\n\r")
		end := strings.IndexAny(field, " \t\n\r,|([<")
		if end < 0 {
			end = len(field)
		}
		if end > 0 {
			word := field[:end]
			base, qualifier, _ := strings.Cut(word, ":")
			if qualifier == "native" {
				word = base + ":" + u.arch
			}
			u.intern(word)
			if qualifier != "" && qualifier != "any" {
				u.intern(base)
			}
		}
		next := strings.IndexAny(field[end:], ",|")
		if next < 0 {
			return
		}
		field = field[end+next+1:]
	}
}

// target is the name that a relation asks for.
func (u *Universe) target(r relation.Relation) string {
	switch r.Qualifier {
	case "":
		return r.Name
	case "native":
		return r.Name + ":" + u.arch
	}
	return r.Name + ":" + r.Qualifier
}

// addProvides enters a version as a provider. Multi-Arch: allowed means that
// it and all that it provides may also be asked for with ":any".
func (u *Universe) addProvides(v verID) error {
	p := u.versions[v].info
	allowed := p.MultiArch == "allowed"
	if p.Provides != "" {
		list, err := relation.Parse(p.Provides)
		if err != nil {
			return fmt.Errorf("read Provides: %w", err)
		}
		for _, clause := range list {
			for _, r := range clause {
				if r.Op != relation.Any && r.Op != relation.Equal {
					continue
				}
				if r.Qualifier == "" && allowed {
					u.provide(v, r.Name+":any", r.Version)
				}
				if r.Qualifier == u.arch {
					u.provide(v, r.Name, r.Version)
				}
				u.provide(v, u.target(r), r.Version)
			}
		}
	}
	if allowed {
		u.provide(v, p.Name+":any", p.Version)
	}
	return nil
}

func (u *Universe) provide(v verID, text, version string) {
	p := u.versions[v].info
	if text == p.Name && (version == "" || version == p.Version) {
		return
	}
	id := u.intern(text)
	u.names[id].providers = append(u.names[id].providers, provider{v, version})
	u.versions[v].provides = append(u.versions[v].provides, id)
}

// addQualified lets versions and providers of a name provide "name:ARCH" where
// some relation asks for that.
func (u *Universe) addQualified() {
	suffix := ":" + u.arch
	for id := range u.names {
		base, ok := strings.CutSuffix(u.names[id].text, suffix)
		if !ok {
			continue
		}
		from, ok := u.ids[base]
		if !ok {
			continue
		}
		for _, v := range u.names[from].versions {
			u.provide(v, u.names[id].text, u.versions[v].info.Version)
		}
		for _, p := range u.names[from].providers {
			u.provide(p.ver, u.names[id].text, p.version)
		}
	}
}

// origins gives all places where a version is to be had.
func (v *ver) origins(yield func(*pkginfo.Origin) bool) {
	if v.info.Origin != nil && !yield(v.info.Origin) {
		return
	}
	for _, o := range v.more {
		if o != nil && !yield(o) {
			return
		}
	}
}

func priorityOf(word string) int8 {
	i := slices.Index([]string{"", "required", "important", "standard", "optional", "extra"}, word)
	if i < 0 {
		return 5
	}
	return int8(i)
}

// compareNames orders names as text, for messages and for what has no other
// order.
func (u *Universe) compareNames(a, b nameID) int {
	return cmp.Compare(u.names[a].text, u.names[b].text)
}
