package rootfs

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"ashlar/internal/builder/distro/deb"
	"ashlar/internal/builder/distro/deb/relation"
	"ashlar/internal/foundation/tree"
)

// mergedDirs are the top-level directories that Debian and Ubuntu keep below
// /usr. Archives before trixie rely on the installer to make the links.
var mergedDirs = []string{"bin", "lib", "lib64", "sbin"}

// pkg is a package on its way into the root.
type pkg struct {
	name, version, arch string
	multiArchSame       bool
	unpacked            *deb.Unpacked
	paths               []string     // as the package ships them, with a leading slash: dpkg's list file
	late                []tree.Entry // files that go in after the preinst, for it diverts another package's
	lost                []string     // paths that it had until a later package replaced them
	ceded               []string     // paths that it ships and left to an earlier package
}

// lose takes a path from what the package has.
func (p *pkg) lose(raw string) {
	p.paths = slices.DeleteFunc(p.paths, func(name string) bool { return name == "/"+raw })
	p.lost = append(p.lost, "/"+raw)
}

// entry gives what the package ships at a path with a leading slash, or nil.
func (p *pkg) entry(name string) *tree.Entry {
	for i := range p.unpacked.Entries {
		if e := &p.unpacked.Entries[i].Entry; "/"+e.Path == name {
			return e
		}
	}
	return nil
}

// dbName is the stem of the package's files in dpkg's info directory.
func (p *pkg) dbName() string {
	if p.multiArchSame {
		return p.name + ":" + p.arch
	}
	return p.name
}

func (p *pkg) member(name string) []byte { return p.unpacked.Members[name] }

func newPackage(u *deb.Unpacked) *pkg {
	field := u.Control.Get
	return &pkg{
		name: field("Package"), version: field("Version"), arch: field("Architecture"),
		multiArchSame: field("Multi-Arch") == "same", unpacked: u,
	}
}

func newPackages(unpacked []*deb.Unpacked) []*pkg {
	packages := make([]*pkg, len(unpacked))
	for n, u := range unpacked {
		packages[n] = newPackage(u)
	}
	return packages
}

// claim is who put a path into the lower tree.
type claim struct {
	owner *pkg
	raw   string // the path as the owner ships it
}

// merger puts packages' files into one tree by dpkg's rules.
type merger struct {
	tree   *tree.Tree
	claims map[string]claim // by path in the tree
	errs   []error
}

func newMerger(mtime int64) (*merger, error) {
	m := &merger{tree: &tree.Tree{}, claims: map[string]claim{}}
	root := tree.NewDir(".", 0o755)
	root.MTime = mtime
	err := m.tree.Put(root)
	for _, name := range mergedDirs {
		link, dir := tree.NewSymlink(name, "usr/"+name), tree.NewDir("usr/"+name, 0o755)
		link.MTime, dir.MTime = mtime, mtime
		err = errors.Join(err, m.tree.AddParents(dir.Path, 0o755, mtime), m.tree.Put(dir), m.tree.Put(link))
	}
	return m, err
}

// add unpacks p over what is there. Conflicts between packages are collected.
func (m *merger) add(p *pkg) error {
	placed := map[string]string{} // path in the archive → path in the tree, for hard links
	for _, e := range p.unpacked.Entries {
		raw := e.Path
		if raw == "." {
			p.paths = append(p.paths, "/.")
			continue
		}
		resolved, err := m.tree.Resolve(raw)
		if err != nil {
			return fmt.Errorf("unpack %s: %w", p.name, err)
		}
		placed[raw] = resolved
		entry := e.Entry
		entry.Path = resolved
		if entry.Kind == tree.HardLink {
			target, ok := placed[entry.Target]
			if !ok {
				return fmt.Errorf("unpack %s: hard link %s to %s, which the package does not have before it", p.name, raw, entry.Target)
			}
			entry.Target = target
		}
		taken, err := m.place(p, raw, entry)
		if err != nil && len(m.errs) > 0 {
			return errors.Join(m.errs...) // one of them is the cause
		}
		if err != nil {
			return fmt.Errorf("unpack %s: %w", p.name, err)
		}
		if taken {
			p.paths = append(p.paths, "/"+raw)
		}
	}
	return nil
}

// place puts one entry, deciding who wins where two packages have the path. It
// reports whether the path is now p's, alone or with others.
func (m *merger) place(p *pkg, raw string, e tree.Entry) (bool, error) {
	old := m.tree.Get(e.Path)
	if old == nil {
		if err := m.tree.AddParents(e.Path, 0o755, e.MTime); err != nil {
			return false, err
		}
		m.claims[e.Path] = claim{p, raw}
		return true, m.tree.Put(e)
	}
	before, claimed := m.claims[e.Path]
	if m.shared(old, &e) {
		// The first package decides on a shared directory; one made only as a
		// parent takes the attributes of the first package that ships it.
		if !claimed && old.Kind == tree.Dir && e.IsDir() {
			m.claims[e.Path] = claim{p, raw}
			return true, m.tree.Put(e)
		}
		return true, nil
	}
	switch {
	case !claimed && old.Kind == e.Kind && old.Target == e.Target:
		m.claims[e.Path] = claim{p, raw}
		return true, nil
	case !claimed:
		return false, fmt.Errorf("%s is a %s in the skeleton and a %s in the package", raw, old.Kind, e.Kind)
	case before.owner == p, (coInstalled(p, before.owner) || before.raw != raw) && same(old, &e):
		return true, nil
	case replaces(p, before.owner):
		if before.raw == raw { // the database does not know that two names are one by a link
			before.owner.lose(raw)
		}
		return true, m.replace(p, raw, e)
	case replaces(before.owner, p):
		if before.raw != raw {
			return true, nil
		}
		p.ceded = append(p.ceded, "/"+raw)
		return false, nil
	case diverts(p):
		p.late = append(p.late, e)
		return true, nil
	case diverts(before.owner):
		before.owner.late = append(before.owner.late, m.detached(old))
		return true, m.replace(p, raw, e)
	}
	m.errs = append(m.errs, fmt.Errorf("packages %s and %s both have /%s, and neither replaces the other", before.owner.name, p.name, raw))
	return true, nil
}

// replace puts p's entry in the place of another's and all that was below it.
func (m *merger) replace(p *pkg, raw string, e tree.Entry) error {
	m.claims[e.Path] = claim{p, raw}
	m.tree.Remove(e.Path)
	return m.tree.Put(e)
}

// detached is an entry as it is without the other names of its inode.
func (m *merger) detached(e *tree.Entry) tree.Entry {
	alone := *e
	if e.Kind == tree.HardLink {
		alone = *m.tree.Get(e.Target)
		alone.Path = e.Path
	}
	return alone
}

// shared reports whether what is there stays whatever package comes with e: a
// directory, or a link to one, for which e is a directory; a directory for
// which e is a link; links to one directory.
func (m *merger) shared(old, e *tree.Entry) bool {
	switch {
	case old.Kind == tree.Dir:
		return e.IsDir() || e.Kind == tree.Symlink
	case old.Kind != tree.Symlink:
		return false
	}
	target := m.tree.Lookup(old.Path)
	if target == nil || !target.IsDir() {
		return false
	}
	return e.IsDir() || e.Kind == tree.Symlink && m.follow(e) == target
}

// follow gives what a link that is not in the tree would lead to, or nil.
func (m *merger) follow(link *tree.Entry) *tree.Entry {
	if strings.HasPrefix(link.Target, "/") {
		return m.tree.Lookup(strings.TrimLeft(link.Target, "/"))
	}
	return m.tree.Lookup(path.Dir(link.Path) + "/" + link.Target)
}

// coInstalled reports whether the two are one package for two architectures.
func coInstalled(a, b *pkg) bool {
	return a.name == b.name && a.multiArchSame && b.multiArchSame
}

// same reports whether packages that may share files share these.
func same(a, b *tree.Entry) bool {
	return a.Kind == b.Kind && a.Mode == b.Mode && a.Target == b.Target && a.Digest == b.Digest
}

// replaces reports whether p's Replaces field names other's name and version.
func replaces(p, other *pkg) bool {
	list, err := relation.Parse(p.unpacked.Control.Get("Replaces"))
	if err != nil {
		return false // the resolver has refused such a field
	}
	for _, clause := range list {
		for _, r := range clause {
			if r.Name == other.name && r.Op.Holds(other.version, r.Version) {
				return true
			}
		}
	}
	return false
}

func diverts(p *pkg) bool { return strings.Contains(string(p.member("preinst")), "dpkg-divert") }

// finish completes the tree: directories that the sandbox mounts on.
func (m *merger) finish(mtime int64) error {
	if err := errors.Join(m.errs...); err != nil {
		return err
	}
	for _, name := range []string{"dev", "proc", "sys", "run", "tmp", "etc", "var/lib/dpkg"} {
		if m.tree.Get(name) != nil {
			continue
		}
		d := tree.NewDir(name, 0o755)
		if path.Base(name) == "tmp" {
			d.Mode = 0o1777
		}
		d.MTime = mtime
		if err := errors.Join(m.tree.AddParents(name, 0o755, mtime), m.tree.Put(d)); err != nil {
			return err
		}
	}
	return nil
}
