// Package ext4 writes and reads ext4 file systems (the kernel's
// Documentation/filesystems/ext4 describes the format).
//
// What Write makes is a function of its arguments: 4 KiB blocks, 256-byte
// inodes, extents, linear directories, a journal, checksums on all metadata,
// flexible groups of 16, and descriptor blocks in reserve, so that the kernel
// can grow the mounted file system. Blocks that hold zeros are not written, so
// the file stays sparse. Every feature that changes the layout is one that GRUB
// 2.06 reads.
//
// The reader takes file systems of our own and of mkfs.ext4 with extents.
//
// Left out: hashed directories (the kernel makes them when it adds to a
// directory), access lists, inline data, encryption, quota, replay of a journal.
package ext4

import (
	"hash/crc32"

	"ashlar/internal/foundation/uuid"
)

const (
	blockSize      = 4096
	blocksPerGroup = 8 * blockSize // one bitmap block's worth
	inodeSize      = 256
	extraSize      = 32 // of an inode beyond the first 128 bytes, before its attributes
	descSize       = 64
	descsPerBlock  = blockSize / descSize
	addrsPerBlock  = blockSize / 4
	logFlex        = 4
	groupsPerFlex  = 1 << logFlex
	sectorsPerBlk  = blockSize / 512 // i_blocks counts sectors

	superOffset = 1024
	superSize   = 1024
	superMagic  = 0xef53

	inodeRoot      = 2
	inodeResize    = 7
	inodeJournal   = 8
	inodeLostFound = 11 // the first that is not reserved

	lostFound       = "lost+found"
	lostFoundBlocks = 4

	minBlocks   = 2048 // 8 MiB: below that a journal does not pay
	maxSize     = 8 << 40
	defaultGrow = 1 << 40
)

// Feature bits of the superblock.
const (
	compatJournal     = 0x4
	compatXattr       = 0x8
	compatResizeInode = 0x10
	compatDirIndex    = 0x20

	incompatFileType = 0x2
	incompatRecover  = 0x4
	incompatMetaBG   = 0x10
	incompatExtents  = 0x40
	incompat64Bit    = 0x80
	incompatFlexBG   = 0x200
	incompatCsumSeed = 0x2000
	incompatLargeDir = 0x4000

	roSparseSuper  = 0x1
	roLargeFile    = 0x2
	roHugeFile     = 0x8
	roDirNlink     = 0x20
	roExtraIsize   = 0x40
	roMetadataCsum = 0x400
)

// Bits of modes and inode flags.
const (
	modeFifo    = 0x1000
	modeChar    = 0x2000
	modeDir     = 0x4000
	modeBlock   = 0x6000
	modeFile    = 0x8000
	modeSymlink = 0xa000
	modeSocket  = 0xc000
	modeMask    = 0xf000

	flagExtents    = 0x80000
	flagInlineData = 0x10000000
)

// Options says what file system Write makes. Size is needed; the rest may be zero.
type Options struct {
	Size     int64     // bytes; whole blocks are used, and a last group that is too short to serve is left out
	UUID     uuid.UUID // of the file system
	Label    string    // at most 16 bytes
	HashSeed uuid.UUID // of directory hashes
	Epoch    int64     // seconds; when the file system was made, and no time in it is later. 0 means 1970 and no bound

	ReservedPercent int   // blocks kept for root, 0 to 50
	InodeRatio      int64 // bytes of disk for each inode; 0 means 16384
	JournalSize     int64 // bytes; 0 means by size of the file system
	GrowTo          int64 // bytes up to which growing needs no change of layout; 0 means 1 TiB
}

// crc continues a CRC-32C as ext4 counts it: without the inversions at the
// start and the end that the usual form has.
func crc(seed uint32, data []byte) uint32 {
	return ^crc32.Update(^seed, crc32.MakeTable(crc32.Castagnoli), data)
}

// crcStart is the seed of sums that nothing precedes.
const crcStart = ^uint32(0)

// hasSuper reports whether the group holds a copy of the superblock and the
// descriptors: 0, 1 and the powers of 3, 5 and 7.
func hasSuper(group uint64) bool {
	if group <= 1 {
		return true
	}
	for _, base := range []uint64{3, 5, 7} {
		power := base
		for power < group {
			power *= base
		}
		if power == group {
			return true
		}
	}
	return false
}

func divUp(a, b uint64) uint64 { return (a + b - 1) / b }
