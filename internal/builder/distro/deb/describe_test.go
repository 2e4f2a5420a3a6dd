package deb_test

import (
	"fmt"
	"os"
	"syscall"

	"ashlar/internal/foundation/digest"
	"ashlar/internal/foundation/tree"
)

// describe gives a path of the disk in the form of asEntries.
func describe(path, rel string) (string, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return "", err
	}
	sys := info.Sys().(*syscall.Stat_t)
	kind, sum, target, mode, mtime := tree.Dir, digest.Digest{}, "", sys.Mode&0o7777, info.ModTime().Unix()
	switch {
	case info.Mode().IsRegular():
		kind = tree.File
		data, err := os.ReadFile(path)
		if err != nil {
			return "", err
		}
		sum = digest.Of(data)
	case info.Mode()&os.ModeSymlink != 0:
		kind, mode = tree.Symlink, 0o777
		if target, err = os.Readlink(path); err != nil {
			return "", err
		}
	case info.IsDir():
		mtime = 0
	default:
		return "", fmt.Errorf("%s: mode %v is not expected", path, info.Mode())
	}
	return fmt.Sprintf("%s %s %o %d:%d %d %s %s", kind, rel, mode, sys.Uid, sys.Gid, mtime, sum, target), nil
}
