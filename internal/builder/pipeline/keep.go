package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"ashlar/internal/builder/lock"
	"ashlar/internal/builder/store"
	"ashlar/internal/foundation/atomicfile"
	"ashlar/internal/foundation/digest"
)

// Fetch brings everything that a definition's lock names into the store.
func (e *Env) Fetch(ctx context.Context, dir string) error {
	p, err := e.load(dir)
	if err != nil {
		return err
	}
	return e.fetchPackages(ctx, p.lock, allPackages(p.lock)...)
}

// Epoch gives the bound of all times in a definition's images.
func (e *Env) Epoch(ctx context.Context, dir string) (int64, error) {
	p, err := e.load(dir)
	if err != nil {
		return 0, err
	}
	return e.epoch(ctx, p)
}

func allPackages(l *lock.Lock) [][]lock.Package {
	var lists [][]lock.Package
	for _, arch := range sortedKeys(l.Arches) {
		a := l.Arches[arch]
		lists = append(lists, a.Packages, a.Kernel, a.Boot, a.Tools)
	}
	return lists
}

// VendorVariable names a directory made by Vendor that stands before all mirrors.
const VendorVariable = "ASHLAR_VENDOR"

// Vendor exports every locked input to a directory laid out as mirrors are:
// ARCHIVE/pool/…. It gives the number of files and their bytes.
func (e *Env) Vendor(ctx context.Context, dir, to string) (files int, bytes int64, err error) {
	p, err := e.load(dir)
	if err != nil {
		return 0, 0, err
	}
	lists := allPackages(p.lock)
	if err := e.fetchPackages(ctx, p.lock, lists...); err != nil {
		return 0, 0, err
	}
	for _, list := range lists {
		for _, pkg := range list {
			name := filepath.Join(to, pkg.Archive, filepath.FromSlash(pkg.Path))
			if err := e.export(pkg.Digest, name); err != nil {
				return files, bytes, fmt.Errorf("vendor %s: %w", pkg.Name, err)
			}
			files++
			bytes += pkg.Size
		}
	}
	return files, bytes, nil
}

func (e *Env) export(d digest.Digest, name string) error {
	if have, _, err := fileDigest(name); err == nil && have == d {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	r, err := e.Store.Blob(d).Open()
	if err != nil {
		return err
	}
	return errors.Join(atomicfile.WriteReader(name, atomicfile.Options{}, r), r.Close())
}

// vendorMirror is the URL of an archive in the vendor directory, if there is one.
func (e *Env) vendorMirror(archive string) (string, bool) {
	dir := e.Getenv(VendorVariable)
	if dir == "" {
		return "", false
	}
	abs, err := filepath.Abs(filepath.Join(dir, archive))
	if err != nil {
		return "", false
	}
	return (&url.URL{Scheme: "file", Path: abs}).String(), true
}

// CollectGarbage removes from the store what no definition of keep needs and
// nothing has used for the age, and then what was used least recently until the
// store has no more than size bytes. A size of 0 is any; with a size, an age of
// 0 is any.
func (e *Env) CollectGarbage(keep []string, age time.Duration, size int64) (store.Usage, error) {
	needed := map[digest.Digest]bool{}
	for _, dir := range keep {
		p, err := e.load(dir)
		if err != nil {
			return store.Usage{}, err
		}
		for _, arch := range p.lock.Arches {
			needed[toolsKey(arch.Tools)] = true
		}
		for _, list := range allPackages(p.lock) {
			for _, pkg := range list {
				needed[pkg.Digest] = true
			}
		}
	}
	return e.Store.GC(store.GCOptions{
		Meaning: meaning(),
		Keep:    func(d digest.Digest) bool { return needed[d] },
		MaxAge:  age,
		MaxSize: size,
		Now:     e.Now(),
	})
}

// CopyIfAbsent makes to a copy of an image unless it exists.
func CopyIfAbsent(image, to string) error {
	if _, err := os.Lstat(to); err == nil {
		return nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	_, err := publishSparse(image, to)
	return err
}

// Plan is what Build would do.
type Plan struct {
	Steps []PlanStep `json:"steps"`
}

// PlanStep is one of its verbs.
type PlanStep struct {
	Verb string `json:"verb"`
	What string `json:"what"`
}

// Plan says what Build would do, from the lock and the store alone.
func (e *Env) Plan(ctx context.Context, dir string, opt BuildOptions) (*Plan, error) {
	p, err := e.load(dir)
	if err != nil {
		return nil, err
	}
	if err := p.check(opt); err != nil {
		return nil, err
	}
	if opt.Arch == "" {
		opt.Arch = p.def.Arch[0]
	}
	a, err := p.arch(opt.Arch)
	if err != nil {
		return nil, err
	}
	targets, leftOut, err := p.targets(opt, opt.Arch)
	if err != nil {
		return nil, err
	}
	loaders := loadersOf(a, targets)
	missing, bytes := 0, int64(0)
	for _, list := range [][]lock.Package{a.Packages, a.Kernel, loaders} {
		for _, pkg := range list {
			if !e.Store.Has(pkg.Digest) {
				missing++
				bytes += pkg.Size
			}
		}
	}
	epoch, err := e.epoch(ctx, p)
	if err != nil {
		return nil, err
	}
	out := opt.Out
	if out == "" {
		out = filepath.Join(dir, "out")
	}
	plan := &Plan{}
	step := func(verb, format string, args ...any) {
		plan.Steps = append(plan.Steps, PlanStep{verb, fmt.Sprintf(format, args...)})
	}
	step("fetch", "%d packages, %d bytes that the store lacks", missing, bytes)
	step("unpack", "%d packages", len(a.Packages)+len(a.Kernel)+len(loaders))
	step("assemble", "root of %d packages, init %s, no time after %s", len(a.Packages), p.def.Init, time.Unix(epoch, 0).UTC().Format(time.RFC3339))
	step("compress", "root image, %s", described(p.def.Image))
	if len(a.Kernel) > 0 {
		step("initramfs", "for %s", a.Kernel[0].Name)
	}
	for _, t := range targets {
		step("target", "%s: %s", t.Name, strings.ReplaceAll(t.Doc, "`", ""))
	}
	for _, l := range leftOut {
		step("leave out", "%s: %s", l.Target, l.Reason)
	}
	step("publish", "to %s", out)
	return plan, nil
}
