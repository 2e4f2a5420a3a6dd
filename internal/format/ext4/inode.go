package ext4

import (
	"encoding/binary"
	"fmt"

	"ashlar/internal/foundation/tree"
)

// inode is a file of any kind on its way to the disk.
type inode struct {
	number   uint32
	path     string      // for messages; empty for the inodes that no path names
	entry    *tree.Entry // nil for those
	mode     uint16
	links    uint32
	size     uint64
	blocks   uint64 // that it occupies, of all kinds
	flags    uint32
	area     [blockAreaSize]byte
	runs     []run
	leaves   []leaf
	children []child // of a directory
	parent   uint32

	inInode    []byte // attributes
	xattrBlock []byte
	xattrAt    uint64
}

type child struct {
	name string
	node *inode
}

// needsBlocks is how many blocks of data the inode has.
func (n *inode) needsBlocks() (uint64, error) {
	switch n.mode & modeMask {
	case modeDir:
		count, err := dirBlocks(n.children)
		if n.path == lostFound {
			count = max(count, lostFoundBlocks)
		}
		return count, err
	case modeFile:
		blocks := divUp(n.size, blockSize)
		if blocks > 1<<32-1 {
			return 0, fmt.Errorf("%d bytes are too many for a file", n.size)
		}
		return blocks, nil
	case modeSymlink:
		switch {
		case n.size < blockAreaSize:
			return 0, nil
		case n.size < blockSize:
			return 1, nil
		}
		return 0, fmt.Errorf("link text of %d bytes, at most %d are supported", n.size, blockSize-1)
	}
	return 0, nil
}

// allocate gives the inode its blocks and fills its block area.
func (n *inode) allocate(a *allocator) error {
	need, err := n.needsBlocks()
	if err != nil {
		return err
	}
	switch kind := n.mode & modeMask; {
	case kind == modeSymlink && need == 0:
		copy(n.area[:], n.entry.Target)
	case kind == modeChar || kind == modeBlock:
		if err := n.device(); err != nil {
			return err
		}
	case kind == modeFile || kind == modeDir || kind == modeSymlink:
		n.flags |= flagExtents
		if n.runs, err = a.take(need); err != nil {
			return err
		}
		if n.area, n.leaves, err = mapRuns(a, n.runs); err != nil {
			return err
		}
		n.blocks += need + uint64(len(n.leaves))
		if kind == modeDir {
			n.size = need * blockSize
		}
	}
	if n.xattrBlock != nil {
		if n.xattrAt, err = a.takeOne(); err != nil {
			return err
		}
		n.blocks++
	}
	return nil
}

// device stores the numbers in the old form when they fit 8 bits, else the new.
func (n *inode) device() error {
	major, minor := n.entry.Major, n.entry.Minor
	le := binary.LittleEndian
	switch {
	case major < 256 && minor < 256:
		le.PutUint32(n.area[0:], major<<8|minor)
	case major < 1<<12 && minor < 1<<20:
		le.PutUint32(n.area[4:], minor&0xff|major<<8|(minor&^0xff)<<12)
	default:
		return fmt.Errorf("device %d:%d: numbers are out of range", major, minor)
	}
	return nil
}

// seedOf starts the checksums of what belongs to an inode: its number and its
// generation, which is 0 in what we write.
func seedOf(seed, number, generation uint32) uint32 {
	le := binary.LittleEndian
	return crc(crc(seed, le.AppendUint32(nil, number)), le.AppendUint32(nil, generation))
}

// encode gives the inode's bytes.
func (n *inode) encode(seed uint32, epoch int64) []byte {
	le := binary.LittleEndian
	b := make([]byte, inodeSize)
	var uid, gid uint32
	mtime := epoch
	if n.entry != nil {
		uid, gid, mtime = n.entry.UID, n.entry.GID, n.entry.MTime
	}
	if epoch != 0 {
		mtime = min(mtime, epoch)
	}
	le.PutUint16(b[0x00:], n.mode)
	le.PutUint16(b[0x02:], uint16(uid))
	le.PutUint32(b[0x04:], uint32(n.size))
	le.PutUint16(b[0x18:], uint16(gid))
	le.PutUint16(b[0x1a:], uint16(n.links))
	if n.mode&modeMask == modeDir && n.links > 65000 {
		le.PutUint16(b[0x1a:], 1) // dir_nlink: not counted any more
	}
	le.PutUint32(b[0x1c:], uint32(n.blocks*sectorsPerBlk))
	le.PutUint32(b[0x20:], n.flags)
	copy(b[0x28:], n.area[:])
	le.PutUint32(b[0x68:], uint32(n.xattrAt))
	le.PutUint32(b[0x6c:], uint32(n.size>>32))
	le.PutUint16(b[0x74:], uint16(n.blocks*sectorsPerBlk>>32))
	le.PutUint16(b[0x76:], uint16(n.xattrAt>>32))
	le.PutUint16(b[0x78:], uint16(uid>>16))
	le.PutUint16(b[0x7a:], uint16(gid>>16))
	le.PutUint16(b[0x80:], extraSize)
	// access, change, modification, making: one time, and its bits 32 and 33
	for _, at := range [][2]int{{0x08, 0x8c}, {0x0c, 0x84}, {0x10, 0x88}, {0x90, 0x94}} {
		low, extra := splitTime(mtime)
		le.PutUint32(b[at[0]:], low)
		le.PutUint32(b[at[1]:], extra)
	}
	copy(b[128+extraSize:], n.inInode)
	sum := crc(seedOf(seed, n.number, 0), b)
	le.PutUint16(b[0x7c:], uint16(sum))
	le.PutUint16(b[0x82:], uint16(sum>>16))
	return b
}

// splitTime gives the 32 bits that have always been there, which count as
// signed, and the field that adds multiples of 2^32 in its two lowest bits.
// Times outside of 1901 to 2446 become the nearest.
func splitTime(seconds int64) (low, extra uint32) {
	seconds = min(max(seconds, -1<<31), 1<<34-1<<31-1)
	low = uint32(seconds)
	return low, uint32((seconds-int64(int32(low)))>>32) & 3
}

func joinTime(low, extra uint32) int64 { return int64(int32(low)) + int64(extra&3)<<32 }
