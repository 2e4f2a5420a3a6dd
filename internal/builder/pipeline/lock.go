package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"time"

	"ashlar/internal/builder/definition"
	"ashlar/internal/builder/distro/deb"
	"ashlar/internal/builder/distro/deb/pkginfo"
	"ashlar/internal/builder/distro/deb/resolve"
	"ashlar/internal/builder/initramfs"
	"ashlar/internal/builder/lock"
	"ashlar/internal/builder/store"
	"ashlar/internal/foundation/atomicfile"
)

// LockOptions says how far a lock may move.
type LockOptions struct {
	Update bool     // take the newest versions of everything
	Only   []string // take the newest versions of these packages, keep the others
	Tools  ToolSet  // what runs images on the builder
}

// ToolSet names packages of programs that run on the builder.
type ToolSet struct {
	Packages []string // with all they depend on
	Without  []string // dependencies that are not followed
}

// LockResult is what Lock did.
type LockResult struct {
	Lock    *lock.Lock
	Diff    lock.Diff // from the lock before
	Changed bool
}

// Lock chooses the inputs of a definition and writes them down. Packages that
// are locked already keep their versions as long as the archive still has
// them, unless the options say else.
func (e *Env) Lock(ctx context.Context, dir string, opt LockOptions) (*LockResult, error) {
	def, err := definition.Load(dir)
	if err != nil {
		return nil, err
	}
	path := filepath.Join(dir, LockName)
	old, err := readLock(path)
	if err != nil {
		return nil, err
	}
	made, err := e.chooseInputs(ctx, def, dir, keepers(old, opt), opt.Tools)
	if err != nil {
		return nil, err
	}
	result := &LockResult{Lock: made, Diff: lock.DiffLocks(old, made)}
	data := made.Marshal()
	before, _ := os.ReadFile(path)
	if result.Changed = string(before) != string(data); !result.Changed {
		return result, nil
	}
	return result, atomicfile.WriteBytes(path, atomicfile.Options{}, data)
}

// readLock gives the lock in a file, or an empty one.
func readLock(path string) (*lock.Lock, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return &lock.Lock{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBadLock, err)
	}
	l, err := lock.Parse(data)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w: %w; remove the file to lock anew", path, ErrBadLock, err)
	}
	return l, nil
}

// keepers gives by architecture the versions that a new lock keeps.
func keepers(old *lock.Lock, opt LockOptions) map[string]map[string]string {
	keep := map[string]map[string]string{}
	if opt.Update {
		return keep
	}
	for arch, a := range old.Arches {
		keep[arch] = map[string]string{}
		for _, list := range [][]lock.Package{a.Packages, a.Kernel, a.Boot, a.Tools} {
			for _, p := range list {
				if !slices.Contains(opt.Only, p.Name) {
					keep[arch][p.Name] = p.Version
				}
			}
		}
	}
	return keep
}

// chooseInputs reads the archives and resolves what the definition asks for.
func (e *Env) chooseInputs(ctx context.Context, def *definition.Definition, dir string, keep map[string]map[string]string, tools ToolSet) (*lock.Lock, error) {
	images, err := imageWriterOf(def.Image)
	if err != nil {
		return nil, err
	}
	made := &lock.Lock{
		Version: lock.Version, Name: def.Name, Definition: def.InputDigest(),
		Encoder: images.encoder, Arches: map[string]lock.Arch{},
	}
	for _, arch := range def.Arch {
		indexes, err := e.fetchIndexes(ctx, def, dir, arch)
		if err != nil {
			return nil, err
		}
		for _, x := range indexes {
			if err := e.noteRelease(made, x); err != nil {
				return nil, err
			}
		}
		chosen, err := e.resolveArch(def, arch, indexes, keep[arch], tools)
		if err != nil {
			return nil, fmt.Errorf("resolve packages for %s: %w", arch, err)
		}
		made.Arches[arch] = chosen
	}
	sort.Slice(made.Releases, func(i, j int) bool {
		a, b := made.Releases[i], made.Releases[j]
		return a.Archive+" "+a.Suite < b.Archive+" "+b.Suite
	})
	return made, nil
}

func (e *Env) fetchIndexes(ctx context.Context, def *definition.Definition, dir, arch string) ([]*deb.Index, error) {
	if e.Offline {
		return nil, fmt.Errorf("read archives: %w offline: locking needs the network: leave --offline out", store.ErrUnavailable)
	}
	archives, err := deb.Archives(def.Base, e.Getenv, func(name string) ([]byte, error) {
		return os.ReadFile(filepath.Join(dir, filepath.FromSlash(name)))
	})
	if err != nil {
		return nil, err
	}
	var indexes []*deb.Index
	for _, a := range archives {
		a.Arches = []string{arch}
		x, err := deb.FetchIndex(ctx, e.Client, e.Store, a, e.Now(), e.Progress)
		if err != nil {
			return nil, err
		}
		indexes = append(indexes, x)
	}
	return indexes, nil
}

// noteRelease adds an index to the lock's releases, once. Mirrors of the
// environment are this machine's and stay out of the lock.
func (e *Env) noteRelease(l *lock.Lock, x *deb.Index) error {
	r := x.Release
	own := e.extraMirrors(r.Archive)
	r.Mirrors = slices.DeleteFunc(slices.Clone(r.Mirrors), func(m string) bool { return slices.Contains(own, m) })
	if len(r.Mirrors) == 0 {
		r.Mirrors = x.Release.Mirrors
	}
	date, err := time.Parse(time.RFC3339, r.Date)
	if err != nil {
		return fmt.Errorf("read date of archive %s: %w", r.Archive, err)
	}
	l.Epoch = max(l.Epoch, date.Unix())
	if !slices.ContainsFunc(l.Releases, func(o lock.Release) bool { return o.Archive == r.Archive && o.Suite == r.Suite }) {
		l.Releases = append(l.Releases, r)
	}
	return nil
}

// resolveArch chooses the four sets of packages of one architecture.
func (e *Env) resolveArch(def *definition.Definition, arch string, indexes []*deb.Index, keep map[string]string, tools ToolSet) (lock.Arch, error) {
	var all []*pkginfo.Package
	for _, x := range indexes {
		all = append(all, x.Packages...)
	}
	var chosen lock.Arch
	u, err := resolve.NewUniverse(all, arch)
	if err != nil {
		return chosen, err
	}
	pins := pinsOf(def)
	for _, name := range sortedKeys(keep) {
		pins = append(pins, resolve.Pin{Package: name, Version: keep[name], Priority: keepPriority})
	}
	root, err := resolve.Resolve(u, resolve.Request{Packages: def.Packages, Pins: pins, Recommends: def.Recommends, Essential: def.Essential})
	if err != nil {
		return chosen, err
	}
	chosen.Packages = lockAll(root.Packages)
	if def.Kernel.Package != "" {
		kernel, err := resolveKernel(u, def.Kernel.Package, pins)
		if err != nil {
			return chosen, err
		}
		microcode, err := resolveMicrocode(u, def, arch, pins)
		if err != nil {
			return chosen, err
		}
		chosen.Kernel = sortByName(lockAll(append(kernel, microcode...)))
	}
	var names []string
	for _, set := range def.Loaders(arch) {
		names = append(names, loaderPackages(set, arch)...)
	}
	loaders, err := candidates(u, names, pins)
	if err != nil {
		return chosen, err
	}
	chosen.Boot = sortByName(lockAll(loaders))
	emulator, err := resolve.Resolve(u, resolve.Request{Packages: tools.Packages, Pins: pins})
	if err != nil {
		return chosen, fmt.Errorf("the emulator: %w", err)
	}
	needed, err := reachable(emulator.Packages, tools)
	if err != nil {
		return chosen, fmt.Errorf("the emulator: %w", err)
	}
	chosen.Tools = sortByName(lockAll(needed))
	return chosen, nil
}

// keepPriority lets a locked version win over newer ones, but not over a pin
// of the definition (1001 by default), and not force what cannot be had.
const keepPriority = 995

func pinsOf(def *definition.Definition) []resolve.Pin {
	var pins []resolve.Pin
	for _, p := range def.Pins {
		pins = append(pins, resolve.Pin{Package: p.Package, Version: p.Version, Archive: p.Archive, Priority: p.Priority})
	}
	return pins
}

// resolveKernel follows a kernel metapackage to the packages that hold the
// kernel and its modules; what else they depend on makes an initramfs on the
// machine, which ashlar does while building.
func resolveKernel(u *resolve.Universe, name string, pins []resolve.Pin) ([]*pkginfo.Package, error) {
	var found []*pkginfo.Package
	queue, seen := []string{name}, map[string]bool{}
	for len(queue) > 0 {
		next := queue[0]
		queue = queue[1:]
		if seen[next] {
			continue
		}
		seen[next] = true
		p, err := u.Candidate(next, pins)
		if err != nil {
			return nil, fmt.Errorf("kernel: %w", err)
		}
		found = append(found, p)
		for _, clause := range strings.Split(p.PreDepends+","+p.Depends, ",") {
			first, _, _ := strings.Cut(clause, "|")
			dep, _, _ := strings.Cut(strings.TrimSpace(first), " ")
			if strings.HasPrefix(dep, "linux-image-") || strings.HasPrefix(dep, "linux-modules-") || strings.HasPrefix(dep, "linux-binary-") {
				queue = append(queue, dep)
			}
		}
	}
	return found, nil
}

// resolveMicrocode gives the packages of early microcode, without what writes
// them on the machine.
func resolveMicrocode(u *resolve.Universe, def *definition.Definition, arch string, pins []resolve.Pin) ([]*pkginfo.Package, error) {
	if !def.Kernel.Microcode {
		return nil, nil
	}
	var found []*pkginfo.Package
	for _, name := range initramfs.MicrocodePackages(arch) {
		p, err := u.Candidate(name, pins)
		if err != nil {
			const component = "non-free-firmware"
			if def.Base.Distro == "debian" && !slices.Contains(def.Base.Components, component) {
				return nil, fmt.Errorf("kernel.microcode: %w; add %q to base.components", err, component)
			}
			return nil, fmt.Errorf("kernel.microcode: %w", err)
		}
		found = append(found, p)
	}
	return found, nil
}

func candidates(u *resolve.Universe, names []string, pins []resolve.Pin) ([]*pkginfo.Package, error) {
	var found []*pkginfo.Package
	for _, name := range names {
		p, err := u.Candidate(name, pins)
		if err != nil {
			return nil, fmt.Errorf("boot loader: %w", err)
		}
		found = append(found, p)
	}
	return found, nil
}

func lockAll(packages []*pkginfo.Package) []lock.Package {
	list := make([]lock.Package, 0, len(packages))
	for _, p := range packages {
		list = append(list, lock.Package{
			Name: p.Name, Version: p.Version, Arch: p.Arch, Archive: p.Origin.Archive,
			Path: p.Filename, Size: p.Size, Digest: p.Digest,
		})
	}
	return list
}

func sortByName(list []lock.Package) []lock.Package {
	sort.Slice(list, func(i, j int) bool { return list[i].Name < list[j].Name })
	return list
}
