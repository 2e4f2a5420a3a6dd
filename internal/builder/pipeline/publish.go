package pipeline

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sort"
	"strings"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"ashlar/internal/contract/imageinfo"
	"ashlar/internal/foundation/atomicfile"
	"ashlar/internal/foundation/tree"
)

// checkOutput says before a build what would be in the way of publishing: the
// output directory, or the nearest above it that there is, takes new files.
func checkOutput(out string) error {
	for dir := out; ; dir = filepath.Dir(dir) {
		info, err := os.Stat(dir)
		if errors.Is(err, fs.ErrNotExist) && dir != filepath.Dir(dir) {
			continue
		}
		if err == nil && !info.IsDir() {
			err = fmt.Errorf("%s: %w", dir, unix.ENOTDIR)
		}
		if err == nil {
			err = unix.Access(dir, unix.W_OK|unix.X_OK)
		}
		if err != nil {
			return fmt.Errorf("write to output directory %s: %w", out, err)
		}
		return nil
	}
}

// publish puts the artefacts into the output directory. All are written before
// the first gets its name, so that a full disk leaves the old ones; each is old
// or new and never a part, and the sums come last.
func (b *build) publish(gen *generation, out string) (_ *Artefacts, err error) {
	if err := os.MkdirAll(out, 0o755); err != nil {
		return nil, fmt.Errorf("make output directory: %w", err)
	}
	unlock, err := lockDir(out)
	if err != nil {
		return nil, err
	}
	defer unlock()
	removeStale(out)
	stage, err := os.MkdirTemp(out, stagePrefix)
	if err != nil {
		return nil, fmt.Errorf("write to output directory: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(stage)) }()
	a := &Artefacts{Dir: out, Manifest: gen.manifest, Cmdline: b.startLine(gen), Targets: targetNames(b.targets)}
	if a.Files, err = writeArtefacts(gen, stage); err != nil {
		return nil, noRoom("output directory "+out, err)
	}
	for _, f := range append(slices.Clone(a.Files), imageinfo.File{Name: SumsFile}) {
		if err := os.Rename(filepath.Join(stage, f.Name), filepath.Join(out, f.Name)); err != nil {
			return nil, fmt.Errorf("publish artefact: %w", err)
		}
	}
	b.remember(a, gen.made)
	return a, nil
}

// writeArtefacts brings all files of a generation, and their sums, into a
// directory of the output's file system: those that were made in the work
// directory are moved, others copied.
func writeArtefacts(gen *generation, dir string) ([]imageinfo.File, error) {
	var files []imageinfo.File
	for _, name := range sortedKeys(gen.files) {
		e := gen.files[name]
		if err := placeFile(&e, filepath.Join(dir, name)); err != nil {
			return nil, err
		}
		files = append(files, imageinfo.File{Name: name, Size: e.Size, Digest: e.Digest})
	}
	rows := make([]imageinfo.File, len(gen.made))
	var group errgroup.Group
	group.SetLimit(runtime.GOMAXPROCS(0))
	for n, made := range gen.made {
		to := filepath.Join(dir, filepath.Base(made.path))
		if err := moveFile(made.path, to); err != nil {
			return nil, err
		}
		group.Go(func() (err error) {
			rows[n], err = sparseFile(to)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	files = append(files, rows...)
	files, err := gen.addPapers(dir, files)
	if err != nil {
		return nil, err
	}
	sort.Slice(files, func(i, j int) bool { return files[i].Name < files[j].Name })
	var sums strings.Builder
	for _, f := range files {
		fmt.Fprintf(&sums, "%s  %s\n", f.Digest, f.Name)
	}
	return files, atomicfile.WriteBytes(filepath.Join(dir, SumsFile), atomicfile.Options{}, []byte(sums.String()))
}

// placeFile brings an entry's content to a path.
func placeFile(e *tree.Entry, to string) error {
	if path, ok := e.Source.(tree.HostFile); ok {
		return moveFile(string(path), to)
	}
	r, err := e.Open()
	if err != nil {
		return err
	}
	return errors.Join(atomicfile.WriteReader(to, atomicfile.Options{}, r), r.Close())
}

// moveFile renames a file that the build has made, or copies it to another file
// system.
func moveFile(from, to string) error {
	if err := os.Rename(from, to); errors.Is(err, unix.EXDEV) {
		return copySparseFile(from, to)
	} else if err != nil {
		return err
	}
	return os.Chmod(to, 0o644)
}

// stagePrefix begins the name of the directory in which artefacts stand until
// all are written.
const stagePrefix = ".new-"

// lockDir keeps other builds from publishing to a directory at the same time:
// their artefacts do not mix, and what stands half-made in it is nobody's. A
// file system without locks leaves that to its user.
func lockDir(dir string) (unlock func(), err error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("lock output directory: %w", err)
	}
	for err = unix.EINTR; errors.Is(err, unix.EINTR); {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX)
	}
	return func() { _ = f.Close() }, nil // opened for reading: nothing can be lost
}

// removeStale removes what a build that was killed has left in the output.
func removeStale(out string) {
	leftovers, _ := filepath.Glob(filepath.Join(out, stagePrefix+"*"))
	working, _ := filepath.Glob(filepath.Join(out, workPrefix+"*"))
	working = slices.DeleteFunc(working, isHeld)
	for _, path := range append(leftovers, working...) {
		_ = os.RemoveAll(path) // what cannot be removed is in nobody's way
	}
}

// noRoom adds to the error of a full disk what to do.
func noRoom(where string, err error) error {
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		return fmt.Errorf("%w: %s is full: free some space, or run: ashlar store gc", err, where)
	}
	return err
}

// noWorkRoom is noRoom for what is written to the work directory.
func (b *build) noWorkRoom(err error) error {
	return noRoom("the file system of "+filepath.Dir(b.dir), err)
}

func (e *Env) noStoreRoom(err error) error {
	return noRoom("store "+e.Store.Dir(), err)
}
