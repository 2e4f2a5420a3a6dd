package pipeline

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// workPrefix begins the name of the directory, inside the output directory, in
// which a build works: what it makes there is published by a rename.
const workPrefix = ".work-"

// workDir makes such a directory. remove takes it away with all it holds, and
// the output directory with it if there is nothing in it and there was none.
func workDir(out string) (dir string, remove func() error, err error) {
	_, err = os.Lstat(out)
	isNew := errors.Is(err, os.ErrNotExist)
	if err := os.MkdirAll(out, 0o755); err != nil {
		return "", nil, fmt.Errorf("make output directory: %w", err)
	}
	unlock, err := lockDir(out)
	if err != nil {
		return "", nil, err
	}
	defer unlock() // by then the directory is held, so that nobody takes it for stale
	removeStale(out)
	if dir, err = os.MkdirTemp(out, workPrefix); err != nil {
		return "", nil, fmt.Errorf("write to output directory: %w", err)
	}
	release, err := lockDir(dir)
	if err != nil {
		return "", nil, errors.Join(err, os.Remove(dir))
	}
	return dir, func() error {
		err := os.RemoveAll(dir)
		release()
		if isNew {
			_ = os.Remove(out) // refused when something was published
		}
		return err
	}, nil
}

// isHeld reports whether a process that lives works in the directory.
func isHeld(dir string) bool {
	f, err := os.Open(dir)
	if err != nil {
		return false
	}
	defer f.Close()
	return errors.Is(unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB), unix.EWOULDBLOCK)
}
