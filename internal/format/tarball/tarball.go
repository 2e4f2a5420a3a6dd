// Package tarball writes and reads trees as tar archives of the POSIX pax form.
//
// Written is what every reader of pax understands: numbers and names that fit
// stand in the ustar header, others in extended records ("path", "linkpath",
// "size", "uid", "gid", "mtime"); extended attributes are SCHILY.xattr.NAME
// records with their raw value, as GNU tar, libarchive and OCI runtimes keep them.
// Owners are numbers only, times whole seconds. A directory's name ends in a
// slash, the root is "./" and first; what a directory holds follows it at once; two blocks of zeros end the archive. The first
// name of an inode carries its content, later ones are links to it.
//
// Left out: sockets, which tar cannot hold (they are refused), sparse files
// (zeros are written), access and change times, names of owners, global headers.
//
// The headers are made by archive/tar; what follows from a tree to them is here, and
// golden digests hold the bytes.
package tarball

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"ashlar/internal/format/imagetree"
	"ashlar/internal/foundation/tree"
)

// xattrRecord begins the key of a record that holds an extended attribute.
const xattrRecord = "SCHILY.xattr."

// Options of Write. The zero value works.
type Options struct {
	// MTimeLimit is the latest modification time written, in seconds since
	// 1970; later ones become it. 0: times stay as they are.
	MTimeLimit int64
	// Paths are the entries to write; nil is all. Parents are not added. A hard
	// link needs the entry that it points to among them.
	Paths []string
}

// Write writes the tree, or some paths of it, as one archive.
func Write(w io.Writer, t *tree.Tree, opt Options) error {
	paths := slices.Clone(opt.Paths)
	if opt.Paths == nil {
		paths = slices.Clone(t.Paths())
	}
	slices.SortFunc(paths, compareMembers)
	aw := &writer{tar: tar.NewWriter(w), limit: opt.MTimeLimit, first: map[string]string{}}
	if err := aw.checkLinks(t, paths); err != nil {
		return err
	}
	for _, name := range paths {
		if err := aw.entry(t, name); err != nil {
			return fmt.Errorf("write tar member %s: %w", name, err)
		}
	}
	if err := aw.tar.Close(); err != nil {
		return fmt.Errorf("end tar: %w", err)
	}
	return nil
}

// compareMembers orders a directory before all that it holds, and that before
// anything else: GNU tar sets a directory's time when the first member outside it comes.
func compareMembers(a, b string) int {
	if a == "." || b == "." {
		return strings.Compare(strings.TrimPrefix(a, "."), strings.TrimPrefix(b, "."))
	}
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return memberByte(a, n) - memberByte(b, n)
}

// memberByte is a path's byte as it counts in the order: the end, the slash, all others.
func memberByte(name string, i int) int {
	switch {
	case i >= len(name):
		return -1
	case name[i] == '/':
		return 0
	}
	return 1 + int(name[i])
}

type writer struct {
	tar    *tar.Writer
	limit  int64
	linked map[string]bool   // inodes with several names, by the path of their entry
	first  map[string]string // of those already written: the name that has the content
}

// checkLinks wants every hard link to lead to an inode that is written too.
func (aw *writer) checkLinks(t *tree.Tree, paths []string) error {
	aw.linked = map[string]bool{}
	for _, name := range paths {
		e := t.Get(name)
		if e == nil || e.Kind != tree.HardLink {
			continue
		}
		if owner := t.Get(e.Target); owner == nil || owner.Kind == tree.HardLink || owner.Kind == tree.Dir {
			return fmt.Errorf("write tar member %s: hard link to %s, which is no file of the tree", name, e.Target)
		}
		aw.linked[e.Target] = true
	}
	missing := make(map[string]bool, len(aw.linked))
	for target := range aw.linked {
		missing[target] = true
	}
	for _, name := range paths {
		delete(missing, name)
	}
	for _, name := range paths { // by the order of paths: the same error each time
		if e := t.Get(name); e != nil && e.Kind == tree.HardLink && missing[e.Target] {
			return fmt.Errorf("write tar member %s: hard link to %s, which is not written with it", name, e.Target)
		}
	}
	return nil
}

func (aw *writer) entry(t *tree.Tree, name string) error {
	e := t.Get(name)
	if e == nil {
		return errors.New("no such entry in the tree")
	}
	inode := e
	if e.Kind == tree.HardLink {
		inode = t.Get(e.Target)
	}
	if first := aw.first[inode.Path]; first != "" {
		return aw.tar.WriteHeader(aw.link(inode, name, first))
	}
	if aw.linked[inode.Path] {
		aw.first[inode.Path] = name
	}
	h, err := aw.header(inode)
	if err != nil {
		return err
	}
	h.Name = memberName(inode, name)
	if err := aw.tar.WriteHeader(h); err != nil {
		return err
	}
	if inode.Kind != tree.File {
		return nil
	}
	return copyExactly(aw.tar, inode)
}

// memberName is a path as it stands in the archive.
func memberName(e *tree.Entry, name string) string {
	if e.Kind == tree.Dir {
		return name + "/"
	}
	return name
}

// link is a further name of an inode. It repeats owner, mode and time: some
// readers set them again from the last name.
func (aw *writer) link(e *tree.Entry, name, first string) *tar.Header {
	return &tar.Header{Typeflag: tar.TypeLink, Name: name, Linkname: first, Format: tar.FormatPAX,
		Mode: int64(e.Mode), Uid: int(e.UID), Gid: int(e.GID), ModTime: aw.time(e)}
}

func (aw *writer) time(e *tree.Entry) time.Time {
	if aw.limit != 0 {
		return time.Unix(min(e.MTime, aw.limit), 0)
	}
	return time.Unix(e.MTime, 0)
}

// header gives the fields of an inode, all but its name.
func (aw *writer) header(e *tree.Entry) (*tar.Header, error) {
	if err := imagetree.Check(e); err != nil {
		return nil, err
	}
	h := &tar.Header{Format: tar.FormatPAX, Mode: int64(e.Mode), Uid: int(e.UID), Gid: int(e.GID), ModTime: aw.time(e)}
	switch e.Kind {
	case tree.File:
		h.Typeflag, h.Size = tar.TypeReg, e.Size
	case tree.Dir:
		h.Typeflag = tar.TypeDir
	case tree.Symlink:
		h.Typeflag, h.Linkname = tar.TypeSymlink, e.Target
	case tree.CharDevice, tree.BlockDevice:
		h.Typeflag, h.Devmajor, h.Devminor = tar.TypeBlock, int64(e.Major), int64(e.Minor)
		if e.Kind == tree.CharDevice {
			h.Typeflag = tar.TypeChar
		}
	case tree.Fifo:
		h.Typeflag = tar.TypeFifo
	default:
		return nil, fmt.Errorf("tar cannot hold a %s", e.Kind)
	}
	for _, x := range e.Xattrs {
		if x.Name == "" || strings.ContainsAny(x.Name, "=\x00") {
			return nil, fmt.Errorf("tar cannot hold the extended attribute %q", x.Name)
		}
		if h.PAXRecords == nil {
			h.PAXRecords = map[string]string{} // archive/tar writes records sorted
		}
		h.PAXRecords[xattrRecord+x.Name] = string(x.Value)
	}
	return h, nil
}

// copyExactly copies the content and fails unless it has the bytes the entry says.
func copyExactly(w io.Writer, e *tree.Entry) error {
	r, err := e.Open()
	if err != nil {
		return err
	}
	n, err := io.Copy(w, io.LimitReader(r, e.Size))
	if err == nil && n == e.Size {
		err = imagetree.AtEnd(r, e)
	} else if err == nil {
		err = fmt.Errorf("content has %d bytes, the entry says %d", n, e.Size)
	}
	return errors.Join(err, r.Close())
}
