package imagetest

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"ashlar/internal/foundation/tree"
)

// HostTree takes a directory of the host as a tree: what a kernel or a foreign
// tool made is compared by it, and real trees are written from it.
func HostTree(t testing.TB, dir string) *tree.Tree {
	t.Helper()
	tr := &tree.Tree{}
	first := map[[2]uint64]string{}
	err := filepath.WalkDir(dir, func(host string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, host)
		if err != nil {
			return err
		}
		var st unix.Stat_t
		if err := unix.Lstat(host, &st); err != nil {
			return err
		}
		e, err := hostEntry(rel, host, &st)
		if err != nil {
			return err
		}
		if id := [2]uint64{st.Dev, st.Ino}; e.Kind != tree.Dir && st.Nlink > 1 {
			if owner, ok := first[id]; ok {
				e = tree.Entry{Path: rel, Kind: tree.HardLink, Target: owner}
			} else {
				first[id] = rel
			}
		}
		return tr.Put(e)
	})
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

func hostEntry(rel, host string, st *unix.Stat_t) (tree.Entry, error) {
	e := tree.Entry{Path: rel, Mode: st.Mode & 0o7777, UID: st.Uid, GID: st.Gid, MTime: st.Mtim.Sec}
	var err error
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		e.Kind = tree.Dir
	case unix.S_IFREG:
		e.Kind, e.Size, e.Source = tree.File, st.Size, tree.HostFile(host)
	case unix.S_IFLNK:
		e.Kind = tree.Symlink
		e.Target, err = os.Readlink(host)
	case unix.S_IFCHR:
		e.Kind, e.Major, e.Minor = tree.CharDevice, unix.Major(st.Rdev), unix.Minor(st.Rdev)
	case unix.S_IFBLK:
		e.Kind, e.Major, e.Minor = tree.BlockDevice, unix.Major(st.Rdev), unix.Minor(st.Rdev)
	case unix.S_IFIFO:
		e.Kind = tree.Fifo
	case unix.S_IFSOCK:
		e.Kind = tree.Socket
	}
	if err != nil {
		return e, err
	}
	e.Xattrs, err = hostXattrs(host)
	return e, err
}

func hostXattrs(host string) ([]tree.Xattr, error) {
	list := make([]byte, 64<<10)
	n, err := unix.Llistxattr(host, list)
	if errors.Is(err, unix.ENOTSUP) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var set []tree.Xattr
	for _, name := range strings.Split(strings.Trim(string(list[:n]), "\x00"), "\x00") {
		if name == "" {
			continue
		}
		value := make([]byte, 64<<10)
		n, err := unix.Lgetxattr(host, name, value)
		if err != nil {
			return nil, err
		}
		set = append(set, tree.Xattr{Name: name, Value: value[:n:n]})
	}
	sort.Slice(set, func(i, j int) bool { return set[i].Name < set[j].Name })
	return set, nil
}
