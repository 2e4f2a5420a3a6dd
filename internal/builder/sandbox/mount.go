package sandbox

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// A step of setting the root up; the first that fails is reported with its name.
type step struct {
	name string
	do   func() error
}

// enter makes the merged root this process's root and detaches the host's.
// The working directory is Options.Dir. It returns a descriptor of the upper layer.
func enter(p *plan) (int, error) {
	upper := -1
	root := func(elem ...string) string { return filepath.Join(append([]string{rootName}, elem...)...) }
	steps := []step{
		{"unshare mounts", func() error { return unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "") }},
		{"enter work directory", func() error { return unix.Chdir(p.Dir) }},
		{"open upper layer", func() (err error) {
			upper, err = unix.Open(upperName, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
			return err
		}},
		{"set attributes of the lower layer", func() error { return setLowerXattrs(p) }},
		{"mount overlay", func() error {
			// volatile: the overlay need not sync what it copies up.
			const options = "lowerdir=" + lowerName + ",upperdir=" + upperName + ",workdir=" + workName +
				",userxattr,index=off,volatile"
			return unix.Mount("overlay", rootName, "overlay", 0, options)
		}},
		{"mount proc", func() error {
			return unix.Mount("proc", root("proc"), "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "")
		}},
		{"mount sys", func() error { return mountTmp(root("sys"), unix.MS_RDONLY|unix.MS_NOEXEC, "mode=0555,size=0") }},
		{"mount dev", func() error { return mountDev(root("dev")) }},
		{"mount tmp", func() error { return mountTmp(root("tmp"), 0, "mode=1777") }},
		{"mount run", func() error { return mountTmp(root("run"), 0, "mode=0755") }},
		{"make run", func() error { return makeVolatile(root(), p.Volatile) }},
		{"pivot root", func() error { return pivot(rootName) }},
		{"mask proc", maskProc},
		{"set host name", func() error {
			return errors.Join(unix.Sethostname([]byte(p.Hostname)), unix.Setdomainname([]byte("(none)")))
		}},
	}
	for _, s := range steps {
		if err := s.do(); err != nil {
			return -1, fmt.Errorf("%w", &fs.PathError{Op: s.name, Path: p.Dir, Err: err})
		}
	}
	return upper, nil
}

func setLowerXattrs(p *plan) error {
	for _, x := range p.Xattrs {
		if err := unix.Lsetxattr(filepath.Join(lowerName, x.Path), x.Name, x.Value, 0); err != nil {
			return fmt.Errorf("%s of %s: %w", x.Name, x.Path, err)
		}
	}
	return nil
}

func mountTmp(dir string, flags uintptr, options string) error {
	return unix.Mount("tmpfs", dir, "tmpfs", flags|unix.MS_NOSUID|unix.MS_NODEV, options)
}

// mountDev makes a /dev with what programs rely on, and no more. The nodes are
// the host's, seen through bind mounts: no namespace may make its own.
func mountDev(dir string) error {
	if err := unix.Mount("tmpfs", dir, "tmpfs", unix.MS_NOSUID, "mode=0755"); err != nil {
		return err
	}
	for _, name := range []string{"null", "zero", "full", "random", "urandom", "tty"} {
		node := filepath.Join(dir, name)
		if err := os.WriteFile(node, nil, 0o666); err != nil {
			return err
		}
		if err := unix.Mount("/dev/"+name, node, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("bind /dev/%s: %w", name, err)
		}
	}
	for name, target := range map[string]string{
		"fd": "/proc/self/fd", "stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2", "ptmx": "pts/ptmx",
	} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	pts, shm := filepath.Join(dir, "pts"), filepath.Join(dir, "shm")
	if err := errors.Join(os.Mkdir(pts, 0o755), os.Mkdir(shm, 0o755)); err != nil {
		return err
	}
	err := unix.Mount("devpts", pts, "devpts", unix.MS_NOSUID|unix.MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620")
	if err != nil {
		return fmt.Errorf("mount devpts: %w", err)
	}
	return mountTmp(shm, 0, "mode=1777")
}

// makeVolatile makes the directories of /run and /tmp that packages ship, and
// /run/lock, that Debian has at every boot.
func makeVolatile(root string, dirs []pathMode) error {
	for _, d := range append([]pathMode{{"run/lock", 0o1777}}, dirs...) {
		name := filepath.Join(root, d.Path)
		if err := os.Mkdir(name, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		if err := unix.Chmod(name, d.Mode&0o7777); err != nil {
			return err
		}
	}
	return nil
}

// pivot makes dir the root; the old one is put over it and taken away, so that
// no path leads there any more.
func pivot(dir string) error {
	if err := unix.Chdir(dir); err != nil {
		return err
	}
	if err := unix.PivotRoot(".", "."); err != nil {
		return err
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return err
	}
	return unix.Chdir("/")
}

// maskProc closes what concerns the whole machine: where root is the caller,
// its uid counts there, not its lack of capabilities.
func maskProc() error {
	// No namespace in the namespace.
	if err := os.WriteFile("/proc/sys/user/max_user_namespaces", []byte("0"), 0); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, name := range []string{"sys", "bus", "fs", "irq", "sysrq-trigger", "acpi", "asound", "scsi", "driver"} {
		dir := "/proc/" + name
		if _, err := os.Lstat(dir); err != nil {
			continue
		}
		const locked = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
		if err := unix.Mount(dir, dir, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("bind %s: %w", dir, err)
		}
		if err := unix.Mount("", dir, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY|locked, ""); err != nil {
			return fmt.Errorf("make %s read-only: %w", dir, err)
		}
	}
	for _, name := range []string{"kcore", "kmsg", "keys", "key-users", "latency_stats", "timer_list", "sched_debug", "kpagecount", "kpageflags", "kpagecgroup"} {
		file := "/proc/" + name
		if _, err := os.Lstat(file); err != nil {
			continue
		}
		if err := unix.Mount("/dev/null", file, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("mask %s: %w", file, err)
		}
	}
	return nil
}
