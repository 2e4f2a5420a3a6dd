package erofs

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"

	"ashlar/internal/foundation/tree"
)

// found is an inode as it stands in the image.
type found struct {
	entry  tree.Entry
	nid    uint64
	layout int
	size   int64
	data   uint32
	end    int64 // place behind inode and xattrs
}

// inode reads the inode of a number.
func (r *Reader) inode(nid uint64) (*found, error) {
	if nid > math.MaxInt64/(2*slotSize) {
		return nil, fmt.Errorf("nid %d is beyond the image", nid)
	}
	f := &found{nid: nid}
	if err := r.readInode(f, int64(r.super.MetaBlock)<<blockBits+int64(nid)*slotSize); err != nil {
		return nil, fmt.Errorf("inode %d: %w", nid, err)
	}
	return f, nil
}

func (r *Reader) readInode(f *found, place int64) error {
	raw := make([]byte, compactSize, extendedSize)
	if err := r.at(raw, place); err != nil {
		return err
	}
	format := order.Uint16(raw)
	if format&^0xf != 0 || format>>1 > layoutChunks {
		return fmt.Errorf("format %#x is not known", format)
	}
	f.layout = int(format >> 1)
	var x extendedInode
	if format&1 != 0 {
		raw = raw[:extendedSize]
		if err := r.at(raw, place); err != nil {
			return err
		}
		if _, err := binary.Decode(raw, order, &x); err != nil {
			return err
		}
	} else {
		var c compactInode
		if _, err := binary.Decode(raw, order, &c); err != nil {
			return err
		}
		x = extendedInode{Xattrs: c.Xattrs, Mode: c.Mode, Size: uint64(c.Size), Data: c.Data, UID: uint32(c.UID), GID: uint32(c.GID), MTime: int64(r.super.BuildTime)}
	}
	if err := f.set(x); err != nil {
		return err
	}
	f.end = place + int64(len(raw))
	if x.Xattrs == 0 {
		return nil
	}
	size := xattrHeader + 4*(int64(x.Xattrs)-1)
	var err error
	f.entry.Xattrs, err = r.xattrs(f.end, size)
	f.end += size
	return err
}

// set takes the fields of an inode over.
func (f *found) set(x extendedInode) error {
	kind, err := kindOfMode(x.Mode)
	if err != nil {
		return err
	}
	f.size, f.data = int64(x.Size), x.Data
	if f.size < 0 || blocksOf(f.size) > maxBlocks {
		return fmt.Errorf("size %d", x.Size)
	}
	f.entry = tree.Entry{Kind: kind, Mode: uint32(x.Mode & 0o7777), UID: x.UID, GID: x.GID, MTime: x.MTime}
	switch kind {
	case tree.File:
		f.entry.Size = f.size
	case tree.CharDevice, tree.BlockDevice:
		f.entry.Major, f.entry.Minor = deviceOf(x.Data)
	}
	return nil
}

// target reads the text of a symbolic link.
func (r *Reader) target(f *found) (string, error) {
	if f.size == 0 || f.size > maxTarget {
		return "", fmt.Errorf("symbolic link of %d bytes, want 1 to %d", f.size, maxTarget)
	}
	content, err := r.content(f)
	if err != nil {
		return "", err
	}
	text, err := io.ReadAll(content)
	return string(text), err
}
