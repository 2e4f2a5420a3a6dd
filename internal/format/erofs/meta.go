package erofs

import (
	"fmt"
	"math"

	"ashlar/internal/foundation/tree"
)

// firstPlace leaves nid 0 free: there are programs that take it for "none".
const firstPlace = slotSize

// writeMetadata writes listings and links that stand outside of their inodes,
// then the metadata area: the root's inode, the shared xattrs, the other inodes.
func (im *image) writeMetadata() error {
	shapes := make([]shape, len(im.plan.inodes))
	outside := make([]uint32, len(im.plan.inodes))
	next := im.at >> blockBits
	for i, n := range im.plan.inodes {
		if n.entry.Kind == tree.Dir {
			n.listing = listingOf(n)
		}
		shapes[i] = n.shape(im.opt.Epoch)
		if n.entry.Kind == tree.Dir || n.entry.Kind == tree.Symlink {
			outside[i] = uint32(next)
			next += shapes[i].blocks(n.size())
		}
	}
	sharedAt, size := im.place(shapes)
	if next+blocksOf(size) > maxBlocks {
		return fmt.Errorf("%d blocks are more than the format counts", next+blocksOf(size))
	}
	if im.plan.root.nid() > math.MaxUint16 {
		return fmt.Errorf("the root's inode at byte %d of the metadata is beyond what the superblock can say", im.plan.root.at)
	}
	im.super.MetaBlock, im.super.XattrBlock = uint32(next), uint32(next)
	im.super.RootNid = uint16(im.plan.root.nid())

	area := make([]byte, alignUp(size, BlockSize))
	ids := make([]uint32, len(im.plan.shared))
	for i, x := range im.plan.shared {
		ids[i] = uint32(sharedAt / 4)
		sharedAt += int64(copy(area[sharedAt:], x))
	}
	for i, n := range im.plan.inodes {
		if err := im.writeInode(area, n, shapes[i], outside[i], ids); err != nil {
			return err
		}
	}
	im.plan.stats.MetadataBytes += int64(len(area))
	return im.append(area)
}

// place gives all inodes their places, and the place of the shared xattrs and
// the size of all.
func (im *image) place(shapes []shape) (shared, size int64) {
	p := placer{at: firstPlace}
	for i, n := range im.plan.inodes {
		n.at = p.place(shapes[i].head, shapes[i].tail, n.entry.Kind == tree.Symlink)
		if i == 0 { // the root
			shared = p.at
			for _, x := range im.plan.shared {
				p.at += int64(len(x))
			}
		}
	}
	return shared, p.at
}

// writeInode puts an inode and its tail into the metadata area and writes
// what stands outside.
func (im *image) writeInode(area []byte, n *node, s shape, outside uint32, ids []uint32) error {
	raw, err := im.encodeInode(n, s, outside, ids)
	if err != nil {
		return err
	}
	var data []byte
	switch {
	case n.entry.Kind == tree.Dir:
		data = n.listing.encode()
	case n.entry.Kind == tree.Symlink:
		data = []byte(n.entry.Target)
	case n.content != nil:
		data = n.content.tail
	}
	whole := int64(len(data)) - s.tail
	copy(area[n.at:], append(raw, data[whole:]...))
	if whole == 0 {
		return nil
	}
	im.plan.stats.MetadataBytes += alignUp(whole, BlockSize)
	return im.append(append(data[:whole:whole], make([]byte, -whole&(BlockSize-1))...))
}
