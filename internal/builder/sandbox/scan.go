package sandbox

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"ashlar/internal/foundation/tree"
)

// An upperItem is one name of the upper layer as it lies there, overlay marks
// and records of owners told apart.
type upperItem struct {
	Path     string
	Mode     uint32 // st_mode
	Size     int64
	MTime    int64
	Ino      uint64
	Links    uint64
	Target   string       `json:",omitempty"`
	Owner    *owner       `json:",omitempty"`
	Device   *device      `json:",omitempty"`
	Whiteout bool         `json:",omitempty"`
	Opaque   bool         `json:",omitempty"`
	Xattrs   []tree.Xattr `json:",omitempty"`
}

// maxUpper bounds the number of names in the upper layer.
const maxUpper = 2_000_000

// scan reads the whole upper layer, a directory before what it holds.
func (p *initProcess) scan() ([]upperItem, error) {
	var list []upperItem
	fd, err := unix.Openat(p.upper, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	if err := p.scanDir(os.NewFile(uintptr(fd), "."), ".", &list); err != nil {
		return nil, err
	}
	return list, nil
}

// scanDir adds the directory, which it closes, and all below.
func (p *initProcess) scanDir(dir *os.File, name string, list *[]upperItem) (err error) {
	defer func() { err = errors.Join(err, dir.Close()) }()
	item, err := openItem(int(dir.Fd()), name)
	if err != nil {
		return &fs.PathError{Op: "scan", Path: name, Err: err}
	}
	*list = append(*list, item)
	names, err := sortedNames(dir)
	if err != nil {
		return err
	}
	for _, n := range names {
		if len(*list) >= maxUpper {
			return fmt.Errorf("more than %d files were changed", maxUpper)
		}
		if err := p.scanName(int(dir.Fd()), n, path.Join(name, n), list); err != nil {
			return err
		}
	}
	return nil
}

func (p *initProcess) scanName(dir int, base, full string, list *[]upperItem) error {
	var st unix.Stat_t
	if err := unix.Fstatat(dir, base, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return &fs.PathError{Op: "scan", Path: full, Err: err}
	}
	if !attributable(st.Mode) {
		item, err := p.plainItem(dir, base, full, &st)
		*list = append(*list, item)
		return err
	}
	fd, err := unix.Openat(dir, base, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return &fs.PathError{Op: "scan", Path: full, Err: err}
	}
	if st.Mode&unix.S_IFMT == unix.S_IFDIR {
		return p.scanDir(os.NewFile(uintptr(fd), full), full, list)
	}
	item, err := openItem(fd, full)
	*list = append(*list, item)
	if err := errors.Join(err, unix.Close(fd)); err != nil {
		return &fs.PathError{Op: "scan", Path: full, Err: err}
	}
	return nil
}

func newItem(name string, st *unix.Stat_t) upperItem {
	item := upperItem{Path: name, Mode: st.Mode, MTime: st.Mtim.Sec, Ino: st.Ino, Links: uint64(st.Nlink)}
	if st.Mode&unix.S_IFMT == unix.S_IFREG {
		item.Size = st.Size
	}
	return item
}

// plainItem is a symbolic link, a special file or a whiteout (character device
// 0/0). Its owner is known to the supervisor by the number that the inode has
// in the merged root.
func (p *initProcess) plainItem(dir int, base, full string, st *unix.Stat_t) (upperItem, error) {
	item := newItem(full, st)
	if st.Mode&unix.S_IFMT == unix.S_IFCHR {
		if st.Rdev != 0 {
			return item, fmt.Errorf("scan %s: device %d:%d in the upper layer", full, unix.Major(st.Rdev), unix.Minor(st.Rdev))
		}
		item.Whiteout = true
		return item, nil
	}
	var merged unix.Stat_t
	if err := unix.Fstatat(p.supervisor.root, full, &merged, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return item, &fs.PathError{Op: "scan", Path: full, Err: err}
	}
	if o, ok := p.supervisor.heldOwner(merged.Ino); ok {
		item.Owner = &o
	}
	var err error
	if st.Mode&unix.S_IFMT == unix.S_IFLNK {
		item.Target, err = readLink(dir, base)
	}
	return item, err
}

// openItem describes an open regular file or directory.
func openItem(fd int, name string) (upperItem, error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return upperItem{}, err
	}
	item := newItem(name, &st)
	xattrs, err := readXattrs(fd)
	if err != nil {
		return item, err
	}
	for _, x := range xattrs {
		if err := item.take(x); err != nil {
			return item, err
		}
	}
	return item, nil
}

// take sorts one attribute of the upper layer.
func (item *upperItem) take(x tree.Xattr) error {
	switch x.Name {
	case ownerXattr:
		o, err := parseOwner(string(x.Value))
		item.Owner = &o
		return err
	case deviceXattr:
		d, err := parseDevice(string(x.Value))
		item.Device = &d
		return err
	case "user.overlay.opaque":
		item.Opaque = string(x.Value) == "y"
	case "user.overlay.whiteout":
		item.Whiteout = true
	case "user.overlay.redirect", "user.overlay.metacopy":
		return fmt.Errorf("overlay mark %s, which the mount does not ask for", x.Name)
	case capabilityXattr:
		value, err := plainCapability(x.Value)
		item.Xattrs = append(item.Xattrs, tree.Xattr{Name: x.Name, Value: value})
		return err
	default:
		if !internalXattr(x.Name) && kept(x.Name) {
			item.Xattrs = append(item.Xattrs, x)
		}
	}
	return nil
}

// kept reports whether an attribute is the file's and not of the host (labels
// of its security modules).
func kept(name string) bool {
	return strings.HasPrefix(name, "user.") || strings.HasPrefix(name, "system.posix_acl_")
}

// readXattrs gives all attributes of an open file, sorted by name.
func readXattrs(fd int) ([]tree.Xattr, error) {
	n, err := unix.Flistxattr(fd, nil)
	if n == 0 || errors.Is(err, unix.ENOTSUP) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	names := make([]byte, n)
	if n, err = unix.Flistxattr(fd, names); err != nil {
		return nil, err
	}
	var list []tree.Xattr
	for name := range bytes.SplitSeq(bytes.TrimRight(names[:n], "\x00"), []byte{0}) {
		value := make([]byte, 64<<10) // the kernel's limit, XATTR_SIZE_MAX
		n, err := unix.Fgetxattr(fd, string(name), value)
		if err != nil {
			return nil, fmt.Errorf("read attribute %s: %w", name, err)
		}
		list = append(list, tree.Xattr{Name: string(name), Value: bytes.Clone(value[:n])})
	}
	slices.SortFunc(list, func(a, b tree.Xattr) int { return strings.Compare(a.Name, b.Name) })
	return list, nil
}

func sortedNames(dir *os.File) ([]string, error) {
	names, err := dir.Readdirnames(-1)
	slices.Sort(names)
	return names, err
}
