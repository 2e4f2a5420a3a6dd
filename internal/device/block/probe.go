// Package block finds and prepares block devices without udev: it reads
// superblocks itself, listens to the kernel's uevents, attaches loop devices
// and tells the kernel of a partition that has grown.
//
// It knows ext2/3/4 superblocks, the volume descriptor of ISO 9660 and the boot
// sector of FAT, because those are the file systems that an Ashlar disk, CD or
// boot partition is mounted from; GPT names
// come from the kernel's own parser.
package block

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"strings"
)

// The ext superblock: 1024 bytes at byte 1024 of the device. Offsets from
// Documentation/filesystems/ext4/super.rst, little endian.
const (
	superOffset = 1024
	superSize   = 1024
	superMagic  = 0xEF53
	offBlocksLo = 0x4
	offLogBlock = 0x18
	offMagic    = 0x38
	offUUID     = 0x68
	offLabel    = 0x78
	labelLen    = 16
	offIncompat = 0x60
	offBlocksHi = 0x150
	incompat64  = 0x80
	maxLogBlock = 6 // 64 KiB
)

// Super is what a superblock says of its file system.
type Super struct {
	Type      string // "ext4", for all of ext2/3/4, "iso9660" or "vfat"
	UUID      string // lower case with dashes; of ISO 9660 a time, as blkid shows it
	Label     string
	BlockSize int64 // bytes
	Blocks    int64
}

// Probe reads the superblock of a device. ok is false when there is none that
// this package knows; err only tells of a device that cannot be read.
func Probe(r io.ReaderAt) (super Super, ok bool, err error) {
	buf := make([]byte, superSize)
	n, err := r.ReadAt(buf, superOffset)
	if n < superSize {
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			return Super{}, false, nil
		}
		return Super{}, false, fmt.Errorf("read superblock: %w", err)
	}
	if super, ok = parseSuper(buf); ok {
		return super, true, nil
	}
	if super, ok, err := probeISO(r); ok || err != nil {
		return super, ok, err
	}
	return probeFAT(r)
}

func parseSuper(buf []byte) (Super, bool) {
	le := binary.LittleEndian
	if len(buf) < superSize || le.Uint16(buf[offMagic:]) != superMagic {
		return Super{}, false
	}
	log := le.Uint32(buf[offLogBlock:])
	if log > maxLogBlock {
		return Super{}, false
	}
	blocks := uint64(le.Uint32(buf[offBlocksLo:]))
	if le.Uint32(buf[offIncompat:])&incompat64 != 0 {
		blocks |= uint64(le.Uint32(buf[offBlocksHi:])) << 32
	}
	const maxBlocks = 1 << 48 // the format's extents reach no further
	if blocks == 0 || blocks > maxBlocks {
		return Super{}, false
	}
	label, _, _ := bytes.Cut(buf[offLabel:offLabel+labelLen], []byte{0})
	return Super{
		Type:      "ext4",
		UUID:      formatUUID(buf[offUUID : offUUID+16]),
		Label:     strings.ToValidUTF8(string(label), "?"),
		BlockSize: 1024 << log,
		Blocks:    int64(blocks),
	}, true
}

func formatUUID(b []byte) string {
	h := hex.EncodeToString(b)
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}
