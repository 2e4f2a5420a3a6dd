package state

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"

	"ashlar/internal/contract/machine"
)

// Place makes a declared path in a root that keeps what is written, if it is not
// there. It fails where the root cannot be written to.
func Place(root string, s machine.State) error {
	path, err := resolve(root, s.Path)
	if err != nil {
		return fmt.Errorf("place %s: %w", s.Path, err)
	}
	if _, err := os.Lstat(path); err == nil {
		if err := unix.Access(path, unix.W_OK); err != nil {
			return fmt.Errorf("place %s: %w", s.Path, err)
		}
		return nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("place %s: %w", s.Path, err)
	}
	if err := makeTarget(path, s.Kind); err != nil {
		return fmt.Errorf("place %s: %w", s.Path, err)
	}
	return setOwner(path, s.UID, s.GID, s.Mode)
}

// Own gives what is mounted at a declared path the declared owner and mode, as
// long as nothing is in it: a new volume is root's.
func Own(root string, s machine.State) error {
	path, err := resolve(root, s.Path)
	if err != nil {
		return fmt.Errorf("own %s: %w", s.Path, err)
	}
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("own %s: %w", s.Path, err)
	}
	if info.IsDir() != (s.Kind == "dir") {
		return fmt.Errorf("own %s: what is mounted there is no %s", s.Path, s.Kind)
	}
	if info.IsDir() {
		entries, err := os.ReadDir(path)
		if err != nil || len(entries) > 0 {
			return err
		}
	} else if info.Size() > 0 {
		return nil
	}
	if err := setOwner(path, s.UID, s.GID, s.Mode); err != nil && !errors.Is(err, unix.EROFS) {
		return fmt.Errorf("own %s: %w", s.Path, err)
	}
	return nil
}
