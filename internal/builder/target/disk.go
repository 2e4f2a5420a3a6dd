// Package target turns trees into what a machine boots from.
//
// A disk is planned first, so that sizes and places can be shown, then
// written: a GPT with, in this order, GRUB's core image for BIOS, the EFI system
// partition (FAT32), the system partition and the state partition (ext4), the
// state last because the machine grows it. All ids derive from the image's name
// and its lock.
package target

import (
	"errors"
	"fmt"
	"io"

	"ashlar/internal/contract/layout"
	"ashlar/internal/format/gpt"
	"ashlar/internal/foundation/tree"
	"ashlar/internal/foundation/uuid"
)

const (
	mebibyte         = 1 << 20
	biosSize         = mebibyte
	espLeast         = 36 * mebibyte // FAT32 needs at least 65525 clusters of 512 bytes
	systemSpare      = 64 * mebibyte
	systemLeast      = 32 * mebibyte
	stateLeast       = 16 * mebibyte
	stateDefault     = 64 * mebibyte
	generations      = 3         // that the system partition has room for when no size is given
	systemInodeRatio = 64 * 1024 // its files are few and large
	stateJournal     = 8 * mebibyte
)

// Formats of partitions.
const (
	FormatRaw  = "raw"
	FormatFAT  = "vfat"
	FormatExt4 = "ext4"
)

// DiskInput is what a disk is made of.
type DiskInput struct {
	Name  string // of the image
	Lock  string // digest of the lock file; with Name the root of all ids
	Epoch int64  // seconds; no time on the disk is later

	// BootCode gives the boot sector's 440 bytes and the core image for a disk
	// where the core image starts at the sector; nil leaves BIOS out.
	BootCode func(coreLBA uint64) (mbr, core []byte, err error)
	ESP      *tree.Tree // nil leaves UEFI out
	System   *tree.Tree
	State    *tree.Tree // nil: empty

	SystemSize int64 // bytes; 0 is room for three generations of System's size
	StateSize  int64 // bytes; 0 is 64 MiB
}

// Part is one partition of a plan.
type Part struct {
	Name    string `json:"name"`
	Format  string `json:"format"`
	Label   string `json:"label,omitempty"`
	UUID    string `json:"uuid,omitempty"` // of the file system, as blkid shows it
	Offset  int64  `json:"offset"`         // bytes
	Size    int64  `json:"size"`           // bytes
	Content int64  `json:"content"`        // bytes of files, or of the core image

	tree *tree.Tree
	id   uuid.UUID
}

// DiskPlan says where everything goes. It is made by PlanDisk.
type DiskPlan struct {
	Size  int64  `json:"size"` // bytes of the image
	Parts []Part `json:"parts"`

	epoch     int64
	hashSeed  uuid.UUID
	table     gpt.Table
	mbr, core []byte
}

// FileSystemUUID is the id of the file system on the partition of that name
// (layout.PartSystem, layout.PartState): what the boot configuration, which is
// part of the disk's content, must know before the disk is planned.
func FileSystemUUID(name, part, lock string) uuid.UUID { return uuid.Derive(name, part, lock) }

// PlanDisk checks the input and places the partitions.
func PlanDisk(in DiskInput) (DiskPlan, error) {
	p := DiskPlan{epoch: in.Epoch, hashSeed: uuid.Derive(in.Name, "hash", in.Lock)}
	if in.System == nil || in.Name == "" || in.Lock == "" {
		return p, errors.New("plan disk: name, lock and system tree are needed")
	}
	p.table.DiskGUID = uuid.Derive(in.Name, "disk", in.Lock)
	next := int64(gpt.Alignment)
	add := func(part Part, kind uuid.UUID) {
		part.Offset, part.id = next, FileSystemUUID(in.Name, part.Name, in.Lock)
		next += part.Size
		part.UUID = uuidText(part)
		p.Parts = append(p.Parts, part)
		p.table.Partitions = append(p.table.Partitions, gpt.Partition{
			Name: part.Name, Type: kind, GUID: uuid.Derive(in.Name, "partition", part.Name, in.Lock),
			FirstLBA: uint64(part.Offset / gpt.SectorSize), LastLBA: uint64(next/gpt.SectorSize - 1),
		})
	}
	if in.BootCode != nil {
		var err error
		if p.mbr, p.core, err = in.BootCode(uint64(next / gpt.SectorSize)); err != nil {
			return p, fmt.Errorf("plan disk: boot code: %w", err)
		}
		if len(p.mbr) > gpt.BootCodeSize || len(p.core) > biosSize {
			return p, fmt.Errorf("plan disk: boot sector of %d bytes and core image of %d, %d and %d fit",
				len(p.mbr), len(p.core), gpt.BootCodeSize, biosSize)
		}
		add(Part{Name: layout.PartBIOSBoot, Format: FormatRaw, Size: biosSize, Content: int64(len(p.core))}, gpt.TypeBIOSBoot())
	}
	for _, row := range fileSystems(in) {
		if row.part.tree == nil {
			continue
		}
		if row.part.Size < row.least {
			return p, fmt.Errorf("plan disk: partition %s of %d bytes: at least %d are needed", row.part.Name, row.part.Size, row.least)
		}
		add(row.part, row.kind)
	}
	p.Size = next + gpt.Alignment
	return p, nil
}

// fsRow is a partition with a file system: what it is and the least it may be.
type fsRow struct {
	part  Part
	kind  uuid.UUID
	least int64
}

// fileSystems is the table of the partitions behind the core image.
func fileSystems(in DiskInput) []fsRow {
	state, stateSize, systemSize := in.State, in.StateSize, in.SystemSize
	if state == nil {
		state = &tree.Tree{}
	}
	if stateSize == 0 {
		stateSize = stateDefault
	}
	system := content(in.System)
	if systemSize == 0 {
		systemSize = generations*system + systemSpare
	}
	var esp int64
	if in.ESP != nil {
		esp = content(in.ESP)
	}
	return []fsRow{
		{Part{Name: layout.PartESP, Format: FormatFAT, Label: layout.LabelESP, Size: roundUp(max(espLeast, esp+esp/8+4*mebibyte)), Content: esp, tree: in.ESP},
			gpt.TypeESP(), espLeast},
		{Part{Name: layout.PartSystem, Format: FormatExt4, Label: layout.LabelSystem, Size: roundUp(systemSize), Content: system, tree: in.System},
			gpt.TypeLinuxData(), systemLeast},
		{Part{Name: layout.PartState, Format: FormatExt4, Label: layout.LabelState, Size: roundUp(stateSize), Content: content(state), tree: state},
			gpt.TypeLinuxData(), stateLeast},
	}
}

// content is the space that files take, in blocks of 4 KiB.
func content(t *tree.Tree) int64 {
	const block = 4096
	total := int64(0)
	for _, p := range t.Paths() {
		total += (t.Get(p).Size + block - 1) / block * block
	}
	return total
}

func roundUp(n int64) int64 { return (n + mebibyte - 1) / mebibyte * mebibyte }

// serial is the FAT volume id: the first 4 bytes of the UUID.
func serial(id uuid.UUID) uint32 {
	return uint32(id[0])<<24 | uint32(id[1])<<16 | uint32(id[2])<<8 | uint32(id[3])
}

func uuidText(p Part) string {
	switch p.Format {
	case FormatFAT:
		s := serial(p.id)
		return fmt.Sprintf("%04X-%04X", s>>16, s&0xffff)
	case FormatExt4:
		return p.id.String()
	}
	return ""
}

// Target is a file to write an image into; *os.File is one.
type Target interface {
	io.WriterAt
	Truncate(size int64) error
}

func (p Part) isState() bool { return p.Name == layout.PartState }
