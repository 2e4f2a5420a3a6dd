package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"ashlar/internal/builder/sizes"
	"ashlar/internal/contract/imageinfo"
	"ashlar/internal/contract/layout"
	"ashlar/internal/format/imagetree"
	"ashlar/internal/foundation/atomicfile"
	"ashlar/internal/foundation/tree"
)

// ErrNotBuilt says that there is no image to look at, or one of another lock.
var ErrNotBuilt = errors.New("it is not built")

// Sizes says where the bytes of an image go. name is a definition's directory,
// whose image is in out ("": in DIR/out); the output of a build; or an image.
// Packages are known from the lock, else from lists that dpkg left in the image.
func (e *Env) Sizes(ctx context.Context, name, out string) (*sizes.Report, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, fmt.Errorf("find image: %w", err)
	}
	if !info.IsDir() {
		return sizesOfImage(name)
	}
	if _, err := os.Stat(filepath.Join(name, DefinitionName)); errors.Is(err, fs.ErrNotExist) {
		return sizesOfOutput(name)
	}
	p, err := e.load(name)
	if err != nil {
		return nil, err
	}
	if out == "" {
		out = filepath.Join(name, "out")
	}
	m, err := readManifest(out)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: there is no %s in %s: run `ashlar build %s`", ErrNotBuilt, ManifestFile, out, name)
	}
	if err != nil {
		return nil, err
	}
	if m.Lock != p.sum.String() {
		return nil, fmt.Errorf("%w: the image in %s was made from another lock: run `ashlar build %s`", ErrNotBuilt, out, name)
	}
	return e.sizesOfDefinition(ctx, p, m, out)
}

func (e *Env) sizesOfDefinition(ctx context.Context, p *project, m *imageinfo.Manifest, out string) (*sizes.Report, error) {
	a, err := p.arch(m.Arch)
	if err != nil {
		return nil, err
	}
	if err := e.fetchPackages(ctx, p.lock, a.Packages, a.Kernel); err != nil {
		return nil, err
	}
	images, closeAll, err := openParts(out, m.Files)
	if err != nil {
		return nil, err
	}
	defer closeAll()
	o, err := e.ownersOfLock(ctx, p, a, treeOf(images, layout.GenRoot))
	if err != nil {
		return nil, err
	}
	return report(m.Name+" "+m.Arch, images, o)
}

// sizesOfOutput looks at what a build wrote, without what it was built from.
func sizesOfOutput(dir string) (*sizes.Report, error) {
	m, err := readManifest(dir)
	if err != nil {
		return nil, fmt.Errorf("%w: %s has neither %s nor %s: %w", ErrNotBuilt, dir, DefinitionName, ManifestFile, err)
	}
	images, closeAll, err := openParts(dir, m.Files)
	if err != nil {
		return nil, err
	}
	defer closeAll()
	o, err := ownersOfDpkg(layout.GenRoot, treeOf(images, layout.GenRoot))
	if err != nil {
		return nil, err
	}
	return report(m.Name+" "+m.Arch, images, o)
}

// WritePage writes a report's page to a file, which is old or new and never a part.
func WritePage(r *sizes.Report, name string) error {
	return atomicfile.Write(name, atomicfile.Options{}, func(f *os.File) error { return r.Page(f) })
}

func readManifest(dir string) (*imageinfo.Manifest, error) {
	const limit = 64 << 20
	f, err := os.Open(filepath.Join(dir, ManifestFile))
	if err != nil {
		return nil, err
	}
	e := tree.Entry{Path: f.Name(), Kind: tree.File, Source: tree.HostFile(f.Name())}
	info, err := f.Stat()
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	e.Size = info.Size()
	data, err := e.ReadAll(limit)
	if err != nil {
		return nil, err
	}
	var m imageinfo.Manifest
	if err := json.Unmarshal(data, &m); err != nil {
		return nil, fmt.Errorf("read %s: %w", f.Name(), err)
	}
	return &m, nil
}

// sizedPart is a part that is open. Without a tree it is a file like others.
type sizedPart struct {
	name   string
	size   int64
	hash   int64 // of size: the hash tree behind the file system
	format string
	tree   *tree.Tree
}

// openParts opens the files of a generation.
func openParts(dir string, files []imageinfo.File) (parts []sizedPart, closeAll func(), err error) {
	var images []*Image
	closeAll = func() {
		for _, i := range images {
			_ = i.Close() // opened for reading
		}
	}
	for _, f := range files {
		i, err := OpenImage(filepath.Join(dir, filepath.Base(f.Name)))
		if err != nil {
			closeAll()
			return nil, nil, err
		}
		images = append(images, i)
		part := sizedPart{name: f.Name, size: i.Size}
		if inside := partsOf(i); len(inside) == 1 {
			part.format, part.tree, part.hash = inside[0].format, inside[0].tree, inside[0].hash
		}
		parts = append(parts, part)
	}
	return parts, closeAll, nil
}

// sizesOfImage looks at one image. On a disk the images of a generation are
// parts of their own.
func sizesOfImage(name string) (_ *sizes.Report, err error) {
	image, err := OpenImage(name)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, image.Close()) }()
	parts := partsOf(image)
	if len(parts) == 0 {
		return nil, fmt.Errorf("read image %s: it holds no files that this program can look at", name)
	}
	base := filepath.Base(name)
	if len(parts) == 1 {
		parts[0].name = base
		if parts[0].compressed() {
			parts[0].size = image.Size
		}
	}
	root := layout.GenRoot
	if treeOf(parts, root) == nil {
		root = parts[0].name
	}
	o, err := ownersOfDpkg(root, treeOf(parts, root))
	if err != nil {
		return nil, err
	}
	return report(base, parts, o)
}

// partsOf gives the file systems of an image, each with the hash tree behind it.
func partsOf(i *Image) []sizedPart {
	var parts []sizedPart
	for _, p := range i.Parts {
		switch last := len(parts) - 1; {
		case p.Tree != nil:
			parts = append(parts, sizedPart{name: p.Name, size: p.Size, format: p.Format, tree: p.Tree})
		case p.Format == "verity" && last >= 0:
			parts[last].size += p.Size
			parts[last].hash = p.Size
		}
	}
	return parts
}

// compressed reports whether the part's size is that of its files.
func (p sizedPart) compressed() bool {
	return p.format == "squashfs" || p.format == "erofs" || p.format == "cpio"
}

// treeOf gives the tree of a part, or nil.
func treeOf(parts []sizedPart, name string) *tree.Tree {
	for _, p := range parts {
		if p.name == name {
			return p.tree
		}
	}
	return nil
}

func report(name string, parts []sizedPart, o *ownership) (*sizes.Report, error) {
	names := map[string]bool{}
	for _, p := range parts {
		names[p.name] = true
	}
	var list []sizes.Part
	for _, p := range parts {
		part, err := p.sized(names, o)
		if err != nil {
			return nil, err
		}
		list = append(list, part)
	}
	return sizes.New(name, list, o.how), nil
}

// sized lists a part's files. What a file system that does not compress keeps
// free is no byte of the image; what of its files is a part itself is left out.
func (p sizedPart) sized(names map[string]bool, o *ownership) (sizes.Part, error) {
	part := sizes.Part{Name: p.name, Size: p.size, Hash: p.hash}
	if p.tree == nil {
		part.Files = []sizes.File{{Path: ".", Size: p.size, Stored: p.size, Owner: o.of(p.name, ".")}}
		return part, nil
	}
	var all int64
	for _, path := range p.tree.Paths() {
		e := p.tree.Get(path)
		if e.Kind != tree.File || !p.compressed() && names[filepath.Base(path)] {
			continue
		}
		f := sizes.File{Path: path, Size: e.Size, Stored: e.Size, Owner: o.of(p.name, path)}
		var err error
		if f.Extents, err = extentsOf(e); err != nil {
			return part, fmt.Errorf("read %s: %w", p.name, err)
		}
		all += e.Size
		part.Files = append(part.Files, f)
	}
	switch {
	case p.format == "cpio": // compressed as a whole
		spread(part.Files, p.size, all)
	case !p.compressed():
		part.Size = all
	}
	return part, nil
}

// extentsOf says where a file's bytes are, if its file system compresses files.
func extentsOf(e *tree.Entry) ([]sizes.Extent, error) {
	found, ok, err := imagetree.Extents(e)
	if !ok || err != nil {
		return nil, err
	}
	list := make([]sizes.Extent, len(found))
	for n, x := range found {
		list[n] = sizes.Extent(x)
	}
	return list, nil
}

// spread divides the bytes of what is compressed as a whole by size.
func spread(files []sizes.File, stored, all int64) {
	var done int64
	for n := range files {
		from := mulDiv(stored, done, all)
		done += files[n].Size
		files[n].Stored = mulDiv(stored, done, all) - from
	}
}

// mulDiv is a·b/c for b of at most c, which are sizes of files in memory.
func mulDiv(a, b, c int64) int64 {
	if c == 0 {
		return 0
	}
	return a/c*b + a%c*b/c
}
