package squashfs

import (
	"fmt"
	"math"

	"ashlar/internal/foundation/tree"
)

// inodeHead is what all inodes begin with.
type inodeHead struct {
	Type   uint16
	Mode   uint16
	UID    uint16 // index of the id table
	GID    uint16
	Time   uint32
	Number uint32
}

// The bodies of inodes, basic and extended.
type (
	basicDir struct {
		Block  uint32
		Links  uint32
		Size   uint16
		Offset uint16
		Parent uint32
	}
	extendedDir struct {
		Links  uint32
		Size   uint32
		Block  uint32
		Parent uint32
		Index  uint16
		Offset uint16
		Xattr  uint32
	}
	basicFile struct {
		Start    uint32
		Fragment uint32
		Offset   uint32
		Size     uint32
	}
	extendedFile struct {
		Start    uint64
		Size     uint64
		Sparse   uint64
		Links    uint32
		Fragment uint32
		Offset   uint32
		Xattr    uint32
	}
	linkHead struct {
		Links uint32
		Size  uint32
	}
	device struct {
		Links  uint32
		Number uint32
	}
)

// found is a decoded inode.
type found struct {
	entry tree.Entry // all but Path and Source
	ref   uint64
	dir   extendedDir
	file  extendedFile
	words *cursor // stands before the size words of a file's blocks
}

// inode reads the inode at a reference.
func (r *Reader) inode(ref uint64) (*found, error) {
	f, err := r.readInode(ref)
	if err != nil {
		return nil, fmt.Errorf("inode %#x: %w", ref, err)
	}
	return f, nil
}

func (r *Reader) readInode(ref uint64) (*found, error) {
	if ref>>16 >= r.super.DirTable-r.super.InodeTable {
		return nil, fmt.Errorf("stands beyond the inode table")
	}
	c := r.cursor(r.super.InodeTable+ref>>16, int(ref&0xFFFF))
	var head inodeHead
	if err := c.value(&head); err != nil {
		return nil, err
	}
	basic, extended := head.Type, false
	if basic > extendedBy {
		basic, extended = basic-extendedBy, true
	}
	if basic == 0 || int(basic) >= len(kindOfType) {
		return nil, fmt.Errorf("type %d is none that the format knows", head.Type)
	}
	if int(head.UID) >= len(r.ids) || int(head.GID) >= len(r.ids) {
		return nil, fmt.Errorf("owner %d or group %d is beyond the %d ids", head.UID, head.GID, len(r.ids))
	}
	f := &found{ref: ref, entry: tree.Entry{
		Kind: kindOfType[basic], Mode: uint32(head.Mode) & 0o7777,
		UID: r.ids[head.UID], GID: r.ids[head.GID], MTime: int64(head.Time),
	}}
	xattr, err := r.inodeBody(c, f, extended)
	if err != nil {
		return nil, err
	}
	f.entry.Xattrs, err = r.xattrs(xattr)
	return f, err
}

// inodeBody reads what follows the head and gives the index of the attributes.
func (r *Reader) inodeBody(c *cursor, f *found, extended bool) (uint32, error) {
	xattr := uint32(noXattr)
	var err error
	switch f.entry.Kind {
	case tree.Dir:
		err = readDirBody(c, f, extended)
		xattr = f.dir.Xattr
	case tree.File:
		err = readFileBody(c, f, extended)
		xattr = f.file.Xattr
	case tree.Symlink:
		err = readLinkBody(c, f)
	case tree.CharDevice, tree.BlockDevice:
		var d device
		err = c.value(&d)
		f.entry.Major, f.entry.Minor = d.Number>>8&0xfff, d.Number&0xff|d.Number>>12&0xfff00
	default:
		var links uint32
		err = c.value(&links)
	}
	if err == nil && extended && f.entry.Kind != tree.Dir && f.entry.Kind != tree.File {
		err = c.value(&xattr)
	}
	return xattr, err
}

func readDirBody(c *cursor, f *found, extended bool) error {
	if extended {
		if err := c.value(&f.dir); err != nil {
			return err
		}
	} else {
		var b basicDir
		if err := c.value(&b); err != nil {
			return err
		}
		f.dir = extendedDir{Size: uint32(b.Size), Block: b.Block, Offset: b.Offset, Xattr: noXattr}
	}
	if f.dir.Size < listingExtra {
		return fmt.Errorf("directory of size %d, want at least %d", f.dir.Size, listingExtra)
	}
	return nil
}

func readFileBody(c *cursor, f *found, extended bool) error {
	if extended {
		if err := c.value(&f.file); err != nil {
			return err
		}
	} else {
		var b basicFile
		if err := c.value(&b); err != nil {
			return err
		}
		f.file = extendedFile{Start: uint64(b.Start), Size: uint64(b.Size), Fragment: b.Fragment, Offset: b.Offset, Xattr: noXattr}
	}
	if f.file.Size > math.MaxInt64 {
		return fmt.Errorf("file of %d bytes", f.file.Size)
	}
	f.entry.Size = int64(f.file.Size)
	f.words = c
	return nil
}

func readLinkBody(c *cursor, f *found) error {
	var head linkHead
	if err := c.value(&head); err != nil {
		return err
	}
	if head.Size == 0 || head.Size > math.MaxUint16 {
		return fmt.Errorf("symbolic link of %d bytes", head.Size)
	}
	var err error
	f.entry.Target, err = c.text(int(head.Size))
	return err
}
