package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"strings"

	"ashlar/internal/builder/distro/deb"
	"ashlar/internal/builder/lock"
	"ashlar/internal/builder/sizes"
	"ashlar/internal/contract/layout"
	"ashlar/internal/foundation/tree"
)

// ownership says which package has brought a file of an image.
type ownership struct {
	how   string                       // sizes.Report.Owners
	parts map[string]map[string]string // by part's name: package by path
	root  *tree.Tree                   // nil: there is none
	name  string                       // of the root's part
}

func newOwnership(how, name string, root *tree.Tree) *ownership {
	o := &ownership{how, map[string]map[string]string{}, root, name}
	for _, part := range []string{name, layout.GenModules, layout.GenInitrd, layout.GenKernel} {
		o.parts[part] = map[string]string{}
	}
	return o
}

// of names the owner of a path of a part.
func (o *ownership) of(part, name string) string {
	if o.how == "" {
		return sizes.OwnerUnknown
	}
	switch owner := o.parts[part][plainModule(name)]; {
	case owner != "":
		return owner
	case part == layout.GenInitrd && (name == layout.InitramfsInit || strings.HasPrefix(name, "ashlar/")), strings.HasPrefix(name, path.Dir(layout.InitBinary)+"/"):
		return sizes.OwnerAshlar
	}
	return sizes.OwnerMade
}

// plainModule is a module's path without the ending of its compression: images
// have modules compressed otherwise than packages.
func plainModule(name string) string {
	if stem := strings.TrimSuffix(name, path.Ext(name)); strings.HasSuffix(stem, ".ko") {
		return stem
	}
	return name
}

// ownersOfLock looks into the packages of a lock, and at the overlay.
func (e *Env) ownersOfLock(ctx context.Context, p *project, a lock.Arch, root *tree.Tree) (*ownership, error) {
	o := newOwnership("lock", layout.GenRoot, root)
	for _, set := range []struct {
		packages []lock.Package
		claim    func(name string, f *deb.Entry)
	}{{a.Packages, o.claimRoot}, {a.Kernel, o.claimKernel}} {
		for _, pkg := range set.packages {
			u, err := deb.Unpack(ctx, e.Store, pkg.Name, pkg.Digest)
			if err != nil {
				return nil, err
			}
			for n := range u.Entries {
				if f := &u.Entries[n]; f.Kind != tree.Dir {
					set.claim(pkg.Name, f)
				}
			}
		}
	}
	return o, o.claimOverlay(filepath.Join(p.dir, filepath.FromSlash(p.def.Files.Dir)))
}

// claimRoot gives a package's file to it. Of two packages that have a file, one
// replaces the other's: it is the one whose size the file has.
func (o *ownership) claimRoot(name string, f *deb.Entry) {
	if o.root == nil {
		return
	}
	where, err := o.root.Resolve(f.Path)
	if err != nil {
		return // pruned, and a file stands in its way
	}
	owned := o.parts[o.name]
	if e := o.root.Get(where); owned[where] == "" || e == nil || e.Size == f.Size {
		owned[where] = name
	}
}

func (o *ownership) claimKernel(name string, f *deb.Entry) {
	if strings.HasPrefix(f.Path, "boot/vmlinuz-") {
		o.parts[layout.GenKernel]["."] = name
	}
	for _, dir := range []string{"usr/lib/modules/", "lib/modules/"} {
		if module, ok := strings.CutPrefix(f.Path, dir); ok {
			module = plainModule(module)
			o.parts[layout.GenModules][module] = name
			o.parts[layout.GenInitrd][layout.InitramfsModules+"/"+module] = name
		}
	}
}

// claimOverlay gives to the definition what it puts over the packages' files.
func (o *ownership) claimOverlay(dir string) error {
	err := filepath.WalkDir(dir, func(host string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || o.root == nil {
			return err
		}
		rel, err := filepath.Rel(dir, host)
		if err != nil {
			return err
		}
		if where, err := o.root.Resolve(filepath.ToSlash(rel)); err == nil {
			o.parts[o.name][where] = sizes.OwnerDefinition
		}
		return nil
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("look at overlay: %w", err)
	}
	return nil
}

// ownersOfDpkg reads the lists that dpkg keeps of what it installed, if the
// root image, a part of that name, has them. There may be no such part.
func ownersOfDpkg(part string, root *tree.Tree) (*ownership, error) {
	none := &ownership{}
	if root == nil {
		return none, nil
	}
	o := newOwnership("dpkg", part, root)
	found := false
	for _, name := range root.Paths() {
		base, ok := strings.CutSuffix(path.Base(name), ".list")
		if e := root.Get(name); !ok || path.Dir(name) != "var/lib/dpkg/info" || e.Kind != tree.File {
			continue
		}
		const limit = 16 << 20
		data, err := root.Get(name).ReadAll(limit)
		if err != nil {
			return nil, err
		}
		found = true
		base, _, _ = strings.Cut(base, ":") // NAME:ARCH.list
		for line := range strings.Lines(string(data)) {
			if where, err := root.Resolve(strings.Trim(line, "/\n")); err == nil {
				o.parts[o.name][where] = base
			}
		}
	}
	if !found {
		return none, nil
	}
	return o, nil
}
