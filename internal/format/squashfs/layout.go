package squashfs

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"

	"ashlar/internal/format/imagetree"
	"ashlar/internal/foundation/tree"
)

const (
	magic          = 0x73717368 // "hsqs"
	superblockSize = 96
	padTo          = 4096 // image sizes are a multiple of it, as loop devices want
	metadataSize   = 8192 // plain bytes of a full metadata block

	minBlockSize     = 4 << 10
	maxBlockSize     = 1 << 20
	DefaultBlockSize = 256 << 10

	metadataPlain = 1 << 15 // in a metadata block's 16-bit header: not compressed
	blockPlain    = 1 << 24 // in a block's 32-bit size word: not compressed

	noFragment = 0xFFFFFFFF
	noXattr    = 0xFFFFFFFF
	noTable    = 0xFFFFFFFFFFFFFFFF

	maxIDs          = 65535             // the superblock counts them in 16 bits
	maxName         = imagetree.MaxName // the format has room for 256
	maxTarget       = imagetree.MaxTarget
	maxRun          = 256 // entries of one directory header
	headerBytes     = 12  // of a directory header
	entryBytes      = 8   // of a directory entry without its name
	listingExtra    = 3   // a directory's size counts "." and "..", as it were
	maxBasicListing = 0xFFFF - listingExtra
)

// Superblock flags.
const (
	flagPlainInodes    = 0x001
	flagPlainData      = 0x002
	flagPlainFragments = 0x008
	flagAlwaysTails    = 0x020
	flagDuplicates     = 0x040
	flagExport         = 0x080
	flagPlainXattrs    = 0x100
	flagNoXattrs       = 0x200
	flagOptions        = 0x400
	flagPlainIDs       = 0x800
)

// Inode types. The extended form of a type is extendedBy more.
const (
	typeDir     = 1
	typeFile    = 2
	typeSymlink = 3
	typeBlock   = 4
	typeChar    = 5
	typeFifo    = 6
	typeSocket  = 7
	extendedBy  = 7
)

// kindOfType gives the kind of a basic inode type.
var kindOfType = [...]tree.Kind{
	typeDir: tree.Dir, typeFile: tree.File, typeSymlink: tree.Symlink, typeBlock: tree.BlockDevice,
	typeChar: tree.CharDevice, typeFifo: tree.Fifo, typeSocket: tree.Socket,
}

func typeOfKind(k tree.Kind) uint16 {
	for t, kind := range kindOfType {
		if kind == k && t != 0 {
			return uint16(t)
		}
	}
	return 0
}

var order = binary.LittleEndian

// superblock is the first 96 bytes of an image, little-endian, in this order.
type superblock struct {
	Magic       uint32
	Inodes      uint32
	Time        uint32 // of the image's making
	BlockSize   uint32
	Fragments   uint32
	Compressor  uint16
	BlockLog    uint16
	Flags       uint16
	IDs         uint16
	Major       uint16
	Minor       uint16
	Root        uint64 // reference to the root directory's inode
	Used        uint64 // bytes of the image before the padding
	IDTable     uint64
	XattrTable  uint64
	InodeTable  uint64
	DirTable    uint64
	FragTable   uint64
	ExportTable uint64
}

func (s *superblock) encode() ([]byte, error) {
	return binary.Append(make([]byte, 0, superblockSize), order, s)
}

var errFormat = errors.New("not a squashfs 4.0 image")

func decodeSuperblock(raw []byte, size int64) (superblock, error) {
	var s superblock
	if _, err := binary.Decode(raw, order, &s); err != nil {
		return s, err
	}
	if s.Magic != magic || s.Major != 4 || s.Minor != 0 {
		return s, fmt.Errorf("%w: magic %#x, version %d.%d", errFormat, s.Magic, s.Major, s.Minor)
	}
	if err := checkBlockSize(int64(s.BlockSize)); err != nil {
		return s, err
	}
	if int(s.BlockLog) != bits.TrailingZeros32(s.BlockSize) {
		return s, fmt.Errorf("block size %d does not go with its logarithm %d", s.BlockSize, s.BlockLog)
	}
	if s.Used < superblockSize || s.Used > uint64(size) {
		return s, fmt.Errorf("the image says it has %d bytes, there are %d", s.Used, size)
	}
	if s.IDs == 0 {
		return s, errors.New("the id table is empty")
	}
	return s, s.checkTables()
}

// checkTables demands the order that the kernel demands.
func (s *superblock) checkTables() error {
	at := uint64(superblockSize)
	for _, table := range []struct {
		name     string
		start    uint64
		optional bool
	}{
		{"inode table", s.InodeTable, false},
		{"directory table", s.DirTable, false},
		{"fragment table", s.FragTable, s.Fragments == 0},
		{"export table", s.ExportTable, true},
		{"id table", s.IDTable, false},
		{"xattr table", s.XattrTable, true},
	} {
		if table.optional && (table.start == noTable || s.Fragments == 0 && table.start == s.FragTable) {
			continue
		}
		if table.start < at || table.start >= s.Used {
			return fmt.Errorf("%s starts at byte %d, want it between %d and %d", table.name, table.start, at, s.Used)
		}
		at = table.start
	}
	return nil
}

// checkBlockSize refuses what the kernel would not mount.
func checkBlockSize(n int64) error {
	if n < minBlockSize || n > maxBlockSize || n&(n-1) != 0 {
		return fmt.Errorf("block size %d: want a power of two from %d to %d", n, minBlockSize, maxBlockSize)
	}
	return nil
}

// reference is a place in metadata.
func reference(block uint64, offset int) uint64 { return block<<16 | uint64(offset) }
