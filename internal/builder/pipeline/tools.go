package pipeline

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"ashlar/internal/builder/distro/deb"
	"ashlar/internal/builder/lock"
	"ashlar/internal/foundation/digest"
	"ashlar/internal/foundation/tree"
)

// Tools gives a directory in which the locked programs that run on the builder
// are unpacked, as one root. It is made once for each set of packages.
// Only files that wanted names are unpacked.
func (e *Env) Tools(ctx context.Context, dir string, wanted func(path string) bool) (_ string, err error) {
	p, err := e.load(dir)
	if err != nil {
		return "", err
	}
	locked, err := p.arch(runtime.GOARCH)
	if err != nil {
		return "", err
	}
	return e.toolsOf(ctx, p.lock, locked.Tools, wanted)
}

func (e *Env) toolsOf(ctx context.Context, l *lock.Lock, packages []lock.Package, wanted func(string) bool) (_ string, err error) {
	final := filepath.Join(e.Store.Dir(), "tools", toolsKey(packages).String())
	if now := time.Now(); os.Chtimes(final, now, now) == nil {
		return final, nil // and the store knows that it was used
	}
	if err := e.fetchPackages(ctx, l, packages); err != nil {
		return "", err
	}
	unpacked, err := deb.UnpackAll(ctx, e.Store, packages, e.Workers, e.Progress)
	if err != nil {
		return "", err
	}
	work, remove, err := e.Store.TempDir("tools-")
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, remove()) }()
	root := filepath.Join(work, "root")
	if err := materialise(root, unpacked, wanted); err != nil {
		return "", fmt.Errorf("unpack tools: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(final), 0o755); err != nil {
		return "", err
	}
	if err := os.Rename(root, final); err != nil {
		if _, statErr := os.Stat(final); statErr == nil {
			return final, nil // another process was faster
		}
		return "", fmt.Errorf("keep tools: %w", err)
	}
	return final, nil
}

// toolsKey names a set of programs.
func toolsKey(packages []lock.Package) digest.Digest {
	h := sha256.New()
	for _, p := range packages {
		fmt.Fprintln(h, p.Digest)
	}
	return digest.Digest(h.Sum(nil))
}

// materialise writes packages' directories, files and links into a directory
// of the host. Owners are the caller's.
func materialise(root string, unpacked []*deb.Unpacked, wanted func(string) bool) error {
	t, err := mergeTools(unpacked, wanted)
	if err != nil {
		return err
	}
	return t.Walk(func(e *tree.Entry) error {
		path := filepath.Join(root, filepath.FromSlash(e.Path))
		switch e.Kind {
		case tree.Dir:
			return os.MkdirAll(path, 0o755)
		case tree.Symlink:
			return os.Symlink(insideRoot(e), path)
		case tree.HardLink:
			return os.Link(filepath.Join(root, filepath.FromSlash(e.Target)), path)
		case tree.File:
			return copyOut(path, e)
		}
		return nil
	})
}

func mergeTools(unpacked []*deb.Unpacked, wanted func(string) bool) (*tree.Tree, error) {
	t := &tree.Tree{}
	for _, name := range []string{"bin", "sbin", "lib", "lib64"} {
		if err := errors.Join(t.AddParents("usr/"+name, 0o755, 0), t.Put(tree.NewDir("usr/"+name, 0o755)), t.Put(tree.NewSymlink(name, "usr/"+name))); err != nil {
			return nil, err
		}
	}
	for _, u := range unpacked {
		for _, e := range u.Entries {
			entry := e.Entry
			if !wanted(entry.Path) {
				continue
			}
			var err error
			if entry.Path, err = t.Resolve(entry.Path); err != nil {
				return nil, err
			}
			if old := t.Get(entry.Path); old != nil && (old.Kind == tree.Symlink || old.IsDir()) {
				continue
			}
			if entry.Kind == tree.HardLink {
				if entry.Target, err = t.Resolve(entry.Target); err != nil {
					return nil, err
				}
			}
			if err := errors.Join(t.AddParents(entry.Path, 0o755, 0), t.Put(entry)); err != nil {
				return nil, err
			}
		}
	}
	return t, nil
}

// insideRoot makes an absolute link relative, so that it stays in the tools'
// root whatever directory that is.
func insideRoot(e *tree.Entry) string {
	if !strings.HasPrefix(e.Target, "/") {
		return e.Target
	}
	up := strings.Repeat("../", strings.Count(e.Path, "/"))
	return up + strings.TrimLeft(e.Target, "/")
}

func copyOut(path string, e *tree.Entry) error {
	r, err := e.Open()
	if err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return errors.Join(err, r.Close())
	}
	_, err = io.Copy(f, r)
	return errors.Join(err, f.Chmod(os.FileMode(e.Mode)&0o755), f.Close(), r.Close())
}
