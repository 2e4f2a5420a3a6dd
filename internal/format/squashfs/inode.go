package squashfs

import (
	"fmt"
	"math"

	"ashlar/internal/foundation/tree"
)

// inode encodes an inode: the extended form where the basic one has no room.
// A directory's listing is written to dirs on the way.
func (im *image) inode(n *node, dirs *metadataWriter) ([]byte, error) {
	switch n.entry.Kind {
	case tree.Dir:
		return im.dirInode(n, dirs)
	case tree.File:
		return im.fileInode(n)
	default:
		return im.plainInode(n)
	}
}

// head begins an inode.
func (im *image) head(n *node, extended bool) []byte {
	kind := typeOfKind(n.entry.Kind)
	if extended {
		kind += extendedBy
	}
	raw := order.AppendUint16(make([]byte, 0, 64), kind)
	raw = order.AppendUint16(raw, uint16(n.entry.Mode))
	raw = order.AppendUint16(raw, im.ids.index(n.entry.UID))
	raw = order.AppendUint16(raw, im.ids.index(n.entry.GID))
	raw = order.AppendUint32(raw, n.mtime)
	return order.AppendUint32(raw, n.number)
}

// plainInode encodes symbolic links, devices, fifos and sockets.
func (im *image) plainInode(n *node) ([]byte, error) {
	extended := n.xattr != noXattr
	raw := order.AppendUint32(im.head(n, extended), n.links)
	switch e := n.entry; e.Kind {
	case tree.Symlink:
		raw = order.AppendUint32(raw, uint32(len(e.Target)))
		raw = append(raw, e.Target...)
	case tree.CharDevice, tree.BlockDevice:
		raw = order.AppendUint32(raw, deviceNumber(e.Major, e.Minor))
	}
	if extended {
		raw = order.AppendUint32(raw, n.xattr)
	}
	return raw, nil
}

// deviceNumber packs a device's numbers as new_encode_dev of the kernel.
func deviceNumber(major, minor uint32) uint32 {
	return minor&0xff | major<<8 | minor&^0xff<<12
}

func (im *image) fileInode(n *node) ([]byte, error) {
	c := n.content
	size := uint64(n.entry.Size)
	extended := n.xattr != noXattr || n.links > 1 || c.sparse > 0 || size > math.MaxUint32 || c.start > math.MaxUint32
	raw := im.head(n, extended)
	if extended {
		raw = order.AppendUint64(raw, c.start)
		raw = order.AppendUint64(raw, size)
		raw = order.AppendUint64(raw, c.sparse)
		raw = order.AppendUint32(raw, n.links)
		raw = order.AppendUint32(raw, c.fragment)
		raw = order.AppendUint32(raw, c.offset)
		raw = order.AppendUint32(raw, n.xattr)
	} else {
		raw = order.AppendUint32(raw, uint32(c.start))
		raw = order.AppendUint32(raw, c.fragment)
		raw = order.AppendUint32(raw, c.offset)
		raw = order.AppendUint32(raw, uint32(size))
	}
	for _, word := range c.words {
		raw = order.AppendUint32(raw, word)
	}
	return raw, nil
}

func (im *image) dirInode(n *node, dirs *metadataWriter) ([]byte, error) {
	at, err := writeListing(n, dirs)
	if err != nil {
		return nil, err
	}
	parent := uint32(len(im.plan.inodes) + 1) // what the root has for a parent
	if n.parent != nil {
		parent = n.parent.number
	}
	size := at.size + listingExtra
	if size > math.MaxUint32 {
		return nil, fmt.Errorf("listing of %d bytes, the format holds 4 GiB", at.size)
	}
	extended := n.xattr != noXattr || at.size > maxBasicListing || len(at.index) > 0
	raw := im.head(n, extended)
	if !extended {
		raw = order.AppendUint32(raw, at.block)
		raw = order.AppendUint32(raw, n.links)
		raw = order.AppendUint16(raw, uint16(size))
		raw = order.AppendUint16(raw, at.offset)
		return order.AppendUint32(raw, parent), nil
	}
	raw = order.AppendUint32(raw, n.links)
	raw = order.AppendUint32(raw, uint32(size))
	raw = order.AppendUint32(raw, at.block)
	raw = order.AppendUint32(raw, parent)
	raw = order.AppendUint16(raw, uint16(len(at.index)))
	raw = order.AppendUint16(raw, at.offset)
	raw = order.AppendUint32(raw, n.xattr)
	for _, ix := range at.index {
		raw = order.AppendUint32(raw, ix.at)
		raw = order.AppendUint32(raw, ix.block)
		raw = order.AppendUint32(raw, uint32(len(ix.name)-1))
		raw = append(raw, ix.name...)
	}
	return raw, nil
}
