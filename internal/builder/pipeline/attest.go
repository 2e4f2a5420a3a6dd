package pipeline

import (
	"bytes"
	"context"
	"debug/buildinfo"
	"encoding/json"
	"fmt"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"ashlar/internal/builder/attest"
	"ashlar/internal/builder/devicebin"
	"ashlar/internal/builder/distro/deb"
	"ashlar/internal/builder/lock"
	"ashlar/internal/contract/imageinfo"
	"ashlar/internal/foundation/atomicfile"
	"ashlar/internal/foundation/digest"
	"ashlar/internal/foundation/tree"
)

// papers writes what is said of finished files.
type papers func(files []imageinfo.File) ([]attest.Paper, error)

// addPapers writes the papers beside the files and gives the rows of both.
func (g *generation) addPapers(dir string, files []imageinfo.File) ([]imageinfo.File, error) {
	if g.papers == nil {
		return files, nil
	}
	all, err := g.papers(slices.Clone(files))
	if err != nil {
		return nil, err
	}
	for _, p := range all {
		if err := atomicfile.WriteBytes(filepath.Join(dir, p.Name), atomicfile.Options{}, p.Data); err != nil {
			return nil, err
		}
		files = append(files, imageinfo.File{Name: p.Name, Size: int64(len(p.Data)), Digest: digest.Of(p.Data)})
	}
	return files, nil
}

// papers speaks of a generation when its files are there.
func (b *build) papers(ctx context.Context, gen *generation) papers {
	return func(files []imageinfo.File) ([]attest.Paper, error) {
		in := attest.Input{
			Manifest: gen.manifest, Files: files, Distro: b.p.def.Base.Distro, Suite: b.p.def.Base.Suite, Releases: b.p.lock.Releases,
			Lock: attest.Locked{Definition: b.in[definitionFile], Lock: b.p.sum}, Targets: targetNames(b.targets), InputKeys: b.in,
			Builder: attest.Program{Name: "ashlar", Version: b.env.Version, Digest: b.in["program"], Go: strings.TrimPrefix(runtime.Version(), "go")},
		}
		var err error
		if in.Device, err = deviceProgram(b.arch, b.env.Version); err != nil {
			return nil, err
		}
		if in.Packages, err = b.attested(ctx); err != nil {
			return nil, err
		}
		slices.SortFunc(in.Files, func(x, y imageinfo.File) int { return strings.Compare(x.Name, y.Name) })
		return attest.Papers(in)
	}
}

// deviceProgram reads from ashlar-init what it is made of.
func deviceProgram(arch, version string) (p attest.Program, err error) {
	e, err := devicebin.Entry(arch)
	if err != nil {
		return p, err
	}
	const limit = 256 << 20
	data, err := e.ReadAll(limit)
	if err != nil {
		return p, err
	}
	info, err := buildinfo.Read(bytes.NewReader(data))
	if err != nil {
		return p, fmt.Errorf("read what ashlar-init is made of: %w", err)
	}
	p = attest.Program{Name: "ashlar-init", Version: version, Digest: e.Digest, Go: strings.TrimPrefix(info.GoVersion, "go")}
	for _, m := range info.Deps {
		p.Modules = append(p.Modules, attest.Module{Path: m.Path, Version: m.Version})
	}
	slices.SortFunc(p.Modules, func(x, y attest.Module) int { return strings.Compare(x.Path, y.Path) })
	return p, nil
}

// attested gives all packages of the images with what they say of themselves.
func (b *build) attested(ctx context.Context) ([]attest.Package, error) {
	var all []attest.Package
	for _, part := range []struct {
		name     string
		packages []lock.Package
	}{{attest.PartRoot, b.lock.Packages}, {attest.PartKernel, b.lock.Kernel}, {attest.PartBoot, loadersOf(b.lock, b.targets)}} {
		for _, p := range part.packages {
			row := attest.Package{Package: p, Part: part.name, Own: p.Archive == b.p.def.Base.Distro || strings.HasPrefix(p.Archive, b.p.def.Base.Distro+"-")}
			if urls := b.p.lock.DownloadsOf(nil, []lock.Package{p})[0].URLs; len(urls) > 0 {
				row.URL = urls[0]
			}
			all = append(all, row)
		}
	}
	var work errgroup.Group
	work.SetLimit(b.env.workers())
	for n := range all {
		work.Go(func() (err error) {
			all[n].Facts, err = b.facts(ctx, all[n].Package)
			return err
		})
	}
	if err := work.Wait(); err != nil {
		return nil, err
	}
	shareLicenses(all)
	return all, nil
}

// shareLicenses gives packages whose copyright file is another's the licences
// of that one.
func shareLicenses(all []attest.Package) {
	byName := map[string]*attest.Package{}
	for n := range all {
		byName[all[n].Name] = &all[n]
	}
	for n := range all {
		if other := byName[all[n].Like]; other != nil && other.Like == "" {
			all[n].License, all[n].Texts = other.License, other.Texts
		}
	}
}

func (e *Env) workers() int {
	if e.Workers > 0 {
		return e.Workers
	}
	return runtime.GOMAXPROCS(0)
}

// factsKind names the store's records of what packages say of themselves.
const factsKind = "package-facts"

// facts reads them from the package, or has them from the store.
func (b *build) facts(ctx context.Context, p lock.Package) (f attest.Facts, err error) {
	key := digestOf([]digest.Digest{b.in["program"], p.Digest}).String()
	if !b.env.NoCache {
		if data, ok, err := b.env.Store.Record(factsKind, key); err == nil && ok && json.Unmarshal(data, &f) == nil {
			return f, nil
		}
	}
	u, err := deb.Unpack(ctx, b.env.Store, p.Name, p.Digest)
	if err != nil {
		return f, err
	}
	copyright, like, err := copyrightOf(p.Name, u)
	if err != nil {
		return f, fmt.Errorf("read copyright of %s: %w", p.Name, err)
	}
	f = attest.FactsOf(&u.Control, copyright)
	f.Like = like
	data, err := json.Marshal(f)
	if err != nil {
		return f, err
	}
	return f, b.env.Store.SetRecord(factsKind, key, data)
}

// copyrightOf gives a package's copyright file, or the package that has it.
func copyrightOf(name string, u *deb.Unpacked) (data []byte, like string, err error) {
	const limit = 4 << 20
	dir := "usr/share/doc/" + name
	for n := range u.Entries {
		e := &u.Entries[n]
		switch {
		case e.Path == dir && e.Kind == tree.Symlink:
			like = path.Base(e.Target)
		case e.Path == dir+"/copyright" && e.Kind == tree.Symlink:
			like = path.Base(path.Dir(e.Target))
		case e.Path == dir+"/copyright" && e.Kind == tree.File && e.Size <= limit:
			data, err = e.ReadAll(limit)
		}
	}
	return data, like, err
}
