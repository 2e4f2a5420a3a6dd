package rootfs

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"ashlar/internal/builder/distro/deb/relation"
	"ashlar/internal/foundation/digest"
	"ashlar/internal/foundation/tree"
)

// A root is configured in two stages, each over a sandbox of its own:
//
//  1. the packages with maintainer scripts, and all that these need, as if
//     there were no others;
//  2. the rest, which is unpacked over what came of that; then triggers.
//
// What comes of the first stage is kept in the store by the packages of that
// stage, so that a package without scripts comes or goes without running those
// of all others again. A build from nothing takes the same two steps: whether
// the first was in the store reaches no byte.

// snapshot is what the first stage leaves to the second.
type snapshot struct {
	tree     *tree.Tree
	triggers triggerNames
}

// triggerNames is a triggerState by names in dpkg's database, sorted.
type triggerNames struct {
	Pending map[string][]string `json:"pending,omitempty"`
	Awaits  map[string][]string `json:"awaits,omitempty"`
}

// inStages gives the input with the packages of the first stage in front, and
// their number. The order within each stage stays.
func inStages(in Input) (Input, int) {
	packages := newPackages(in.Packages)
	first := firstStage(packages)
	staged := in
	staged.Packages, staged.Digests = nil, nil
	for _, wanted := range []bool{true, false} {
		for n, p := range packages {
			if first[p] == wanted {
				staged.Packages = append(staged.Packages, in.Packages[n])
				staged.Digests = append(staged.Digests, in.Digests[n])
			}
		}
	}
	return staged, len(first)
}

// firstStage gives the packages with scripts, the essential ones, and what they
// depend on: of alternatives, all that are there.
func firstStage(packages []*pkg) map[*pkg]bool {
	known := byName(packages)
	first := map[*pkg]bool{}
	var add func(p *pkg)
	add = func(p *pkg) {
		if first[p] {
			return
		}
		first[p] = true
		for _, field := range []string{"Pre-Depends", "Depends"} {
			list, err := relation.Parse(p.unpacked.Control.Get(field))
			if err != nil {
				continue // the resolver has refused such a field
			}
			for _, clause := range list {
				for _, r := range clause {
					for _, q := range known[r.Name] {
						add(q)
					}
				}
			}
		}
	}
	for _, p := range packages {
		scripts := len(p.member("preinst"))+len(p.member("postinst")) > 0
		if scripts || len(parseTriggers(p)) > 0 || p.unpacked.Control.Get("Essential") == "yes" {
			add(p)
		}
	}
	return first
}

// configureStages runs both stages. first is the number of packages in the first.
func configureStages(ctx context.Context, in Input, first int, packages []*pkg, m *merger) (*tree.Tree, error) {
	s, err := configureFirst(ctx, in, first, func() {
		if in.Foresee != nil {
			before := m.tree.Clone()
			in.Foresee(func() (*tree.Tree, error) { return before, prune(before, in.Definition, packages) })
		}
	})
	if err != nil {
		return nil, err
	}
	c, err := newConfigurer(in, packages, m)
	if err != nil {
		return nil, err
	}
	for _, p := range packages[:first] {
		c.db.state[p] = stateInstalled
	}
	if err := c.resume(s); err != nil {
		return nil, err
	}
	lower, err := c.unpackOver(s.tree, in.Arch, packages[first:], m)
	if err != nil {
		return nil, err
	}
	c.settled = first
	return c.inSandbox(ctx, in, lower, func(ctx context.Context) error { return c.complete(ctx, packages[first:]) })
}

// configureFirst gives what comes of the first stage, from the store if it is
// there. begins is called if it is not.
func configureFirst(ctx context.Context, in Input, first int, begins func()) (s snapshot, err error) {
	total := len(in.Packages)
	in.Packages, in.Digests = in.Packages[:first], in.Digests[:first]
	key := stageKey(in)
	if !in.NoCache {
		if s, ok, err := loadSnapshot(in, key); ok || err != nil {
			return s, err
		}
	}
	begins()
	packages := newPackages(in.Packages)
	m, err := merge(in, packages)
	if err != nil {
		return s, err
	}
	c, err := newConfigurer(in, packages, m)
	if err != nil {
		return s, err
	}
	c.total = total
	s.tree, err = c.inSandbox(ctx, in, m.tree, func(ctx context.Context) error { return c.install(ctx, packages) })
	if err != nil {
		return s, err
	}
	s.triggers = c.triggers.names()
	r, err := treeRecord(s.tree, in.Store)
	if err != nil {
		return s, err
	}
	r.Triggers = s.triggers
	data, err := json.Marshal(r)
	if err != nil {
		return s, err
	}
	return s, in.Store.SetRecord(recordKind, key, data)
}

func loadSnapshot(in Input, key string) (s snapshot, ok bool, err error) {
	data, ok, err := in.Store.Record(recordKind, key)
	if err != nil || !ok {
		return s, false, err
	}
	r, t, err := decodeRecord(data, in.Store)
	if err != nil || t == nil {
		return s, false, err
	}
	return snapshot{t, r.Triggers}, true, nil
}

// stageKey names all that reaches the scripts of the first stage.
func stageKey(in Input) string {
	h := sha256.New()
	fmt.Fprintf(h, "first stage of %s\n", configureKey(in))
	return digest.Digest(h.Sum(nil)).String()
}

// resume takes over what the first stage left.
func (c *configurer) resume(s snapshot) error {
	diversions := s.tree.Get(adminDir + "/diversions")
	if diversions != nil && diversions.Size > 0 {
		const limit = 16 << 20
		data, err := diversions.ReadAll(limit)
		if err != nil {
			return err
		}
		c.diverted = parseDiversions(data)
	}
	byName := map[string]*pkg{}
	for _, p := range c.order {
		byName[p.dbName()] = p
	}
	for name, triggers := range s.triggers.Pending {
		c.triggers.pending[byName[name]] = setOf(triggers, func(name string) string { return name })
	}
	for name, owners := range s.triggers.Awaits {
		c.triggers.awaits[byName[name]] = setOf(owners, func(name string) *pkg { return byName[name] })
	}
	return nil
}

func setOf[T comparable](names []string, of func(string) T) map[T]bool {
	set := map[T]bool{}
	for _, name := range names {
		set[of(name)] = true
	}
	return set
}

// names is the state in the form that is kept.
func (s triggerState) names() triggerNames {
	n := triggerNames{Pending: map[string][]string{}, Awaits: map[string][]string{}}
	for p, triggers := range s.pending {
		n.Pending[p.dbName()] = slices.Sorted(maps.Keys(triggers))
	}
	for p, owners := range s.awaits {
		var list []string
		for owner := range owners {
			list = append(list, owner.dbName())
		}
		slices.Sort(list)
		n.Awaits[p.dbName()] = list
	}
	return n
}

// unpackOver gives the configured tree with the packages' files unpacked over
// it and dpkg's database of all. What scripts have made gets a time later than
// that of any package's file, as on a machine.
func (c *configurer) unpackOver(configured *tree.Tree, arch string, packages []*pkg, m *merger) (*tree.Tree, error) {
	t := configured.Clone()
	if err := c.layFiles(t, packages, m); err != nil {
		return nil, err
	}
	if err := c.layDatabase(t, arch, packages); err != nil {
		return nil, err
	}
	return t, t.Walk(func(e *tree.Entry) error {
		if e.MTime <= 0 {
			e.MTime = c.epoch + 1
		}
		return nil
	})
}

// layFiles puts in the files of packages, as the merged tree has them. A
// directory stays as it was, any other file gives way.
func (c *configurer) layFiles(t *tree.Tree, packages []*pkg, m *merger) error {
	mine := map[*pkg]bool{}
	for _, p := range packages {
		mine[p] = true
	}
	placed := map[string]string{} // path in the merged tree → path in t
	var links []tree.Entry
	for _, name := range m.tree.Paths() {
		by, e := m.claims[name], m.tree.Get(name)
		if !mine[by.owner] {
			continue
		}
		to := name
		if aside := c.where(by.owner, by.raw); aside != by.raw {
			to = aside
		}
		to, err := t.Resolve(to)
		if err != nil {
			return fmt.Errorf("unpack %s: %w", by.owner.name, err)
		}
		placed[name] = to
		entry := *e
		entry.Path = to
		if e.Kind == tree.HardLink {
			links = append(links, entry)
			continue
		}
		if err := layEntry(t, entry); err != nil {
			return fmt.Errorf("unpack %s: %w", by.owner.name, err)
		}
	}
	for _, link := range links {
		link.Target = placed[link.Target]
		if err := layEntry(t, link); err != nil {
			return err
		}
	}
	return nil
}

func layEntry(t *tree.Tree, e tree.Entry) error {
	if old := t.Get(e.Path); old != nil {
		if e.IsDir() && (old.IsDir() || old.Kind == tree.Symlink) {
			return nil
		}
		t.Remove(e.Path)
	}
	return errors.Join(t.AddParents(e.Path, 0o755, e.MTime), t.Put(e))
}

// layDatabase brings dpkg's database up to the packages: their files in it, the
// status file, and the lists of those that lost a path to one of them.
func (c *configurer) layDatabase(t *tree.Tree, arch string, packages []*pkg) error {
	whole := &tree.Tree{}
	if err := c.db.install(whole, arch, 0); err != nil {
		return err
	}
	put := func(name string) error {
		if e := whole.Get(adminDir + "/" + name); e != nil {
			return t.Put(*e)
		}
		return nil
	}
	err := put("status")
	for _, p := range c.order {
		err = errors.Join(err, put("info/"+p.dbName()+".list"))
	}
	for _, p := range packages {
		stem := adminDir + "/info/" + p.dbName() + "."
		for _, name := range whole.Paths() {
			if strings.HasPrefix(name, stem) {
				err = errors.Join(err, put(strings.TrimPrefix(name, adminDir+"/")))
			}
		}
	}
	return err
}

// putInStore is how the sandbox's results get into the store.
func putInStore(in Input) func(io.Reader) (digest.Digest, int64, tree.Content, error) {
	return func(r io.Reader) (digest.Digest, int64, tree.Content, error) {
		d, n, err := in.Store.Put(r)
		return d, n, in.Store.Blob(d), err
	}
}

// forgetTimes takes the times from what was made while scripts ran: those later
// than any package's file. Zero is the image's epoch in the end, whenever and
// how often the scripts ran.
func forgetTimes(t *tree.Tree, newest int64) error {
	return t.Walk(func(e *tree.Entry) error {
		if e.MTime > newest {
			e.MTime = 0
		}
		return nil
	})
}
