// Package mount puts file systems in place: the kernel's own ones, the root
// overlay, binds, and the change from the initramfs to the root.
package mount

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Point is one mount to make; Target is made when it is not there.
type Point struct {
	Source, Target, Type string
	Flags                uintptr
	Data                 string
	Optional             bool // a kernel without it does
}

// Early is what both the initramfs and the machine need, in order. /run may
// hold programs: PID 1 lies there.
func Early() []Point {
	const noexec = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
	return []Point{
		{Source: "proc", Target: "/proc", Type: "proc", Flags: noexec},
		{Source: "sysfs", Target: "/sys", Type: "sysfs", Flags: noexec},
		{Source: "devtmpfs", Target: "/dev", Type: "devtmpfs", Flags: unix.MS_NOSUID, Data: "mode=0755"},
		{Source: "tmpfs", Target: "/run", Type: "tmpfs", Flags: unix.MS_NOSUID | unix.MS_NODEV, Data: "mode=0755,size=20%"},
	}
}

// Late is what the machine needs besides, in order.
func Late() []Point {
	const noexec = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
	const volatile = unix.MS_NOSUID | unix.MS_NODEV
	return []Point{
		{Source: "devpts", Target: "/dev/pts", Type: "devpts", Flags: unix.MS_NOSUID | unix.MS_NOEXEC, Data: "gid=5,mode=0620,ptmxmode=0666"},
		{Source: "tmpfs", Target: "/dev/shm", Type: "tmpfs", Flags: volatile, Data: "mode=1777"},
		{Source: "mqueue", Target: "/dev/mqueue", Type: "mqueue", Flags: noexec, Optional: true},
		{Source: "tmpfs", Target: "/tmp", Type: "tmpfs", Flags: volatile, Data: "mode=1777,size=50%"},
		{Source: "cgroup2", Target: "/sys/fs/cgroup", Type: "cgroup2", Flags: noexec, Data: "nsdelegate"},
	}
}

// All makes the mounts in order. A target that is a mount point already stays
// as it is. Every failure is in the error, and the others are still made.
func All(points []Point) error {
	var failed []error
	for _, p := range points {
		if err := One(p); err != nil && !p.Optional {
			failed = append(failed, err)
		}
	}
	return errors.Join(failed...)
}

// One makes a mount, unless its target is a mount point already.
func One(p Point) error {
	if err := os.MkdirAll(p.Target, 0o755); err != nil {
		return fmt.Errorf("mount %s: %w", p.Target, err)
	}
	if IsPoint(p.Target) {
		return nil
	}
	if err := unix.Mount(p.Source, p.Target, p.Type, p.Flags, p.Data); err != nil {
		return fmt.Errorf("mount %s (%s) at %s: %w", p.Source, p.Type, p.Target, err)
	}
	return nil
}

// IsPoint reports whether a file system is mounted at the directory. A bind of
// the directory's own file system is seen only by kernels since 5.8.
func IsPoint(dir string) bool {
	var stat unix.Statx_t
	err := unix.Statx(unix.AT_FDCWD, dir, unix.AT_SYMLINK_NOFOLLOW, 0, &stat)
	return err == nil && stat.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0
}

// Bind shows the file or directory source at target too.
func Bind(source, target string) error {
	if err := unix.Mount(source, target, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("bind %s to %s: %w", source, target, err)
	}
	return nil
}

// Overlay mounts a writable view of lower at target. What is written lies in a
// tmpfs that is mounted at scratch.
func Overlay(lower, scratch, target string) error {
	if err := One(Point{Source: "tmpfs", Target: scratch, Type: "tmpfs", Data: "mode=0755"}); err != nil {
		return err
	}
	upper, work := filepath.Join(scratch, "upper"), filepath.Join(scratch, "work")
	for _, dir := range []string{upper, work} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("mount overlay: %w", err)
		}
	}
	data := "lowerdir=" + lower + ",upperdir=" + upper + ",workdir=" + work
	return One(Point{Source: "ashlar", Target: target, Type: "overlay", Data: data})
}
