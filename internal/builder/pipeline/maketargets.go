package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sync/errgroup"

	"ashlar/internal/contract/imageinfo"
	"ashlar/internal/foundation/tree"
)

// makeTargets makes the artefacts of each target, or takes them from the last
// build if nothing that reaches them has changed. Lanes are made side by side.
func (b *build) makeTargets(ctx context.Context, gen *generation, out string) error {
	made := make([][]artefact, len(b.targets))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(b.env.workers())
	for _, lane := range b.lanes() {
		group.Go(func() (err error) {
			for _, n := range lane {
				if made[n], err = b.makeTarget(ctx, gen, out, b.targets[n].Name); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	for _, a := range slices.Concat(made...) {
		name := filepath.Base(a.path)
		_, taken := gen.files[name]
		if taken || slices.ContainsFunc(gen.made, func(other artefact) bool { return filepath.Base(other.path) == name }) {
			return fmt.Errorf("make target %s: %s is the name of another artefact", a.target, name)
		}
		gen.made = append(gen.made, a)
	}
	return nil
}

// lanes gives the targets, as indexes, that are made one after the other.
func (b *build) lanes() [][]int {
	var lanes [][]int
	byName := map[string]int{}
	for n, t := range b.targets {
		name := findMaker(t.Name).lane
		if at, ok := byName[name]; ok && name != "" {
			lanes[at] = append(lanes[at], n)
			continue
		}
		byName[name] = len(lanes)
		lanes = append(lanes, []int{n})
	}
	return lanes
}

// makeTarget gives the files of one target.
func (b *build) makeTarget(ctx context.Context, gen *generation, out, name string) ([]artefact, error) {
	m := findMaker(name)
	if m.write == nil {
		return nil, nil
	}
	dir := filepath.Join(b.dir, "targets", name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	kept := b.reuseTarget(name, out, dir)
	if !kept {
		if err := errors.Join(os.RemoveAll(dir), os.Mkdir(dir, 0o700)); err != nil {
			return nil, err
		}
		if err := m.write(ctx, b, gen, dir); err != nil {
			return nil, b.noWorkRoom(fmt.Errorf("make target %s: %w", name, err))
		}
	}
	b.did(targetStep(name), !kept)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var made []artefact
	for _, e := range entries {
		made = append(made, artefact{name, filepath.Join(dir, e.Name())})
	}
	return made, nil
}

// artefact is a finished file of a target.
type artefact struct {
	target string
	path   string // its base is the name it is published under
}

// reuseTarget copies the target's files of the last build into dir.
func (b *build) reuseTarget(target, out, dir string) bool {
	if b.env.NoCache || b.last == nil || len(b.last.Made[target]) == 0 || len(b.in.changed(b.last.Inputs, targetStep(target))) > 0 {
		return false
	}
	for _, name := range b.last.Made[target] {
		now, err := stampOf(out, name)
		n := slices.IndexFunc(b.last.Files, func(f imageinfo.File) bool { return f.Name == name })
		if err != nil || n < 0 || !slices.Contains(b.last.Stamps, now) {
			return false
		}
		// Another build may publish there meanwhile: the copy is what is looked at.
		if f, err := publishSparse(filepath.Join(out, name), filepath.Join(dir, name)); err != nil || f.Digest != b.last.Files[n].Digest {
			return false
		}
	}
	return true
}

// rootTree gives the root as a tree of the caller's own: as it was assembled,
// or read back from the root image of the last build.
func (b *build) rootTree(gen *generation) (*tree.Tree, error) {
	b.rootLock.Lock()
	defer b.rootLock.Unlock()
	if gen.root.tree == nil {
		root, err := b.openTree(gen.root.image)
		if err != nil {
			return nil, fmt.Errorf("read root image: %w", err)
		}
		gen.root.tree = root
	}
	return gen.root.tree.Clone(), nil
}

// openTree gives an image's tree, readable until the build ends.
func (b *build) openTree(e tree.Entry) (*tree.Tree, error) {
	r, err := e.Open()
	if err != nil {
		return nil, err
	}
	b.keepOpen(r)
	at, ok := r.(io.ReaderAt)
	if !ok {
		return nil, errors.New("its content can't be read at an offset")
	}
	image, err := readImageOf(at, e.Size)
	return image.tree, err
}

// keepOpen leaves a file to be closed when the build ends.
func (b *build) keepOpen(c io.Closer) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closers = append(b.closers, c)
}
