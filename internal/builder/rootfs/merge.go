package rootfs

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"ashlar/internal/builder/distro/deb"
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
	sorted              []string     // paths in byte order
	late                []tree.Entry // files that go in after the preinst, for it diverts another package's
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
		p.paths = append(p.paths, "/"+raw)
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
		if err := m.place(p, raw, entry); err != nil {
			return fmt.Errorf("unpack %s: %w", p.name, err)
		}
	}
	p.sorted = slices.Sorted(slices.Values(p.paths))
	return nil
}

// place puts one entry, deciding who wins where two packages have the path.
func (m *merger) place(p *pkg, raw string, e tree.Entry) error {
	old := m.tree.Get(e.Path)
	if old == nil {
		if err := m.tree.AddParents(e.Path, 0o755, e.MTime); err != nil {
			return err
		}
		m.claims[e.Path] = claim{p, raw}
		return m.tree.Put(e)
	}
	if e.Kind == tree.Dir && (old.Kind == tree.Dir || m.isDirLink(e.Path)) {
		// The first package decides on a shared directory; one made only as a
		// parent takes the attributes of the first package that ships it.
		if _, claimed := m.claims[e.Path]; !claimed && old.Kind == tree.Dir {
			m.claims[e.Path] = claim{p, raw}
			return m.tree.Put(e)
		}
		return nil
	}
	before, claimed := m.claims[e.Path]
	switch {
	case !claimed && old.Kind == e.Kind && old.Target == e.Target:
		m.claims[e.Path] = claim{p, raw}
		return nil
	case !claimed:
		return fmt.Errorf("%s is a %s in the skeleton and a %s in the package", raw, old.Kind, e.Kind)
	case before.owner == p || same(old, &e):
		return nil
	case replaces(p, before.owner):
		m.claims[e.Path] = claim{p, raw}
		m.tree.Remove(e.Path)
		return m.tree.Put(e)
	case replaces(before.owner, p):
		return nil
	case diverts(p):
		p.late = append(p.late, e)
		return nil
	case diverts(before.owner):
		before.owner.late = append(before.owner.late, *old)
		m.claims[e.Path] = claim{p, raw}
		return m.tree.Put(e)
	}
	m.errs = append(m.errs, fmt.Errorf("packages %s and %s both have /%s, and neither replaces the other", before.owner.name, p.name, raw))
	return nil
}

func (m *merger) isDirLink(name string) bool {
	e := m.tree.Get(name)
	if e == nil || e.Kind != tree.Symlink {
		return false
	}
	target := m.tree.Lookup(name)
	return target == nil || target.IsDir()
}

// same reports whether two packages may share the path: equal files, as
// co-installable packages of several architectures have.
func same(a, b *tree.Entry) bool {
	return a.Kind == b.Kind && a.Kind != tree.Dir && a.Mode == b.Mode && a.Target == b.Target && a.Digest == b.Digest
}

// replaces reports whether p's Replaces field names other. The version of the
// relation is not looked at: the resolver only lets packages stand together
// whose Breaks and Conflicts hold.
func replaces(p, other *pkg) bool {
	for _, clause := range strings.Split(p.unpacked.Control.Get("Replaces"), ",") {
		name, _, _ := strings.Cut(strings.TrimSpace(clause), " ")
		name, _, _ = strings.Cut(name, ":")
		if name == other.name {
			return true
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
