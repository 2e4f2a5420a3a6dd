package iso9660

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Platforms of El Torito's catalog.
const (
	PlatformBIOS = 0x00
	PlatformEFI  = 0xef
)

// Entries of the catalog have 32 bytes (El Torito 2.1 to 2.4).
const (
	catalogEntry  = 32
	validationID  = 1
	headerMore    = 0x90
	headerLast    = 0x91
	bootable      = 0x88
	bootInfoAt    = 8
	bootInfoEnd   = 64
	pvdBlock      = SystemArea / BlockSize
	maxEFISectors = 0xffff
)

// bootCatalog is one block: a validation entry with the first platform's
// image, and a section for the other.
func (p *Plan) bootCatalog() []byte {
	b := make([]byte, BlockSize)
	type image struct {
		platform byte
		sectors  uint16 // that firmware loads or shows as a disk; 0: to the medium's end
		at       int64
	}
	var images []image
	if p.BIOS.Size > 0 {
		images = append(images, image{PlatformBIOS, BlockSize / sectorSize, p.BIOS.Offset})
	}
	if p.UEFI.Size > 0 {
		sectors := (p.UEFI.Size + sectorSize - 1) / sectorSize
		if sectors > maxEFISectors {
			sectors = 0 // UEFI 13.3.2.1
		}
		images = append(images, image{PlatformEFI, uint16(sectors), p.UEFI.Offset})
	}
	next := b
	for i, image := range images {
		if i == 0 {
			validation(next, image.platform)
		} else {
			next[0], next[1] = headerMore, image.platform
			if i == len(images)-1 {
				next[0] = headerLast
			}
			binary.LittleEndian.PutUint16(next[2:], 1)
		}
		next[catalogEntry] = bootable
		binary.LittleEndian.PutUint16(next[catalogEntry+6:], image.sectors)
		binary.LittleEndian.PutUint32(next[catalogEntry+8:], uint32(image.at/BlockSize))
		next = next[2*catalogEntry:]
	}
	return b
}

// validation fills in the entry whose 16-bit words have the sum 0.
func validation(b []byte, platform byte) {
	b[0], b[1], b[30], b[31] = validationID, platform, 0x55, 0xaa
	binary.LittleEndian.PutUint16(b[28:], -wordSum(b[:catalogEntry]))
}

func wordSum(b []byte) (sum uint16) {
	for ; len(b) >= 2; b = b[2:] {
		sum += binary.LittleEndian.Uint16(b)
	}
	return sum
}

// SetBootInfo fills in the boot info table of an image that lies at a byte of
// the ISO image: four words from byte 8 on, the block of the volume descriptor,
// the image's block, its length in bytes and the sum of the words from byte 64
// on; 40 bytes behind them are reserved. It is mkisofs's invention, by which
// a loader finds the rest of itself.
func SetBootInfo(image []byte, at int64) error {
	switch {
	case len(image) < bootInfoEnd || len(image)%4 != 0 || int64(len(image)) > maxSection:
		return fmt.Errorf("set boot info table: image of %d bytes", len(image))
	case at%BlockSize != 0 || at < 0 || at/BlockSize > 1<<32-1:
		return errors.New("set boot info table: the image does not begin at a block")
	}
	le := binary.LittleEndian
	sum := uint32(0)
	for b := image[bootInfoEnd:]; len(b) > 0; b = b[4:] {
		sum += le.Uint32(b)
	}
	clear(image[bootInfoAt:bootInfoEnd])
	for i, word := range []uint32{pvdBlock, uint32(at / BlockSize), uint32(len(image)), sum} {
		le.PutUint32(image[bootInfoAt+4*i:], word)
	}
	return nil
}
