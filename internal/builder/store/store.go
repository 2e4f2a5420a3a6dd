// Package store is the builder's content-addressed cache, shared by projects
// and by processes.
//
// Vocabulary: a blob is a file named by its SHA-256; a record is a small result
// of some work, named by a kind and a key, that may be thrown away at any time.
//
// Layout of the directory:
//
//	blobs/ab/abcdef…      never changed; mode 0444, or the mode and time of the file of
//	                      an image that it was first (PutFile)
//	records/KIND/ab/KEY   replaced as a whole
//	tmp/                  what is being made; garbage when nobody holds the lock,
//	                      removed by the next who opens the store
//	pool/ab/…             of the sandbox: files that differ from blobs in mode or time
//	tools/KEY/            unpacked programs for the builder
//	lock                  held shared by every open Store, alone while garbage is removed
//	collector             held by the one that collects garbage
//	size                  of all, as measured last, and what was added since
//
// Everything appears by rename, so that a process that is killed leaves nothing
// half-made under a name that anybody reads. Blobs are not flushed to the disk
// one by one: readers that know the size check it, and so notice the empty
// files a power cut may leave.
package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"ashlar/internal/foundation/digest"
)

// Store is an open store. It is safe for concurrent use.
type Store struct {
	dir  string
	lock *os.File

	working sync.RWMutex // held by whoever works with it in this process; alone by Trim
	added   atomic.Int64 // bytes, since they were noted
	mu      sync.Mutex
	used    map[string]bool // paths of what was read or made
}

// DefaultDir is $ASHLAR_STORE, else $XDG_CACHE_HOME/ashlar, else ~/.cache/ashlar.
func DefaultDir() (string, error) {
	if dir := os.Getenv("ASHLAR_STORE"); dir != "" {
		return dir, nil
	}
	if dir := os.Getenv("XDG_CACHE_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "ashlar"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("find the store: %w; set ASHLAR_STORE to a directory", err)
	}
	return filepath.Join(home, ".cache", "ashlar"), nil
}

// Open opens the store in dir and makes it when it does not exist. While it is
// open, no other process collects garbage in it.
func Open(dir string) (*Store, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("open store %s: %w", dir, err)
	}
	s := &Store{dir: abs, used: map[string]bool{}}
	for _, sub := range []string{"blobs", "records", "tmp"} {
		if err := os.MkdirAll(filepath.Join(abs, sub), 0o755); err != nil {
			return nil, s.explain("open store", err)
		}
	}
	s.lock, err = os.OpenFile(filepath.Join(abs, "lock"), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, s.explain("open store", err)
	}
	if err := s.enter(); err != nil {
		err = errors.Join(err, s.lock.Close())
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("open store %s: another process collects garbage in it; try again when it is done", abs)
		}
		return nil, s.explain("open store", err)
	}
	return s, nil
}

// Close lets others collect garbage. Blobs opened before stay readable.
func (s *Store) Close() error { return s.lock.Close() }

// Dir is the absolute path of the store.
func (s *Store) Dir() string { return s.dir }

func (s *Store) flock(how int) error {
	for {
		err := unix.Flock(int(s.lock.Fd()), how)
		if err != unix.EINTR {
			return err
		}
	}
}

// enter takes the shared lock. Who finds nobody in the store first looks at
// what killed processes have left in tmp, and removes it.
func (s *Store) enter() error {
	var left []string
	if s.flock(unix.LOCK_EX|unix.LOCK_NB) == nil {
		entries, _ := os.ReadDir(filepath.Join(s.dir, "tmp")) // seen again by the next
		for _, e := range entries {
			left = append(left, e.Name())
		}
	}
	if err := s.share(); err != nil {
		return err
	}
	for _, name := range left {
		_ = removeAll(filepath.Join(s.dir, "tmp", name)) // what stays is removed by the next
	}
	return nil
}

// recheck is how long to wait before a lock is tried again.
const recheck = 10 * time.Millisecond

// share waits a moment for the shared lock: others that enter hold it alone
// while they look at tmp, and those that collect garbage while it is their turn.
func (s *Store) share() error {
	const patience = 20 * turn
	for end := time.Now().Add(patience); ; time.Sleep(recheck) {
		err := s.flock(unix.LOCK_SH | unix.LOCK_NB)
		if !errors.Is(err, unix.EWOULDBLOCK) || time.Now().After(end) {
			return err
		}
	}
}

// use notes that something is needed by what this process does.
func (s *Store) use(path string) {
	s.mu.Lock()
	s.used[path] = true
	s.mu.Unlock()
}

// Use notes that a blob is.
func (s *Store) Use(d digest.Digest) { s.use(s.Path(d)) }

// TempDir makes a directory on the store's file system, for work whose result
// is then moved into the store or linked from it. remove deletes it with all it
// holds, also directories that their modes forbid to read.
func (s *Store) TempDir(pattern string) (dir string, remove func() error, err error) {
	dir, err = os.MkdirTemp(filepath.Join(s.dir, "tmp"), pattern)
	if err != nil {
		return "", nil, s.explain("make a directory in store", err)
	}
	return dir, func() error { return removeAll(dir) }, nil
}

// removeAll is os.RemoveAll for trees whose directories may be closed to us.
func removeAll(dir string) error {
	err := os.RemoveAll(dir)
	if err == nil || !errors.Is(err, os.ErrPermission) {
		return err
	}
	openUp(dir)
	return os.RemoveAll(dir)
}

func openUp(dir string) {
	// Failures show when the removal is tried again.
	_ = os.Chmod(dir, 0o700)
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		if e.IsDir() {
			openUp(filepath.Join(dir, e.Name()))
		}
	}
}

// explain wraps an error of the file system with the store's name and, when
// the disk is full, what can be done.
func (s *Store) explain(what string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT):
		return fmt.Errorf("%s: store %s is full: %w; free some space, or run: ashlar store gc", what, s.dir, err)
	case errors.Is(err, os.ErrPermission) || errors.Is(err, syscall.EROFS):
		return fmt.Errorf("%s %s: %w; ASHLAR_STORE names another directory", what, s.dir, err)
	}
	return fmt.Errorf("%s %s: %w", what, s.dir, err)
}

// checkKind refuses names that would leave their directory.
func checkKind(what, name string) error {
	if name == "" || len(name) > 200 || name[0] == '.' || strings.ContainsAny(name, "/\x00") {
		return fmt.Errorf("%s %.80q: not a plain file name", what, name)
	}
	return nil
}
