package erofs

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"ashlar/internal/format/imagetree"
	"ashlar/internal/foundation/tree"
	"ashlar/internal/foundation/uuid"
)

// BlockSize is the size of blocks, in bytes: the only one that all kernels take.
const BlockSize = 4096

const (
	blockBits      = 12
	magic          = 0xE0F5E1E2
	superOffset    = 1024
	superblockSize = 128
	slotSize       = 32 // inodes start at multiples of it; a nid counts them
	compactSize    = 32
	extendedSize   = 64
	direntSize     = 12
	maxName        = imagetree.MaxName
	maxTarget      = imagetree.MaxTarget
	MaxLabel       = 15        // bytes of a volume's name
	nullBlock      = 1<<32 - 1 // address of a chunk of zeros that is not stored
	maxBlocks      = 1<<32 - 1
)

// Features of the superblock: a kernel that does not know an incompatible one refuses to mount.
const (
	compatChecksum = 0x1
	compatMTime    = 0x2

	incompatZeroPadding = 0x01 // since Linux 5.4
	incompatConfigs     = 0x02 // 5.13; big clusters have the same bit
	incompatChunked     = 0x04 // 5.15
	incompatDevices     = 0x08 // the same bit as the second algorithm, 5.16
	incompatTails       = 0x10 // 5.17
	incompatDedupe      = 0x20 // 6.1; the same bit as fragments

	incompatKnown = incompatZeroPadding | incompatConfigs | incompatChunked | incompatDevices | incompatTails | incompatDedupe
)

// Layouts of an inode's data.
const (
	layoutPlain        = 0 // whole blocks one after the other
	layoutFullIndex    = 1 // compressed, an index of 8 bytes for each logical block
	layoutInline       = 2 // whole blocks, the rest behind the inode
	layoutCompactIndex = 3 // compressed, an index of 2 or 4 bytes for each logical block
	layoutChunks       = 4
)

// Bits of a chunked inode's format.
const (
	chunkBitsMask = 0x1f
	chunkIndexes  = 0x20 // entries of 8 bytes, else of 4
)

// File types of directory entries.
var kindOfType = [...]tree.Kind{
	1: tree.File, 2: tree.Dir, 3: tree.CharDevice, 4: tree.BlockDevice, 5: tree.Fifo, 6: tree.Socket, 7: tree.Symlink,
}

// Types in st_mode.
var modeOfKind = map[tree.Kind]uint16{
	tree.File: 0o100000, tree.Dir: 0o040000, tree.Symlink: 0o120000, tree.CharDevice: 0o020000,
	tree.BlockDevice: 0o060000, tree.Fifo: 0o010000, tree.Socket: 0o140000,
}

func typeOfKind(k tree.Kind) uint8 {
	for t, kind := range kindOfType {
		if kind == k && t != 0 {
			return uint8(t)
		}
	}
	return 0
}

func kindOfMode(mode uint16) (tree.Kind, error) {
	for _, k := range kindOfType[1:] {
		if modeOfKind[k] == mode&0o170000 {
			return k, nil
		}
	}
	return 0, fmt.Errorf("mode %#o has no type", mode)
}

var order = binary.LittleEndian

// superblock stands at byte 1024 (struct erofs_super_block of the kernel's fs/erofs/erofs_fs.h).
type superblock struct {
	Magic       uint32
	Checksum    uint32 // see checksum
	Compat      uint32
	BlockBits   uint8
	ExtraSlots  uint8 // the superblock is longer by so many times 16 bytes
	RootNid     uint16
	Inodes      uint64
	BuildTime   uint64 // of compact inodes, too
	BuildNsec   uint32
	Blocks      uint32
	MetaBlock   uint32 // where nid 0 is
	XattrBlock  uint32 // where shared xattr 0 is
	UUID        uuid.UUID
	Label       [16]byte
	Incompat    uint32
	Algorithms  uint16 // bit mask
	Devices     uint16
	DeviceSlot  uint16
	DirBits     uint8
	Prefixes    uint8
	PrefixStart uint32
	PackedNid   uint64
	Filter      uint8
	_           [23]byte
}

// encode gives the first block of an image.
func (s *superblock) encode(configs []byte) ([]byte, error) {
	block := make([]byte, BlockSize)
	s.Checksum = 0
	if _, err := binary.Encode(block[superOffset:], order, s); err != nil {
		return nil, err
	}
	copy(block[superOffset+superblockSize:], configs)
	order.PutUint32(block[superOffset+4:], checksum(block))
	return block, nil
}

// checksum is CRC-32C without the last inversion, over the first block from the
// superblock on, with 0 where the checksum stands.
func checksum(block []byte) uint32 {
	raw := bytes.Clone(block[superOffset:])
	clear(raw[4:8])
	return ^crc32.Checksum(raw, crc32.MakeTable(crc32.Castagnoli))
}

var errFormat = errors.New("not an EROFS image")

// decodeSuperblock takes the first block of an image of size bytes.
func decodeSuperblock(block []byte, size int64) (superblock, error) {
	var s superblock
	if _, err := binary.Decode(block[superOffset:], order, &s); err != nil {
		return s, err
	}
	switch {
	case s.Magic != magic:
		return s, fmt.Errorf("%w: magic %#x", errFormat, s.Magic)
	case s.BlockBits != blockBits:
		return s, fmt.Errorf("blocks of 2^%d bytes: only %d bytes are read", s.BlockBits, BlockSize)
	case s.Compat&compatChecksum != 0 && s.Checksum != checksum(block):
		return s, fmt.Errorf("the superblock has checksum %#x, want %#x", checksum(block), s.Checksum)
	case s.Incompat&^incompatKnown != 0:
		return s, fmt.Errorf("features %#x are not known", s.Incompat&^incompatKnown)
	case s.Incompat&incompatDevices != 0 && s.Devices > 0:
		return s, errors.New("images on several devices are not read")
	case s.DirBits != 0:
		return s, fmt.Errorf("directory blocks of 2^%d blocks are not read", s.DirBits)
	case int64(s.Blocks) > size>>blockBits:
		return s, fmt.Errorf("the image says it has %d blocks, there are %d", s.Blocks, size>>blockBits)
	}
	return s, nil
}

// compactInode and extendedInode are the two forms of an inode. Data is the
// address of the first block, the number of compressed blocks, the device or the chunk format.
type (
	compactInode struct {
		Format uint16
		Xattrs uint16
		Mode   uint16
		Links  uint16
		Size   uint32
		_      uint32
		Data   uint32
		Number uint32
		UID    uint16
		GID    uint16
		_      uint32
	}
	extendedInode struct {
		Format uint16
		Xattrs uint16
		Mode   uint16
		_      uint16
		Size   uint64
		Data   uint32
		Number uint32
		UID    uint32
		GID    uint32
		MTime  int64
		Nsec   uint32
		Links  uint32
		_      [16]byte
	}
)

// device packs numbers as the kernel's new_encode_dev does.
func device(major, minor uint32) uint32 { return minor&0xff | major<<8 | minor&^0xff<<12 }

func deviceOf(d uint32) (major, minor uint32) { return d >> 8 & 0xfff, d&0xff | d>>12&^0xff }

// alignUp rounds up to a multiple of a power of two.
func alignUp(n, to int64) int64 { return (n + to - 1) &^ (to - 1) }

func blocksOf(size int64) int64 { return (size + BlockSize - 1) >> blockBits }
