package state

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// copier copies a tree with owners, modes, times, extended attributes, hard
// links, symbolic links, devices and fifos.
type copier struct {
	links map[inode]string // where an inode with several names went
}

type inode struct{ dev, ino uint64 }

func copyTree(source, target string) error {
	c := &copier{links: make(map[inode]string)}
	return c.copy(source, target)
}

func (c *copier) copy(source, target string) error {
	var stat unix.Stat_t
	if err := unix.Lstat(source, &stat); err != nil {
		return fmt.Errorf("copy %s: %w", source, err)
	}
	id := inode{stat.Dev, stat.Ino}
	kind := stat.Mode & unix.S_IFMT
	if kind != unix.S_IFDIR && stat.Nlink > 1 {
		if first, ok := c.links[id]; ok {
			return os.Link(first, target)
		}
		c.links[id] = target
	}
	var err error
	switch kind {
	case unix.S_IFDIR:
		err = c.copyDir(source, target)
	case unix.S_IFREG:
		err = copyFile(source, target)
	case unix.S_IFLNK:
		err = copyLink(source, target)
	case unix.S_IFSOCK:
		return nil // means nothing without the process that listens
	default:
		err = unix.Mknod(target, kind|0o600, int(stat.Rdev))
	}
	if err != nil {
		return fmt.Errorf("copy %s: %w", source, err)
	}
	if err := copyMeta(source, target, &stat); err != nil {
		return fmt.Errorf("copy %s: %w", source, err)
	}
	return nil
}

func (c *copier) copyDir(source, target string) error {
	if err := os.Mkdir(target, 0o700); err != nil {
		return err
	}
	entries, err := os.ReadDir(source)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if err := c.copy(filepath.Join(source, entry.Name()), filepath.Join(target, entry.Name())); err != nil {
			return err
		}
	}
	return nil
}

func copyFile(source, target string) error {
	in, err := os.Open(source)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(target, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

func copyLink(source, target string) error {
	text, err := os.Readlink(source)
	if err != nil {
		return err
	}
	return os.Symlink(text, target)
}

// copyMeta sets owner, mode, attributes and time, in the order in which one
// does not undo the other: a change of owner clears set-id bits and file
// capabilities.
func copyMeta(source, target string, stat *unix.Stat_t) error {
	if err := os.Lchown(target, int(stat.Uid), int(stat.Gid)); err != nil {
		return err
	}
	if stat.Mode&unix.S_IFMT != unix.S_IFLNK {
		if err := unix.Chmod(target, stat.Mode&0o7777); err != nil {
			return fmt.Errorf("set mode: %w", err)
		}
	}
	if err := copyXattrs(source, target); err != nil {
		return err
	}
	times := []unix.Timespec{stat.Mtim, stat.Mtim}
	return unix.UtimesNanoAt(unix.AT_FDCWD, target, times, unix.AT_SYMLINK_NOFOLLOW)
}

func copyXattrs(source, target string) error {
	const maxXattr = 64 << 10 // XATTR_LIST_MAX and XATTR_SIZE_MAX
	buf := make([]byte, maxXattr)
	n, err := unix.Llistxattr(source, buf)
	if err != nil {
		if errors.Is(err, unix.ENOTSUP) {
			return nil
		}
		return fmt.Errorf("list attributes: %w", err)
	}
	names := string(buf[:n])
	for _, name := range strings.Split(names, "\x00") {
		if name == "" || strings.HasPrefix(name, "trusted.overlay.") || name == "security.selinux" {
			continue // of the file system, not of the file
		}
		n, err := unix.Lgetxattr(source, name, buf)
		if err != nil {
			return fmt.Errorf("read attribute %s: %w", name, err)
		}
		if err := unix.Lsetxattr(target, name, buf[:n], 0); err != nil {
			return fmt.Errorf("set attribute %s: %w", name, err)
		}
	}
	return nil
}
