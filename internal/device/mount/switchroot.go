package mount

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// SwitchRoot makes the mount at root the root of this process and of all that
// it starts: the mounts named (paths from the root) move along, then what the
// initramfs holds is deleted to free its memory.
func SwitchRoot(root string, move []string) error {
	for _, dir := range move {
		target := filepath.Join(root, dir)
		if err := os.MkdirAll(target, 0o755); err != nil {
			return fmt.Errorf("switch root: %w", err)
		}
		if err := unix.Mount(dir, target, "", unix.MS_MOVE, ""); err != nil {
			return fmt.Errorf("switch root: move %s: %w", dir, err)
		}
	}
	old, err := unix.Open("/", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("switch root: open /: %w", err)
	}
	defer unix.Close(old)
	if err := unix.Chdir(root); err != nil {
		return fmt.Errorf("switch root: enter %s: %w", root, err)
	}
	if err := unix.Mount(".", "/", "", unix.MS_MOVE, ""); err != nil {
		return fmt.Errorf("switch root: move %s to /: %w", root, err)
	}
	if err := errors.Join(unix.Chroot("."), unix.Chdir("/")); err != nil {
		return fmt.Errorf("switch root: change root: %w", err)
	}
	return empty(old)
}

// empty deletes all that the directory holds on its own file system. It runs
// only on a file system in memory: on any other it refuses.
func empty(dir int) error {
	var fs unix.Statfs_t
	if err := unix.Fstatfs(dir, &fs); err != nil {
		return fmt.Errorf("free initramfs: %w", err)
	}
	if fs.Type != unix.RAMFS_MAGIC && fs.Type != unix.TMPFS_MAGIC {
		return nil
	}
	var stat unix.Stat_t
	if err := unix.Fstat(dir, &stat); err != nil {
		return fmt.Errorf("free initramfs: %w", err)
	}
	return emptyDir(dir, stat.Dev)
}

func emptyDir(dir int, device uint64) error {
	dup, err := unix.FcntlInt(uintptr(dir), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(dup), "initramfs")
	defer f.Close()
	names, err := f.Readdirnames(-1)
	if err != nil {
		return fmt.Errorf("free initramfs: %w", err)
	}
	var failed []error
	for _, name := range names {
		if err := removeAt(dir, name, device); err != nil {
			failed = append(failed, fmt.Errorf("free initramfs: remove %s: %w", name, err))
		}
	}
	return errors.Join(failed...)
}

func removeAt(dir int, name string, device uint64) error {
	var stat unix.Stat_t
	if err := unix.Fstatat(dir, name, &stat, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return err
	}
	if stat.Dev != device {
		return nil // another file system that is still in use
	}
	if stat.Mode&unix.S_IFMT != unix.S_IFDIR {
		return unix.Unlinkat(dir, name, 0)
	}
	child, err := unix.Openat(dir, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	err = emptyDir(child, device)
	unix.Close(child)
	if err == nil {
		err = unix.Unlinkat(dir, name, unix.AT_REMOVEDIR)
	}
	if errors.Is(err, unix.EBUSY) || errors.Is(err, unix.ENOTEMPTY) {
		return nil // holds a mount that stayed behind
	}
	return err
}
