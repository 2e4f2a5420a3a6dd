// Package rootfs makes the root of an image: packages unpacked and configured,
// then what the definition adds, and what it leaves out.
//
// Packages are unpacked as data first (merger), maintainer scripts run over
// them in a sandbox (configurer), those of packages that have some before the
// others come (stages), and everything after that is done to the
// tree as a value: accounts, overlay, services, pruning, clearing of what is
// secret or differs from run to run.
package rootfs

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"time"

	"ashlar/internal/builder/definition"
	"ashlar/internal/builder/distro/deb"
	"ashlar/internal/builder/sandbox"
	"ashlar/internal/builder/store"
	"ashlar/internal/contract/imageinfo"
	"ashlar/internal/contract/machine"
	"ashlar/internal/foundation/digest"
	"ashlar/internal/foundation/progress"
	"ashlar/internal/foundation/tree"
)

// Input is all that a root depends on.
type Input struct {
	Definition *definition.Definition
	Dir        string              // of the definition
	Arch       string              // Debian's name
	Packages   []*deb.Unpacked     // in the order of configuration
	Digests    []digest.Digest     // of the packages, likewise
	Getenv     func(string) string // for variables in the file list
	Device     tree.Entry          // ashlar-init for the architecture
	Epoch      int64               // seconds; no time in the root is later
	Store      *store.Store
	Log        io.Writer // what scripts print; nil: nowhere
	Progress   progress.Sink
	NoCache    bool          // run the scripts though the store has their result
	Program    digest.Digest // of what makes roots, which is part of the key of a configured root

	// Foresee, when given, is called before the scripts of most packages run. guess gives the tree as
	// it would be if they changed nothing; it may be called while they run.
	Foresee func(guess func() (*tree.Tree, error))
}

// Root is a finished root.
type Root struct {
	Tree       *tree.Tree
	Configured bool // scripts ran; false: their result was in the store
	Machine    machine.Machine
	Packages   []imageinfo.Package // sorted by name
}

// Assemble makes the root.
func Assemble(ctx context.Context, in Input) (*Root, error) {
	in, first := inStages(in)
	packages := newPackages(in.Packages)
	configured, ran, err := configure(ctx, in, first, packages)
	if err != nil {
		return nil, err
	}
	root, err := finish(in, configured, packages)
	if err != nil {
		return nil, err
	}
	root.Configured = ran
	return root, nil
}

// configure gives the tree after the maintainer scripts, from the store if it
// is there, and whether they ran. first is the number of packages in the first
// stage.
func configure(ctx context.Context, in Input, first int, packages []*pkg) (_ *tree.Tree, ran bool, err error) {
	if in.Log == nil {
		in.Log = io.Discard
	}
	if in.Progress == nil {
		in.Progress = progress.Discard{}
	}
	merged, err := merge(in, packages)
	if err != nil {
		return nil, false, err
	}
	key := configureKey(in)
	if !in.NoCache {
		if data, ok, err := in.Store.Record(recordKind, key); err != nil {
			return nil, false, err
		} else if ok {
			if t, err := decodeTree(data, in.Store); err != nil || t != nil {
				return t, false, err
			}
		}
	}
	configured, err := configureStages(ctx, in, first, packages, merged)
	if err != nil {
		return nil, false, err
	}
	data, err := encodeTree(configured, in.Store)
	if err != nil {
		return nil, false, err
	}
	return configured, true, in.Store.SetRecord(recordKind, key, data)
}

// configureKey names all that reaches the scripts.
func configureKey(in Input) string {
	h := sha256.New()
	fmt.Fprintf(h, "configured %s %s %s\n", in.Program, in.Arch, in.Definition.Locale)
	for _, d := range in.Digests {
		fmt.Fprintln(h, d)
	}
	return digest.Digest(h.Sum(nil)).String()
}

func merge(in Input, packages []*pkg) (*merger, error) {
	m, err := newMerger(0)
	if err != nil {
		return nil, err
	}
	for _, p := range packages {
		if err := m.add(p); err != nil {
			return nil, err
		}
	}
	return m, m.finish(0)
}

// newConfigurer puts dpkg's database, and what else the scripts are to find,
// into the merged tree.
func newConfigurer(in Input, packages []*pkg, m *merger) (*configurer, error) {
	sorted := append([]*pkg(nil), packages...)
	sort.SliceStable(sorted, func(i, j int) bool { return sorted[i].name < sorted[j].name })
	conffiles := map[*pkg]string{}
	var interests interestList
	for _, p := range packages {
		var err error
		if conffiles[p], err = conffileList(p, m.tree); err != nil {
			return nil, err
		}
		interests = append(interests, parseTriggers(p)...)
	}
	c := &configurer{
		db: newDatabase(sorted, conffiles), known: byName(packages), order: packages, merged: m.tree, claims: m.claims, interests: interests,
		epoch: scriptEpoch(packages), log: in.Log, progress: in.Progress, total: len(packages), triggers: newTriggerState(),
	}
	return c, errors.Join(c.db.install(m.tree, in.Arch, 0), putScaffold(m.tree, in.Definition.Locale))
}

// inSandbox does the work over the tree and gives what comes of it. What was
// made meanwhile has no time.
func (c *configurer) inSandbox(ctx context.Context, in Input, lower *tree.Tree, work func(context.Context) error) (_ *tree.Tree, err error) {
	dir, remove, err := in.Store.TempDir("sandbox-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, remove()) }()
	leave, err := putStandIns(lower)
	if err != nil {
		return nil, err
	}
	c.box, err = sandbox.New(ctx, sandbox.Options{Dir: dir, Lower: lower, Pool: filepath.Join(in.Store.Dir(), "pool")})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, c.box.Close()) }()
	if err := work(ctx); err != nil {
		return nil, err
	}
	result, err := c.box.Result(putInStore(in))
	if err != nil {
		return nil, err
	}
	leave(result)
	restoreTimes(result, c.placed)
	return result, forgetTimes(result, c.epoch)
}

// restoreTimes gives files that were put in while scripts ran the package's
// time.
func restoreTimes(t *tree.Tree, placed []tree.Entry) {
	for _, p := range placed {
		e := t.Get(p.Path)
		if e != nil && e.Kind == p.Kind && e.Digest == p.Digest && e.Target == p.Target {
			e.MTime = p.MTime
		}
	}
}

// putScaffold adds what stands in the root only while scripts run, or must be
// there before they do.
func putScaffold(t *tree.Tree, locale string) error {
	err := putFile(t, policyRCPath, 0o755, policyRC)
	if !builtinLocale(locale) {
		_, charset, _ := strings.Cut(locale, ".")
		err = errors.Join(err, putFile(t, "etc/locale.gen", 0o644, locale+" "+charset+"\n"))
	}
	return err
}

// finish applies the definition to a configured tree.
func finish(in Input, t *tree.Tree, packages []*pkg) (*Root, error) {
	def := in.Definition
	a, err := readAccounts(t)
	if err != nil {
		return nil, err
	}
	if err := a.declare(def); err != nil {
		return nil, err
	}
	rules, err := compileRules(def.Files.Rules, a)
	if err != nil {
		return nil, err
	}
	m, err := def.Machine(a.ids)
	if err != nil {
		return nil, err
	}
	steps := []func() error{
		func() error { return clean(t) },
		func() error { return a.write(t, in.Epoch) },
		func() error { return applySettings(t, def) },
		func() error { return applyHomes(t, def, a) },
		func() error { return applyKeys(t, def) },
		func() error { return copyOverlay(t, overlayDir(in.Dir, def.Files), rules, storeAdder(in.Store)) },
		func() error { return applyFileList(t, in, storeAdder(in.Store)) },
		func() error { return prune(t, def, packages) },
		func() error { return applyState(t, m.State) },
		func() error { return applyInit(t, def, m, in.Device, a) },
		func() error { return normalise(t, in.Epoch) },
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return nil, fmt.Errorf("assemble root: %w", err)
		}
	}
	return &Root{Tree: t, Machine: m, Packages: manifest(t, packages, in.Digests)}, nil
}

// applyInit puts in what the declared PID 1 needs.
func applyInit(t *tree.Tree, def *definition.Definition, m machine.Machine, device tree.Entry, a *accounts) error {
	if err := errors.Join(putMachine(t, m), putDevice(t, device)); err != nil {
		return err
	}
	switch def.Init {
	case "ashlar":
		return checkServices(t, m.Services, a)
	case "systemd":
		return applySystemd(t, def, a)
	}
	if t.Lookup(strings.TrimPrefix(def.Init, "/")) == nil {
		return fmt.Errorf("init = %q: the image has no such program", def.Init)
	}
	return nil
}

func storeAdder(st *store.Store) adder {
	return func(path string) (digest.Digest, int64, tree.Content, error) {
		f, err := os.Open(filepath.Clean(path))
		if err != nil {
			return digest.Digest{}, 0, nil, err
		}
		d, n, err := st.Put(f)
		return d, n, st.Blob(d), errors.Join(err, f.Close())
	}
}

// manifest lists the packages with the bytes that stayed of each.
func manifest(t *tree.Tree, packages []*pkg, digests []digest.Digest) []imageinfo.Package {
	var list []imageinfo.Package
	for n, p := range packages {
		source, _, _ := strings.Cut(p.unpacked.Control.Get("Source"), " ")
		row := imageinfo.Package{Name: p.name, Version: p.version, Arch: p.arch, Source: source, Digest: digests[n]}
		for _, name := range p.paths {
			resolved, err := t.Resolve(strings.TrimPrefix(name, "/"))
			if err != nil {
				continue
			}
			if e := t.Get(resolved); e != nil && e.Kind == tree.File {
				row.Bytes += e.Size
			}
		}
		list = append(list, row)
	}
	slices.SortFunc(list, func(a, b imageinfo.Package) int { return strings.Compare(a.Name+":"+a.Arch, b.Name+":"+b.Arch) })
	return list
}

// CheckClock refuses to build with a clock behind the epoch: times of files
// made now could then not be told from those of packages.
func CheckClock(now time.Time, epoch int64) error {
	if now.Unix() < epoch {
		return fmt.Errorf("check clock: it says %s, the locked archive is from %s: set the clock", now.UTC().Format(time.RFC3339), time.Unix(epoch, 0).UTC().Format(time.RFC3339))
	}
	return nil
}
