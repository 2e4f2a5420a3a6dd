// Package state keeps what a machine declared to keep: it grows the state
// partition, fills declared paths from the image the first time, and shows them
// in the root. It also keeps what is the machine's own: its id and its random
// seed.
//
// On the state file system, tree/PATH holds the declared path PATH, and own/
// what belongs to ashlar-init. A path is filled under another name and renamed
// when it is complete, so that a power cut leaves nothing half-filled.
package state

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"golang.org/x/sys/unix"

	"ashlar/internal/contract/machine"
)

// Directories on the state file system.
const (
	treeDir = "tree"
	ownDir  = "own"
)

// Binder shows source at target; mount.Bind on a machine.
type Binder func(source, target string) error

// Bind fills each declared path in the store (where the state file system is
// mounted) and shows it in root. A path that fails is in the error; the others
// are still bound.
func Bind(store, root string, declared []machine.State, bind Binder) error {
	// Closed to all but root: a path may lie below a directory that is closed in
	// the root, and here its parents are only made.
	for _, dir := range []string{treeDir, ownDir} {
		if err := makeClosed(filepath.Join(store, dir)); err != nil {
			return fmt.Errorf("keep state: %w", err)
		}
	}
	sorted := append([]machine.State(nil), declared...)
	sort.SliceStable(sorted, func(i, j int) bool { return sorted[i].Path < sorted[j].Path })
	var failed []error
	for _, s := range sorted {
		if err := bindOne(store, root, s, bind); err != nil {
			failed = append(failed, fmt.Errorf("keep %s: %w", s.Path, err))
		}
	}
	return errors.Join(failed...)
}

func makeClosed(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return os.Chmod(dir, 0o700)
}

func bindOne(store, root string, s machine.State, bind Binder) error {
	if !strings.HasPrefix(s.Path, "/") || filepath.Clean(s.Path) != s.Path || s.Path == "/" {
		return fmt.Errorf("want a clean absolute path below the root")
	}
	if s.Kind != "dir" && s.Kind != "file" {
		return fmt.Errorf("kind %q: want dir or file", s.Kind)
	}
	target, err := resolve(root, s.Path)
	if err != nil {
		return err
	}
	kept := filepath.Join(store, treeDir, s.Path)
	if err := fill(kept, target, s); err != nil {
		return err
	}
	if err := makeTarget(target, s.Kind); err != nil {
		return err
	}
	return bind(kept, target)
}

// fill makes kept from the image's path, or anew, unless it is there.
func fill(kept, image string, s machine.State) error {
	if info, err := os.Lstat(kept); err == nil {
		if info.IsDir() != (s.Kind == "dir") {
			return fmt.Errorf("what is kept is no %s", s.Kind)
		}
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(kept), 0o755); err != nil {
		return err
	}
	partial := filepath.Join(filepath.Dir(kept), ".ashlar-new-"+filepath.Base(kept))
	if err := os.RemoveAll(partial); err != nil {
		return err
	}
	if err := fillPartial(partial, image, s); err != nil {
		return errors.Join(err, os.RemoveAll(partial))
	}
	if err := syncFS(filepath.Dir(kept)); err != nil {
		return err
	}
	if err := os.Rename(partial, kept); err != nil {
		return err
	}
	return syncFS(filepath.Dir(kept))
}

func fillPartial(partial, image string, s machine.State) error {
	info, err := os.Lstat(image)
	switch {
	case err == nil && info.IsDir() == (s.Kind == "dir"):
		return copyTree(image, partial)
	case err == nil:
		return fmt.Errorf("the image's %s is no %s", s.Path, s.Kind)
	case !errors.Is(err, fs.ErrNotExist):
		return err
	case s.Kind == "dir":
		err = os.Mkdir(partial, 0o700)
	default:
		err = os.WriteFile(partial, nil, 0o600)
	}
	if err != nil {
		return err
	}
	return setOwner(partial, s.UID, s.GID, s.Mode)
}

// setOwner sets owner, then mode: a change of owner clears set-id bits.
func setOwner(path string, uid, gid, mode uint32) error {
	if err := os.Lchown(path, int(uid), int(gid)); err != nil {
		return err
	}
	if err := unix.Chmod(path, mode&0o7777); err != nil {
		return fmt.Errorf("set mode of %s: %w", path, err)
	}
	return nil
}

func makeTarget(target, kind string) error {
	if _, err := os.Lstat(target); err == nil {
		return nil
	}
	if kind == "dir" {
		return os.MkdirAll(target, 0o755)
	}
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return err
	}
	return os.WriteFile(target, nil, 0o600)
}

// resolve gives the path that name means to a process whose root is root: it
// follows symbolic links, also in the last element. What is missing stays as
// written.
func resolve(root, name string) (string, error) {
	const maxLinks = 40
	parts := strings.Split(name, "/")
	done := ""
	for links := 0; len(parts) > 0; {
		part := parts[0]
		parts = parts[1:]
		switch part {
		case "", ".":
			continue
		case "..":
			done = filepath.Dir("/" + done)[1:]
			continue
		}
		next := filepath.Join(done, part)
		text, err := os.Readlink(filepath.Join(root, next))
		if err != nil {
			done = next // no link, or missing
			continue
		}
		if links++; links > maxLinks {
			return "", fmt.Errorf("more than %d symbolic links", maxLinks)
		}
		if strings.HasPrefix(text, "/") {
			done = ""
		}
		parts = append(strings.Split(text, "/"), parts...)
	}
	return filepath.Join(root, done), nil
}

func syncFS(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.Syncfs(int(f.Fd())); err != nil {
		return fmt.Errorf("flush file system of %s: %w", dir, err)
	}
	return nil
}
