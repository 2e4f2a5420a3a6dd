package ext4

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"

	"ashlar/internal/foundation/uuid"
)

// FS is an open file system.
type FS struct {
	UUID          uuid.UUID
	Label         string
	Blocks        uint64
	BlockSize     int64
	NeedsRecovery bool // the journal holds changes that this reader does not see

	r              io.ReaderAt
	seed           uint32
	sums           bool // metadata has checksums
	descSize       int64
	inodeSize      int64
	inodesPerGroup uint32
	inodes         uint32
	blocksPerGroup uint32
	firstBlock     uint32
	metaBG         bool
	firstMetaBG    uint32
}

// Open reads the superblock of the file system that r holds in size bytes.
func Open(r io.ReaderAt, size int64) (*FS, error) {
	b := make([]byte, superSize)
	if _, err := r.ReadAt(b, superOffset); err != nil {
		return nil, fmt.Errorf("open ext4 file system: %w", err)
	}
	fs := &FS{r: r}
	if err := fs.super(b, size); err != nil {
		return nil, fmt.Errorf("open ext4 file system: %w", err)
	}
	return fs, nil
}

func (fs *FS) super(b []byte, size int64) error {
	le := binary.LittleEndian
	if le.Uint16(b[0x38:]) != superMagic {
		return errors.New("no ext4 superblock")
	}
	incompat, ro := le.Uint32(b[0x60:]), le.Uint32(b[0x64:])
	const known = incompatFileType | incompatRecover | incompatMetaBG | incompatExtents | incompat64Bit |
		incompatFlexBG | incompatCsumSeed | incompatLargeDir
	if unknown := incompat &^ known; unknown != 0 {
		return fmt.Errorf("features %#x are not supported", unknown)
	}
	if fs.sums = ro&roMetadataCsum != 0; fs.sums && crc(crcStart, b[:0x3fc]) != le.Uint32(b[0x3fc:]) {
		return errors.New("checksum of the superblock is wrong")
	}
	fs.NeedsRecovery = incompat&incompatRecover != 0
	fs.UUID = uuid.UUID(b[0x68:0x78])
	text, _, _ := strings.Cut(string(b[0x78:0x88]), "\x00")
	fs.Label = strings.ToValidUTF8(text, "\uFFFD")
	if fs.seed = crc(crcStart, b[0x68:0x78]); incompat&incompatCsumSeed != 0 {
		fs.seed = le.Uint32(b[0x270:])
	}
	logSize := le.Uint32(b[0x18:])
	if logSize > 6 {
		return fmt.Errorf("blocks of 2^%d KiB", logSize)
	}
	fs.BlockSize = 1024 << logSize
	fs.Blocks = uint64(le.Uint32(b[0x04:]))
	fs.descSize, fs.inodeSize = 32, 128
	if incompat&incompat64Bit != 0 {
		fs.Blocks |= uint64(le.Uint32(b[0x150:])) << 32
		fs.descSize = int64(le.Uint16(b[0xfe:]))
	}
	if le.Uint32(b[0x4c:]) >= 1 {
		fs.inodeSize = int64(le.Uint16(b[0x58:]))
	}
	fs.inodes, fs.inodesPerGroup = le.Uint32(b[0x00:]), le.Uint32(b[0x28:])
	fs.blocksPerGroup, fs.firstBlock = le.Uint32(b[0x20:]), le.Uint32(b[0x14:])
	fs.metaBG, fs.firstMetaBG = incompat&incompatMetaBG != 0, le.Uint32(b[0x104:])
	return fs.sane(size)
}

// sane refuses numbers that no file system of this size can have.
func (fs *FS) sane(size int64) error {
	switch {
	case fs.Blocks == 0 || fs.Blocks > uint64(size)/uint64(fs.BlockSize):
		return fmt.Errorf("%d blocks of %d bytes, there are %d bytes", fs.Blocks, fs.BlockSize, size)
	case fs.descSize < 32 || fs.descSize > 1024 || fs.descSize&(fs.descSize-1) != 0:
		return fmt.Errorf("group descriptors of %d bytes", fs.descSize)
	case fs.inodeSize < 128 || fs.inodeSize > fs.BlockSize || fs.inodeSize&(fs.inodeSize-1) != 0:
		return fmt.Errorf("inodes of %d bytes", fs.inodeSize)
	case fs.inodesPerGroup == 0 || int64(fs.inodesPerGroup) > 8*fs.BlockSize:
		return fmt.Errorf("%d inodes a group", fs.inodesPerGroup)
	case fs.blocksPerGroup == 0 || int64(fs.blocksPerGroup) > 8*fs.BlockSize:
		return fmt.Errorf("%d blocks a group", fs.blocksPerGroup)
	case fs.firstBlock > 1:
		return fmt.Errorf("first block %d", fs.firstBlock)
	}
	return nil
}

// block reads one block.
func (fs *FS) block(number uint64) ([]byte, error) {
	if number == 0 || number >= fs.Blocks {
		return nil, fmt.Errorf("block %d does not exist", number)
	}
	b := make([]byte, fs.BlockSize)
	_, err := fs.r.ReadAt(b, int64(number)*fs.BlockSize)
	return b, err
}

// inodeTable is the first block of a group's inode table.
func (fs *FS) inodeTable(group uint64) (uint64, error) {
	d, err := fs.descriptor(group)
	if err != nil {
		return 0, err
	}
	table := uint64(binary.LittleEndian.Uint32(d[0x08:]))
	if fs.descSize >= 64 {
		table |= uint64(binary.LittleEndian.Uint32(d[0x28:])) << 32
	}
	return table, nil
}

// descriptor reads a group's descriptor.
func (fs *FS) descriptor(group uint64) ([]byte, error) {
	perBlock := uint64(fs.BlockSize / fs.descSize)
	number := group / perBlock
	at := uint64(fs.firstBlock) + 1 + number
	if fs.metaBG && number >= uint64(fs.firstMetaBG) {
		// Descriptors lie in the first group that they describe.
		first := number * perBlock
		at = first*uint64(fs.blocksPerGroup) + uint64(fs.firstBlock)
		if hasSuper(first) {
			at++
		}
	}
	b, err := fs.block(at)
	if err != nil {
		return nil, fmt.Errorf("descriptor of group %d: %w", group, err)
	}
	return b[group%perBlock*uint64(fs.descSize):][:fs.descSize], nil
}

// node is a decoded inode.
type node struct {
	number     uint32
	mode       uint16
	uid, gid   uint32
	size       uint64
	mtime      int64
	links      uint16
	flags      uint32
	area       []byte
	xattrBlock uint64
	inInode    []byte // what is behind the fields
	seed       uint32 // of its checksums
}

// inode reads and verifies an inode.
func (fs *FS) inode(number uint32) (*node, error) {
	n, err := fs.readInode(number)
	if err != nil {
		return nil, fmt.Errorf("inode %d: %w", number, err)
	}
	return n, nil
}

func (fs *FS) readInode(number uint32) (*node, error) {
	if number == 0 || number > fs.inodes {
		return nil, errors.New("does not exist")
	}
	table, err := fs.inodeTable(uint64((number - 1) / fs.inodesPerGroup))
	if err != nil {
		return nil, err
	}
	off := int64((number-1)%fs.inodesPerGroup) * fs.inodeSize
	block, err := fs.block(table + uint64(off/fs.BlockSize))
	if err != nil {
		return nil, err
	}
	b := block[off%fs.BlockSize:][:fs.inodeSize]
	le := binary.LittleEndian
	n := &node{
		number: number, mode: le.Uint16(b), links: le.Uint16(b[0x1a:]), flags: le.Uint32(b[0x20:]),
		uid:  uint32(le.Uint16(b[0x02:])) | uint32(le.Uint16(b[0x78:]))<<16,
		gid:  uint32(le.Uint16(b[0x18:])) | uint32(le.Uint16(b[0x7a:]))<<16,
		size: uint64(le.Uint32(b[0x04:])) | uint64(le.Uint32(b[0x6c:]))<<32,
		area: b[0x28:0x64], xattrBlock: uint64(le.Uint32(b[0x68:])) | uint64(le.Uint16(b[0x76:]))<<32,
		seed: seedOf(fs.seed, number, le.Uint32(b[0x64:])),
	}
	extra := 0
	if fs.inodeSize > 128 {
		if extra = int(le.Uint16(b[0x80:])); 128+extra > len(b) {
			return nil, fmt.Errorf("%d bytes of further fields", extra)
		}
		n.inInode = b[128+extra:]
	}
	n.mtime = int64(int32(le.Uint32(b[0x10:])))
	if extra >= 12 {
		n.mtime = joinTime(le.Uint32(b[0x10:]), le.Uint32(b[0x88:]))
	}
	if fs.sums && !inodeSumHolds(b, extra, n.seed) {
		return nil, errors.New("checksum is wrong")
	}
	return n, nil
}

func inodeSumHolds(b []byte, extra int, seed uint32) bool {
	le := binary.LittleEndian
	c := append([]byte(nil), b...)
	want, mask := uint32(le.Uint16(b[0x7c:])), uint32(0xffff)
	clear(c[0x7c:0x7e])
	if extra >= 4 {
		want, mask = want|uint32(le.Uint16(b[0x82:]))<<16, 0xffffffff
		clear(c[0x82:0x84])
	}
	return crc(seed, c)&mask == want
}
