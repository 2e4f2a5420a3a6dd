// Package gpt reads, writes and grows GUID partition tables on disks with
// 512-byte sectors (UEFI specification, chapter 5).
//
// What Write lays down: a protective MBR with room for 440 bytes of boot code,
// the primary header at LBA 1, an array of 128 entries of 128 bytes at LBA 2,
// and their copies at the end of the disk. The first usable LBA is 2048, which
// leaves a second place for the primary array at LBA 34: Grow switches between
// the two, so that its commit point is the writing of one sector.
//
// Left out: sector sizes other than 512, hybrid MBRs, repair.
package gpt

import (
	"fmt"
	"sort"
	"unicode/utf16"

	"ashlar/internal/foundation/uuid"
)

// Sizes of the format.
const (
	SectorSize   = 512
	BootCodeSize = 440     // bytes at the start of the MBR that are the loader's
	Alignment    = 1 << 20 // bytes; partitions of a planned disk start at multiples of it

	entrySize    = 128
	entryCount   = 128
	arraySectors = entrySize * entryCount / SectorSize
	headerSize   = 92
	nameUnits    = 36 // UTF-16 units of a partition name

	primaryHeaderLBA = 1
	arrayLBA         = 2                       // where Write puts the primary array
	otherArrayLBA    = arrayLBA + arraySectors // where Grow puts it next
	firstUsableLBA   = Alignment / SectorSize  // of tables that we write
	backupSectors    = arraySectors + 1        // backup array and header
	minSectors       = firstUsableLBA + backupSectors + 1
)

// Partition types.
const (
	textBIOSBoot  = "21686148-6449-6e6f-744e-656564454649"
	textESP       = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b"
	textLinuxData = "0fc63daf-8483-4772-8e79-3d69d8477de4"
)

// TypeBIOSBoot is the type of the partition that holds GRUB's core image.
func TypeBIOSBoot() uuid.UUID { return uuid.MustParse(textBIOSBoot) }

// TypeESP is the type of the EFI system partition.
func TypeESP() uuid.UUID { return uuid.MustParse(textESP) }

// TypeLinuxData is the type of a partition with a Linux file system.
func TypeLinuxData() uuid.UUID { return uuid.MustParse(textLinuxData) }

// Partition is one entry of the table.
type Partition struct {
	Name       string // at most 36 UTF-16 units
	Type       uuid.UUID
	GUID       uuid.UUID
	FirstLBA   uint64
	LastLBA    uint64 // inclusive
	Attributes uint64
}

// Offset is where the partition starts, in bytes.
func (p Partition) Offset() int64 { return int64(p.FirstLBA) * SectorSize }

// Size is the partition's length in bytes.
func (p Partition) Size() int64 { return int64(p.LastLBA-p.FirstLBA+1) * SectorSize }

// Table is a disk's partition table; the order of Partitions is their number.
type Table struct {
	DiskGUID   uuid.UUID
	Partitions []Partition
}

// Find gives the partition of the name, or nil.
func (t *Table) Find(name string) *Partition {
	for i := range t.Partitions {
		if t.Partitions[i].Name == name {
			return &t.Partitions[i]
		}
	}
	return nil
}

// check refuses a table that does not fit a disk of the given last usable LBA.
func (t *Table) check(firstUsable, lastUsable uint64) error {
	if len(t.Partitions) > entryCount {
		return fmt.Errorf("%d partitions, at most %d fit", len(t.Partitions), entryCount)
	}
	for i, p := range t.Partitions {
		switch {
		case p.Type.IsZero():
			return fmt.Errorf("partition %d (%s): has no type", i+1, p.Name)
		case p.FirstLBA > p.LastLBA || p.FirstLBA < firstUsable || p.LastLBA > lastUsable:
			return fmt.Errorf("partition %d (%s): sectors %d to %d are not within %d to %d",
				i+1, p.Name, p.FirstLBA, p.LastLBA, firstUsable, lastUsable)
		case len(utf16.Encode([]rune(p.Name))) > nameUnits:
			return fmt.Errorf("partition %d (%s): name is longer than %d UTF-16 units", i+1, p.Name, nameUnits)
		}
	}
	byStart := append([]Partition(nil), t.Partitions...)
	sort.Slice(byStart, func(i, j int) bool { return byStart[i].FirstLBA < byStart[j].FirstLBA })
	for i := 1; i < len(byStart); i++ {
		if byStart[i].FirstLBA <= byStart[i-1].LastLBA {
			return fmt.Errorf("partitions %s and %s overlap at sector %d", byStart[i-1].Name, byStart[i].Name, byStart[i].FirstLBA)
		}
	}
	return nil
}
