// Package sandbox runs programs of the image being built, apart from the host:
// in user, mount, pid, network, uts, ipc and cgroup namespaces, over an overlay
// whose upper layer afterwards tells what changed.
//
// One uid is mapped, the caller's to root, whoever the caller is: so root, a
// user with and a user without subordinate ids take the same path and get the
// same result. The kernel can then hold no other owner than root; owners that
// programs set, and devices that they make, are recorded by a seccomp
// supervisor as extended attributes of the files:
//
//	user.ashlar.owner   "UID:GID", decimal
//	user.ashlar.device  "c:MAJOR:MINOR" or "b:MAJOR:MINOR", on an empty file
//
// and stat calls of programs see what was recorded.
//
// Vocabulary: the lower layer is the tree given, as files; the upper layer is
// what programs changed; the merged root is what they see. The init process is
// this program again, as pid 1 of the sandbox; it mounts, starts the commands,
// supervises them and serves the files of the merged root to the builder.
//
// What is not emulated: changing one's own uid. The calls succeed and getuid
// still gives 0, so that files made after `su daemon` belong to root. A hard
// link of the lower layer parts from its other names when it is changed.
// /tmp, /run and /dev are in memory and not part of the result.
package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"ashlar/internal/foundation/tree"
)

// Options say what a sandbox is made of.
type Options struct {
	// Dir is the work directory. All in it belongs to the sandbox: New removes
	// what a killed build left there. Its file system needs user extended
	// attributes and must be able to carry an overlay's upper layer.
	Dir string
	// Pool keeps one file for each content, mode and time over many sandboxes,
	// so that the lower layer is made of hard links; where a content's own file
	// has that mode and time, it is linked itself. It must lie on the file
	// system of Dir and may be removed whenever no sandbox is being made. ""
	// copies every file.
	Pool string
	// Lower is what programs find when they start. It must not change while
	// the sandbox lives.
	Lower *tree.Tree
	// Hostname is "localhost" when empty.
	Hostname string
	// Env is added to the default environment, "NAME=value", later wins.
	Env []string
	// Log gets what commands without writers of their own print, and what the
	// init process has to say. nil discards.
	Log io.Writer
}

// The names inside Options.Dir.
const (
	lowerName = "lower"
	upperName = "upper"
	workName  = "work"
	rootName  = "root"
	lockName  = ".lock"
)

// Sandbox is a root with programs in it. Its methods are safe for concurrent
// use; commands run one at a time.
type Sandbox struct {
	dir   string
	lower *tree.Tree
	env   []string
	log   io.Writer

	lock    *os.File
	cmd     *exec.Cmd
	stderr  *tailWriter
	run     *conn
	runMu   sync.Mutex
	files   *conn
	filesMu sync.Mutex
	serial  uint64 // of the last command
	waited  chan struct{}
	closed  sync.Once
}

// New lays the lower layer out and starts the init process.
func New(ctx context.Context, opts Options) (*Sandbox, error) {
	if opts.Lower == nil {
		return nil, errors.New("make sandbox: no lower tree given")
	}
	dir, err := filepath.Abs(opts.Dir)
	if err != nil {
		return nil, fmt.Errorf("make sandbox: %w", err)
	}
	lock, err := prepareDir(ctx, dir)
	if err != nil {
		return nil, fmt.Errorf("make sandbox: %w", err)
	}
	s := &Sandbox{dir: dir, lower: opts.Lower, env: environment(opts.Env), log: lockedWriter(opts.Log), lock: lock, waited: make(chan struct{})}
	plan, err := layOut(ctx, dir, opts.Pool, opts.Lower)
	if err == nil {
		plan.Hostname = opts.Hostname
		if plan.Hostname == "" {
			plan.Hostname = "localhost"
		}
		err = s.start(ctx, plan)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("make sandbox: %w", err), s.Close())
	}
	return s, nil
}

// prepareDir makes the work directory, takes its lock and empties it.
func prepareDir(ctx context.Context, dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	// The group must be the mapped one and the directory closed: set-uid files
	// of the image lie below, owned by the caller.
	if err := os.Lchown(dir, -1, os.Getegid()); err != nil {
		return nil, err
	}
	if err := unix.Chmod(dir, 0o700); err != nil {
		return nil, err
	}
	lock, err := takeLock(ctx, filepath.Join(dir, lockName))
	if err != nil {
		return nil, err
	}
	if err := emptyDir(dir); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return lock, nil
}

// takeLock opens and locks the file. Close removes it, so that what was locked
// may be a file that has no name any more: then it starts again.
func takeLock(ctx context.Context, name string) (*os.File, error) {
	for {
		lock, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			return nil, err
		}
		if err := waitLock(ctx, lock); err != nil {
			return nil, errors.Join(err, lock.Close())
		}
		locked, err1 := lock.Stat()
		named, err2 := os.Stat(name)
		if err1 == nil && err2 == nil && os.SameFile(locked, named) {
			return lock, nil
		}
		if err := lock.Close(); err != nil {
			return nil, err
		}
	}
}

// waitLock takes the lock of the work directory. The init process holds it
// too, so that a killed build's processes are gone before the directory is used.
func waitLock(ctx context.Context, lock *os.File) error {
	const patience = 10 * time.Second
	deadline := time.Now().Add(patience)
	for {
		err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return fmt.Errorf("lock %s: %w", lock.Name(), err)
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("lock %s: another build uses this work directory", lock.Name())
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// emptyDir removes everything in dir but the lock.
func emptyDir(dir string) error {
	list, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range list {
		if e.Name() == lockName {
			continue
		}
		if err := removeAll(filepath.Join(dir, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

// removeAll removes a tree whose directories may deny access to their owner.
func removeAll(name string) error {
	if os.RemoveAll(name) == nil {
		return nil
	}
	err := filepath.WalkDir(name, func(p string, d os.DirEntry, err error) error {
		if d == nil || !d.IsDir() {
			return nil
		}
		if err == nil {
			// Called before the directory is read: make it readable.
			return os.Chmod(p, 0o700)
		}
		return nil
	})
	return errors.Join(os.RemoveAll(name), err)
}

// Close ends every process of the sandbox and removes its files.
func (s *Sandbox) Close() error {
	var err error
	s.closed.Do(func() {
		s.stop()
		err = emptyDir(s.dir)
		err = errors.Join(err, os.Remove(s.lock.Name()), s.lock.Close())
		if os.Remove(s.dir) != nil {
			// Not ours to remove when the caller keeps other things around it.
			return
		}
	})
	if err != nil {
		return fmt.Errorf("close sandbox: %w", err)
	}
	return nil
}
