package ext4

import (
	"encoding/binary"
	"fmt"
)

// counts are the totals that the superblock tells.
type counts struct {
	freeBlocks, freeInodes uint64
}

// superblock gives the copy for a group (struct ext4_super_block).
func (w *writer) superblock(group uint64, c counts) []byte {
	le := binary.LittleEndian
	b := make([]byte, superSize)
	l, reserved := w.l, w.l.blocks*uint64(w.opt.ReservedPercent)/100
	now := uint32(w.opt.Epoch)
	for at, v := range map[int]uint32{
		0x00: uint32(l.groups * l.inodesPerGroup), 0x04: uint32(l.blocks), 0x08: uint32(reserved),
		0x0c: uint32(c.freeBlocks), 0x10: uint32(c.freeInodes),
		0x18: 2, 0x1c: 2, // block size, as a power of two above 1024
		0x20: blocksPerGroup, 0x24: blocksPerGroup, 0x28: uint32(l.inodesPerGroup),
		0x30: now, 0x40: now, 0x108: now, // written, checked, made
		0x4c: 1, 0x54: inodeLostFound,
		0x5c:  compatJournal | compatXattr | compatResizeInode | compatDirIndex,
		0x60:  incompatFileType | incompatExtents | incompat64Bit | incompatFlexBG,
		0x64:  roSparseSuper | roLargeFile | roHugeFile | roDirNlink | roExtraIsize | roMetadataCsum,
		0xe0:  inodeJournal,
		0x100: 0xc, // mount with attributes and access lists
		0x150: uint32(l.blocks >> 32), 0x154: uint32(reserved >> 32), 0x158: uint32(c.freeBlocks >> 32),
		0x160: 1, // directory hashes take characters as signed
	} {
		le.PutUint32(b[at:], v)
	}
	for at, v := range map[int]uint16{
		0x36: 0xffff,                       // no check after a number of mounts
		0x38: superMagic, 0x3a: 1, 0x3c: 1, // clean; go on after errors
		0x58: inodeSize, 0x5a: uint16(group), 0xce: uint16(l.reservedGDT),
		0xfe: descSize, 0x15c: extraSize, 0x15e: extraSize,
	} {
		le.PutUint16(b[at:], v)
	}
	copy(b[0x68:0x78], w.opt.UUID[:])
	copy(b[0x78:0x88], w.opt.Label)
	copy(b[0xec:0xfc], w.opt.HashSeed[:])
	b[0xfc], b[0xfd] = 1, 1 // half MD4; a copy of the journal's inode follows below
	copy(b[0x10c:], w.journal.area[:])
	le.PutUint32(b[0x10c+60:], uint32(w.journal.size>>32))
	le.PutUint32(b[0x10c+64:], uint32(w.journal.size))
	b[0x174], b[0x175] = logFlex, 1 // CRC-32C
	le.PutUint32(b[0x3fc:], crc(crcStart, b[:0x3fc]))
	return b
}

// groupState is what a group's descriptor counts.
type groupState struct {
	blockBitmap, inodeBitmap []byte
	freeBlocks, freeInodes   uint64
	dirs, unusedTail         uint64 // directories; inodes at the end of the table never used
}

// descriptor gives a group's descriptor (struct ext4_group_desc).
func (w *writer) descriptor(group uint64, s groupState) []byte {
	le := binary.LittleEndian
	b := make([]byte, descSize)
	split32 := func(low, high int, v uint64) {
		le.PutUint32(b[low:], uint32(v))
		le.PutUint32(b[high:], uint32(v>>32))
	}
	split16 := func(low, high int, v uint64) {
		le.PutUint16(b[low:], uint16(v))
		le.PutUint16(b[high:], uint16(v>>16))
	}
	split32(0x00, 0x20, w.l.blockBitmap[group])
	split32(0x04, 0x24, w.l.inodeBitmap[group])
	split32(0x08, 0x28, w.l.inodeTable[group])
	split16(0x0c, 0x2c, s.freeBlocks)
	split16(0x0e, 0x2e, s.freeInodes)
	split16(0x10, 0x30, s.dirs)
	le.PutUint16(b[0x12:], 0x4) // the inode table is zeroed
	split16(0x18, 0x38, uint64(crc(w.seed, s.blockBitmap)))
	split16(0x1a, 0x3a, uint64(crc(w.seed, s.inodeBitmap[:w.l.inodesPerGroup/8])))
	split16(0x1c, 0x32, s.unusedTail)
	sum := crc(crc(w.seed, le.AppendUint32(nil, uint32(group))), b)
	le.PutUint16(b[0x1e:], uint16(sum))
	return b
}

// state reckons a group's bitmaps and counts.
func (w *writer) state(group uint64) groupState {
	per := w.l.inodesPerGroup
	s := groupState{
		blockBitmap: w.a.used[group*blockSize : (group+1)*blockSize],
		inodeBitmap: make([]byte, blockSize),
		freeBlocks:  w.a.freeIn(group),
	}
	first := group * per // inode numbers start at 1: slot i holds inode first+i+1
	used := min(per, w.inodes()-min(w.inodes(), first))
	for i := range uint64(8 * blockSize) {
		if i < used || i >= per {
			s.inodeBitmap[i/8] |= 1 << (i % 8)
		}
	}
	s.freeInodes, s.unusedTail = per-used, per-used
	for _, n := range w.nodes {
		if number := uint64(n.number) - 1; n.mode&modeMask == modeDir && number >= first && number < first+per {
			s.dirs++
		}
	}
	return s
}

// groupsOut writes bitmaps, descriptors and superblocks.
func (w *writer) groupsOut() error {
	var total counts
	gdt := make([]byte, w.l.gdtBlocks*blockSize)
	for g := range w.l.groups {
		s := w.state(g)
		total.freeBlocks += s.freeBlocks
		total.freeInodes += s.freeInodes
		copy(gdt[g*descSize:], w.descriptor(g, s))
		if err := w.block(w.l.blockBitmap[g], s.blockBitmap); err != nil {
			return err
		}
		if err := w.block(w.l.inodeBitmap[g], s.inodeBitmap); err != nil {
			return err
		}
	}
	for _, g := range append(backupGroups(w.l), 0) {
		if err := w.block(groupStart(g)+1, gdt); err != nil {
			return err
		}
		off := int64(groupStart(g)) * blockSize
		if g == 0 {
			off = superOffset
		}
		if _, err := w.w.WriteAt(w.superblock(g, total), off); err != nil {
			return fmt.Errorf("superblock of group %d: %w", g, err)
		}
	}
	return nil
}
