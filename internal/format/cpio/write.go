package cpio

import (
	"errors"
	"fmt"
	"io"
	"math"
	"path"

	"ashlar/internal/foundation/tree"
)

// Options of Write. The zero value works.
type Options struct {
	// MTimeLimit is the latest modification time written, in seconds since
	// 1970; later ones become it. 0: times stay as they are.
	MTimeLimit int64
	// Align has the bodies of files stand at multiples of it, a power of two of
	// at most 512: more NULs follow their names, as with the kernel's own
	// gen_init_cpio. 0: at multiples of 4, as everything.
	Align int
}

// Write writes the tree as one newc archive, entries in the order of
// tree.Paths, so that a directory stands before what it holds. Every entry but
// the root needs its parent directory in the tree.
func Write(w io.Writer, t *tree.Tree, opt Options) error {
	const maxAlign = 512
	if opt.Align&(opt.Align-1) != 0 || opt.Align < 0 || opt.Align > maxAlign {
		return fmt.Errorf("write cpio archive: bodies at multiples of %d: want a power of two of at most %d", opt.Align, maxAlign)
	}
	aw := &writer{w: w, limit: opt.MTimeLimit, align: int64(opt.Align)}
	links, err := countLinks(t)
	if err != nil {
		return err
	}
	err = t.Walk(func(e *tree.Entry) error {
		if err := aw.entry(t, e, links); err != nil {
			return fmt.Errorf("write cpio member %s: %w", e.Path, err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	end := header{nlink: 1}
	if err := aw.member(end, trailer); err != nil {
		return fmt.Errorf("write cpio trailer: %w", err)
	}
	return nil
}

// linkSet is one inode with several names.
type linkSet struct {
	names int // names in all
	left  int // names not yet written
	ino   uint32
}

// countLinks gives the names of every inode that a hard link points to, keyed
// by the path of its entry.
func countLinks(t *tree.Tree) (map[string]*linkSet, error) {
	sets := map[string]*linkSet{}
	err := t.Walk(func(e *tree.Entry) error {
		if e.Kind != tree.HardLink {
			return nil
		}
		owner := t.Get(e.Target)
		if owner == nil || owner.Kind == tree.HardLink || owner.Kind == tree.Dir {
			return fmt.Errorf("write cpio member %s: hard link to %s, which is no file of the tree", e.Path, e.Target)
		}
		set := sets[e.Target]
		if set == nil {
			set = &linkSet{names: 1, left: 1}
			sets[e.Target] = set
		}
		set.names++
		set.left++
		return nil
	})
	return sets, err
}

type writer struct {
	w     io.Writer
	limit int64
	align int64
	at    int64 // bytes written
	ino   uint32
	buf   []byte
}

func (aw *writer) entry(t *tree.Tree, e *tree.Entry, links map[string]*linkSet) error {
	name, inode := e.Path, e
	if e.Kind == tree.HardLink {
		inode = t.Get(e.Target)
	}
	if err := checkParent(t, name); err != nil {
		return err
	}
	h, err := aw.header(inode)
	if err != nil {
		return err
	}
	set := links[inode.Path]
	if set == nil {
		aw.ino++
		h.ino = aw.ino
		return aw.whole(h, name, inode)
	}
	if set.ino == 0 {
		aw.ino++
		set.ino = aw.ino
	}
	set.left--
	h.ino, h.nlink = set.ino, uint32(set.names)
	if set.left > 0 && inode.Kind == tree.File {
		h.size = 0
		return aw.member(h, name)
	}
	return aw.whole(h, name, inode)
}

func checkParent(t *tree.Tree, name string) error {
	if name == "." {
		return nil
	}
	dir := path.Dir(name)
	switch e := t.Get(dir); {
	case e == nil && dir == ".": // the root may stay unsaid: it always exists
		return nil
	case e == nil:
		return fmt.Errorf("parent directory %s is missing", dir)
	case e.Kind != tree.Dir:
		return fmt.Errorf("parent %s is a %s, not a directory", dir, e.Kind)
	}
	return nil
}

// header gives the fields of an inode, all but its number.
func (aw *writer) header(e *tree.Entry) (header, error) {
	h := header{mode: e.Mode, uid: e.UID, gid: e.GID, nlink: 1}
	if e.Mode&^modePerm != 0 {
		return h, fmt.Errorf("mode %#o has bits beyond %#o", e.Mode, modePerm)
	}
	if len(e.Xattrs) > 0 {
		return h, fmt.Errorf("has extended attribute %s, which newc cannot hold", e.Xattrs[0].Name)
	}
	mtime := e.MTime
	if aw.limit != 0 {
		mtime = min(mtime, aw.limit)
	}
	if mtime < 0 || mtime > math.MaxUint32 {
		return h, fmt.Errorf("time %d is not between 1970 and 2106", mtime)
	}
	h.mtime = uint32(mtime)
	switch e.Kind {
	case tree.File:
		if e.Size < 0 || e.Size > math.MaxUint32 {
			return h, fmt.Errorf("%d bytes, newc holds at most 4 GiB", e.Size)
		}
		h.mode |= modeFile
		h.size = uint32(e.Size)
	case tree.Dir:
		h.mode |= modeDir
		h.nlink = 2
	case tree.Symlink:
		if len(e.Target) == 0 || len(e.Target) >= maxTarget {
			return h, fmt.Errorf("symbolic link of %d bytes, want 1 to %d", len(e.Target), maxTarget-1)
		}
		h.mode |= modeSymlink
		h.size = uint32(len(e.Target))
	case tree.CharDevice:
		h.mode |= modeChar
		h.major, h.minor = e.Major, e.Minor
	case tree.BlockDevice:
		h.mode |= modeBlock
		h.major, h.minor = e.Major, e.Minor
	case tree.Fifo:
		h.mode |= modeFifo
	case tree.Socket:
		h.mode |= modeSocket
	default:
		return h, fmt.Errorf("cannot write a %s", e.Kind)
	}
	return h, nil
}

// whole writes a member with its body.
func (aw *writer) whole(h header, name string, e *tree.Entry) error {
	if err := aw.member(h, name); err != nil {
		return err
	}
	switch e.Kind {
	case tree.Symlink:
		if _, err := io.WriteString(aw.w, e.Target); err != nil {
			return err
		}
	case tree.File:
		if err := copyExactly(aw.w, e); err != nil {
			return err
		}
	}
	return aw.pad(int64(h.size))
}

// member writes a header and the name.
func (aw *writer) member(h header, name string) error {
	if name == trailer && h.ino != 0 {
		return errors.New("the name would end the archive")
	}
	if len(name)+1 > maxName {
		return fmt.Errorf("name of %d bytes, at most %d", len(name), maxName-1)
	}
	nameSize := len(name) + 1
	if aw.align > 4 && h.mode&modeType == modeFile && h.size > 0 {
		body := (aw.at + headerSize + int64(nameSize) + aw.align - 1) &^ (aw.align - 1)
		nameSize = int(body - aw.at - headerSize)
	}
	if nameSize > maxName {
		return fmt.Errorf("name of %d bytes with what aligns the body, at most %d", nameSize, maxName)
	}
	h.nameSize = uint32(nameSize)
	aw.buf = append(h.append(aw.buf[:0]), name...)
	aw.buf = append(aw.buf, make([]byte, nameSize-len(name))...)
	aw.buf = append(aw.buf, make([]byte, pad4(int64(len(aw.buf))))...)
	return aw.write(aw.buf)
}

func (aw *writer) write(data []byte) error {
	_, err := aw.w.Write(data)
	aw.at += int64(len(data))
	return err
}

func (aw *writer) pad(n int64) error {
	aw.at += n
	return aw.write(make([]byte, pad4(n)))
}

// copyExactly copies the content and fails unless it has the bytes the entry says.
func copyExactly(w io.Writer, e *tree.Entry) error {
	r, err := e.Open()
	if err != nil {
		return err
	}
	n, err := io.Copy(w, io.LimitReader(r, e.Size+1))
	if err := errors.Join(err, r.Close()); err != nil {
		return err
	}
	if n != e.Size {
		return fmt.Errorf("content gave %d bytes or more, the entry says %d", n, e.Size)
	}
	return nil
}
