// Package grub makes GRUB 2's core image for the BIOS (platform i386-pc) and
// puts it in place, from the files that Debian's grub-pc-bin has in
// usr/lib/grub/i386-pc: what grub-mkimage and grub-bios-setup do.
//
// Vocabulary. The boot code is boot.img, the first 440 bytes of the disk; it
// loads one sector, the first of the core image. That sector is diskboot.img
// with a list of the blocks that hold the rest: a decompressor
// (lzma_decompress.img) and, in raw LZMA, the payload: GRUB's kernel and after
// it the modules, the embedded configuration and the prefix.
//
// Facts of the format are from GRUB's include/grub/offsets.h,
// include/grub/kernel.h and include/grub/i386/pc/{boot,memory}.h, versions
// 2.06 and 2.12; integers are little-endian.
//
// On a CD the BIOS loads the El Torito boot image: cdboot.img, which loads what
// follows it, a core image. The same core image is found by the boot code when
// the CD's image lies on a disk.
//
// Not done: PXE images, Reed-Solomon redundancy (its field stays
// zero, the decompressor then skips the repair), signed modules, a memory disk.
package grub

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// SectorSize is the size of the disk sectors that the block list counts.
const SectorSize = 512

// BootCodeSize is the part of sector 0 that belongs to the boot code; the
// disk signature and the partition table follow.
const BootCodeSize = 440

// MaxCore bounds a core image: it is loaded at 0x8000 and must end, as
// grub-mkimage counts, 0x9000 + size, below 0x78000.
const MaxCore = 0x78000 - linkAddress

// MaxFile bounds each file that is read.
const MaxFile = 4 << 20

// Places in the images.
const (
	bootDrive      = 0x64               // boot.img: u8, 0xff: the drive the BIOS names
	bootSector     = 0x5c               // boot.img: u64, sector of the core image
	bootDriveCheck = 0x66               // boot.img: a 2-byte jump over the repair of a wrong drive
	firstBlock     = SectorSize - 12    // diskboot.img: u64 sector, u16 sectors, u16 segment
	segmentRest    = 0x800 + (512 >> 4) // where diskboot.img loads the rest
	linkAddress    = 0x9000             // of kernel.img
	compressedLen  = SectorSize + 0x08  // core image: u32
	unpackedLen    = SectorSize + 0x0c  // core image: u32
	redundancyLen  = SectorSize + 0x10  // core image: u32, Reed-Solomon bytes
	minDecompress  = 0x1c               // the header of lzma_decompress.img
	nops           = uint16(0x90)<<8 | 0x90
)

// Input says what a core image is made of.
type Input struct {
	Read    func(name string) ([]byte, error) // a file of usr/lib/grub/i386-pc: "kernel.img", "normal.mod"
	Modules []string                          // without ".mod"; what they depend on is added
	Prefix  string                            // $prefix, "(,gpt3)/boot/grub"; empty: none
	Config  []byte                            // run before normal mode by the simple parser; empty: none
}

func (in Input) read(name string) ([]byte, error) {
	data, err := in.Read(name)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	if len(data) > MaxFile {
		return nil, fmt.Errorf("read %s: %d bytes, at most %d are expected", name, len(data), MaxFile)
	}
	return data, nil
}

// CoreImage makes a core image as grub-mkimage does. It is not bound to a
// place on the disk yet: see Install.
func CoreImage(in Input) ([]byte, error) {
	core, err := coreImage(in)
	if err != nil {
		return nil, fmt.Errorf("make GRUB core image: %w", err)
	}
	return core, nil
}

func coreImage(in Input) ([]byte, error) {
	first, err := in.read("diskboot.img")
	if err != nil {
		return nil, err
	}
	if len(first) != SectorSize {
		return nil, fmt.Errorf("diskboot.img: %d bytes, want %d", len(first), SectorSize)
	}
	decompressor, err := in.read("lzma_decompress.img")
	if err != nil {
		return nil, err
	}
	if len(decompressor) < minDecompress {
		return nil, fmt.Errorf("lzma_decompress.img: %d bytes are too few", len(decompressor))
	}
	payload, err := in.payload()
	if err != nil {
		return nil, err
	}
	packed, err := compress(payload)
	if err != nil {
		return nil, err
	}
	core := bytes.Join([][]byte{first, decompressor, packed}, nil)
	if len(core) > MaxCore {
		return nil, fmt.Errorf("%d bytes, at most %d can be loaded: leave modules out", len(core), MaxCore)
	}
	binary.LittleEndian.PutUint32(core[compressedLen:], uint32(len(packed)))
	binary.LittleEndian.PutUint32(core[unpackedLen:], uint32(len(payload)))
	binary.LittleEndian.PutUint32(core[redundancyLen:], 0)
	return core, nil
}

// Install binds a core image to the sector coreLBA of a hard disk, where it
// must be written in one piece. It returns the boot code for the first
// BootCodeSize bytes of the disk and the core image to write, in whole sectors.
func Install(boot, core []byte, coreLBA uint64) (mbr, installed []byte, err error) {
	switch {
	case len(boot) != SectorSize || boot[510] != 0x55 || boot[511] != 0xaa:
		return nil, nil, fmt.Errorf("install GRUB: boot.img: not a boot sector")
	case len(core) <= SectorSize+minDecompress || len(core) > MaxCore:
		return nil, nil, fmt.Errorf("install GRUB: core image: %d bytes, want %d to %d", len(core), SectorSize+minDecompress+1, MaxCore)
	case coreLBA == 0 || coreLBA+MaxCore/SectorSize < coreLBA:
		return nil, nil, fmt.Errorf("install GRUB: sector %d cannot hold the core image", coreLBA)
	}
	mbr = bytes.Clone(boot[:BootCodeSize])
	binary.LittleEndian.PutUint64(mbr[bootSector:], coreLBA)
	mbr[bootDrive] = 0xff
	// Some BIOSes pass a floppy's number when they boot a hard disk. Without
	// the jump, boot.img corrects it; right for every disk that is no floppy.
	binary.LittleEndian.PutUint16(mbr[bootDriveCheck:], nops)

	sectors := (len(core) + SectorSize - 1) / SectorSize
	installed = make([]byte, sectors*SectorSize)
	copy(installed, core)
	binary.LittleEndian.PutUint64(installed[firstBlock:], coreLBA+1)
	binary.LittleEndian.PutUint16(installed[firstBlock+8:], uint16(sectors-1))
	binary.LittleEndian.PutUint16(installed[firstBlock+10:], segmentRest)
	return mbr, installed, nil
}
