package flash

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// ErrRefused is the kind of error that says why a device must not be written.
var ErrRefused = errors.New("refused")

func refuse(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrRefused, fmt.Errorf(format, args...))
}

// host is where the kernel tells of devices; tests have directories of their own.
type host struct{ sys, mounts, swaps string }

func thisHost() host { return host{"/sys", "/proc/self/mountinfo", "/proc/swaps"} }

// Device is a disk that is to be written.
type Device struct {
	Path string
	Size int64 // bytes
	File bool  // a file of the host, which need not exist
}

// FindDevice looks at what a path names and refuses what must not be written:
// what is no disk, what is in use in any way. A file is taken if files are.
func FindDevice(path string, files bool) (*Device, error) { return thisHost().find(path, files) }

func (h host) find(path string, files bool) (*Device, error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && files, err == nil && files && info.Mode().IsRegular():
		return &Device{Path: path, File: true}, nil
	case err != nil:
		return nil, fmt.Errorf("look at device: %w", err)
	case info.Mode().Type() != fs.ModeDevice:
		return nil, refuse("%s is no block device (with --force-file it may be a file)", path)
	}
	id := idOf(path)
	if id == "" {
		return nil, fmt.Errorf("look at device %s: it is gone", path)
	}
	return h.device(path, id)
}

// device looks at the disk with the number.
func (h host) device(path, id string) (*Device, error) {
	dir, err := filepath.EvalSymlinks(filepath.Join(h.sys, "dev/block", id))
	if err != nil {
		return nil, fmt.Errorf("look at device %s: %w", path, err)
	}
	d := &Device{Path: path}
	if _, err := os.Stat(filepath.Join(dir, "partition")); err == nil {
		return nil, refuse("%s is a partition, not a disk", path)
	}
	if number(filepath.Join(dir, "ro")) != 0 {
		return nil, refuse("%s is read-only", path)
	}
	if d.Size = number(filepath.Join(dir, "size")) * 512; d.Size == 0 {
		return nil, refuse("%s holds no medium", path)
	}
	return d, h.unused(path, dir)
}

// unused refuses a disk of which something is mounted, is swap, or belongs to a
// device that is made of several (LVM, RAID, encryption).
func (h host) unused(path, dir string) error {
	ids := map[string]string{} // of the disk and its partitions, with their names
	for _, place := range append([]string{dir}, globbed(filepath.Join(dir, "*", "partition"))...) {
		place = strings.TrimSuffix(place, "/partition")
		text, err := os.ReadFile(filepath.Join(place, "dev"))
		if err != nil {
			return fmt.Errorf("look at device %s: %w", path, err)
		}
		name := filepath.Base(place)
		ids[strings.TrimSpace(string(text))] = name
		if holders := globbed(filepath.Join(place, "holders", "*")); len(holders) > 0 {
			return refuse("%s: %s is part of %s", path, name, filepath.Base(holders[0]))
		}
	}
	if err := h.unmounted(path, ids); err != nil {
		return err
	}
	return h.noSwap(path, ids)
}

// unmounted reads mountinfo (proc_pid_mountinfo(5)): the third word is the
// device's number; the source, behind the dash, names it where the file system has one of its own.
func (h host) unmounted(path string, ids map[string]string) error {
	return eachLine(h.mounts, func(words []string) error {
		if len(words) < 5 {
			return nil
		}
		name, found := ids[words[2]]
		for i, word := range words {
			if word == "-" && i+2 < len(words) && !found {
				name, found = known(ids, words[i+2])
			}
		}
		switch {
		case !found:
			return nil
		case words[4] == "/":
			return refuse("%s is the disk that this system runs from (%s)", path, name)
		}
		return refuse("%s is in use: %s is mounted at %s", path, name, words[4])
	})
}

func (h host) noSwap(path string, ids map[string]string) error {
	return eachLine(h.swaps, func(words []string) error {
		if len(words) == 0 {
			return nil
		}
		if name, found := known(ids, words[0]); found {
			return refuse("%s is in use: %s is swap space", path, name)
		}
		return nil
	})
}

// known looks up what a line names; only whole paths are device nodes.
func known(ids map[string]string, path string) (name string, found bool) {
	if strings.HasPrefix(path, "/") {
		name, found = ids[idOf(path)]
	}
	return name, found
}

// idOf gives the number of a device node, or "".
func idOf(path string) string {
	var st unix.Stat_t
	if unix.Stat(path, &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFBLK {
		return ""
	}
	return fmt.Sprintf("%d:%d", unix.Major(st.Rdev), unix.Minor(st.Rdev))
}

func eachLine(name string, visit func(words []string) error) error {
	f, err := os.Open(name)
	if err != nil {
		return fmt.Errorf("look for what is in use: %w", err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20) // overlay mounts have long options
	for lines.Scan() {
		if err := visit(strings.Fields(lines.Text())); err != nil {
			return err
		}
	}
	return lines.Err()
}

func globbed(pattern string) []string {
	found, _ := filepath.Glob(pattern) // only a wrong pattern is an error
	return found
}

func number(path string) int64 {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	if err != nil || n < 0 {
		return 0
	}
	return n
}
