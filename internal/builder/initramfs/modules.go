package initramfs

import (
	"context"
	"crypto/sha256"
	"fmt"
	"runtime"
	"strings"

	"golang.org/x/sync/errgroup"

	"ashlar/internal/format/kmod"
	"ashlar/internal/foundation/digest"
	"ashlar/internal/foundation/tree"
)

// relative gives a path below the kernel's directory of modules.
func (k *Kernel) relative(name string) (string, bool) {
	for _, dir := range moduleDirs {
		if rel, ok := strings.CutPrefix(name, dir+k.Release+"/"); ok {
			return rel, true
		}
	}
	return "", false
}

// moduleFiles gives the paths of all modules, and of the lists about them.
func (k *Kernel) moduleFiles() (modules, lists []string) {
	for _, name := range k.files.Paths() {
		rel, ok := k.relative(name)
		if !ok || k.files.Get(name).Kind != tree.File {
			continue
		}
		if _, ok := kmod.Name(rel); ok {
			modules = append(modules, name)
		}
		switch rel {
		case "modules.order", "modules.builtin", "modules.builtin.modinfo":
			lists = append(lists, name)
		}
	}
	return modules, lists
}

// indexForm changes when Index gives other bytes for the same modules.
const indexForm = "depmod of kmod 34, first form"

// IndexKey names all that Index depends on.
func (k *Kernel) IndexKey() (string, error) {
	h := sha256.New()
	fmt.Fprintln(h, indexForm)
	modules, lists := k.moduleFiles()
	for _, name := range append(modules, lists...) {
		d := k.files.Get(name).Digest
		if d.IsZero() {
			return "", fmt.Errorf("name the modules of kernel %s: %s has no digest", k.Release, name)
		}
		fmt.Fprintf(h, "%s %q\n", d, name)
	}
	return digest.Digest(h.Sum(nil)).String(), nil
}

// Index reads all modules and gives depmod's files for them: by these modprobe
// and udev find modules on the machine. At most so many modules are read at a
// time; 0 means one a processor.
func (k *Kernel) Index(ctx context.Context, workers int) ([]kmod.File, error) {
	if workers <= 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	names, _ := k.moduleFiles()
	modules := make([]*kmod.Module, len(names))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(workers)
	for n, name := range names {
		rel, _ := k.relative(name)
		group.Go(func() (err error) {
			if err = ctx.Err(); err == nil {
				modules[n], _, err = readModule(k.files.Get(name), rel)
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, fmt.Errorf("index the modules of kernel %s: %w", k.Release, err)
	}
	files, err := k.indexOf(modules)
	if err != nil {
		return nil, fmt.Errorf("index the modules of kernel %s: %w", k.Release, err)
	}
	return files, nil
}

func (k *Kernel) indexOf(modules []*kmod.Module) ([]kmod.File, error) {
	lists := map[string][]byte{}
	_, names := k.moduleFiles()
	for _, name := range names {
		const limit = 64 << 20
		data, err := k.files.Get(name).ReadAll(limit)
		if err != nil {
			return nil, err
		}
		rel, _ := k.relative(name)
		lists[rel] = data
	}
	graph, err := kmod.NewGraph(modules, lists["modules.order"])
	if err != nil {
		return nil, err
	}
	return graph.Files(kmod.Builtin{List: lists["modules.builtin"], Info: lists["modules.builtin.modinfo"]})
}

// ModulesTree gives the modules directory as the tree of an image of its own,
// mounted at /usr/lib/modules: RELEASE/kernel/… and the lists beside it. Of
// the index the entries' paths are the files' names; they stand in the place of
// what the package may have of them.
func (k *Kernel) ModulesTree(epoch int64, index []tree.Entry) (*tree.Tree, error) {
	t := &tree.Tree{}
	if err := t.Put(tree.Entry{Path: ".", Kind: tree.Dir, Mode: 0o755, MTime: epoch}); err != nil {
		return nil, err
	}
	put := func(e tree.Entry) error {
		if err := t.AddParents(e.Path, 0o755, epoch); err != nil {
			return err
		}
		return t.Put(e)
	}
	for _, name := range k.files.Paths() {
		for _, dir := range moduleDirs {
			rel, ok := strings.CutPrefix(name, dir)
			if !ok || !k.owns(name) {
				continue
			}
			e := *k.files.Get(name)
			e.Path, e.MTime = rel, min(e.MTime, epoch)
			if err := put(e); err != nil {
				return nil, err
			}
		}
	}
	for _, e := range index {
		e.Path, e.Kind, e.Mode, e.MTime = k.Release+"/"+e.Path, tree.File, 0o644, epoch
		if err := put(e); err != nil {
			return nil, err
		}
	}
	return t, nil
}
