package target

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"ashlar/internal/contract/layout"
	"ashlar/internal/format/fat"
	"ashlar/internal/format/gpt"
	"ashlar/internal/format/iso9660"
	"ashlar/internal/foundation/tree"
	"ashlar/internal/foundation/uuid"
)

// The EFI system partition of a CD is FAT16: small, and every firmware reads it.
const (
	isoESPLeast = 4 * mebibyte
	isoESPSpare = mebibyte
	isoBackup   = 33 * gpt.SectorSize // the table's copy behind all else
)

// ISOInput is what a CD image is made of that is a disk image as well.
type ISOInput struct {
	Name  string // of the image
	Lock  string // digest of the lock file; with Name the root of all ids
	Epoch int64  // seconds; no time on the CD is later

	// CDImage gives the boot code and the El Torito image for a CD on which the
	// image lies at the byte; its size is always the same. nil leaves BIOS out.
	CDImage func(at int64) (mbr, image []byte, err error)
	ESP     *tree.Tree // nil leaves UEFI out
	System  *tree.Tree // the files of the CD
}

// ISOPlan says where everything goes. It is made by PlanISO.
type ISOPlan struct {
	Size  int64  `json:"size"`  // bytes of the image
	Label string `json:"label"` // of the file system
	Parts []Part `json:"parts"` // that a disk shows: the files, the EFI system partition

	iso        *iso9660.Plan
	epoch      int64
	esp        *tree.Tree
	serial     uint32
	table      gpt.Table
	mbr, image []byte
}

// ISOLabel is the label by which loader and machine find the file system: what
// the boot configuration, which is part of its content, must know before.
func ISOLabel(name, lock string) string {
	id := uuid.Derive(name, "iso", lock)
	return "ASHLAR_" + strings.ToUpper(fmt.Sprintf("%x", id[:8]))
}

// PlanISO checks the input and places the parts: ISO 9660 with its boot images,
// and over the same bytes an MBR with boot code and a GPT. Of its two partitions
// one covers the files, so that nobody writes there, the other is the EFI
// system partition.
func PlanISO(in ISOInput) (ISOPlan, error) {
	if in.System == nil || in.Name == "" || in.Lock == "" {
		return ISOPlan{}, errors.New("plan ISO image: name, lock and system tree are needed")
	}
	p := ISOPlan{Label: ISOLabel(in.Name, in.Lock), epoch: in.Epoch, esp: in.ESP}
	p.serial = serial(uuid.Derive(in.Name, "iso "+layout.PartESP, in.Lock))
	opt := iso9660.Options{VolumeID: p.Label, Epoch: in.Epoch, Spare: isoBackup}
	var err error
	if in.CDImage != nil {
		if _, p.image, err = in.CDImage(0); err != nil {
			return p, fmt.Errorf("plan ISO image: boot image: %w", err)
		}
		opt.BIOS = int64(len(p.image))
	}
	if in.ESP != nil {
		esp := content(in.ESP)
		opt.UEFI = roundUp(max(isoESPLeast, esp+esp/16+isoESPSpare))
	}
	if p.iso, err = iso9660.NewPlan(in.System, opt); err != nil {
		return p, err
	}
	p.Size = p.iso.Size
	if in.CDImage != nil {
		if p.mbr, p.image, err = in.CDImage(p.iso.BIOS.Offset); err != nil {
			return p, fmt.Errorf("plan ISO image: boot image: %w", err)
		}
		if int64(len(p.image)) != opt.BIOS || len(p.mbr) > gpt.BootCodeSize {
			return p, fmt.Errorf("plan ISO image: boot image of %d bytes and then of %d, boot code of %d", opt.BIOS, len(p.image), len(p.mbr))
		}
	}
	p.addPartitions(in)
	return p, nil
}

// addPartitions makes the partition table.
func (p *ISOPlan) addPartitions(in ISOInput) {
	p.table.DiskGUID = uuid.Derive(in.Name, "iso disk", in.Lock)
	add := func(part Part, kind uuid.UUID) {
		p.Parts = append(p.Parts, part)
		p.table.Partitions = append(p.table.Partitions, gpt.Partition{
			Name: part.Name, Type: kind, GUID: uuid.Derive(in.Name, "iso partition", part.Name, in.Lock),
			FirstLBA: uint64(part.Offset / gpt.SectorSize), LastLBA: uint64((part.Offset+part.Size)/gpt.SectorSize - 1),
		})
	}
	end := p.Size - isoBackup
	if p.esp != nil {
		end = p.iso.UEFI.Offset
	}
	end = end / mebibyte * mebibyte
	if end > gpt.Alignment {
		add(Part{Name: layout.PartCD, Format: FormatRaw, Offset: gpt.Alignment, Size: end - gpt.Alignment, Content: content(in.System)}, gpt.TypeLinuxData())
	}
	if p.esp != nil {
		add(Part{
			Name: layout.PartESP, Format: FormatFAT, Label: layout.LabelESP, UUID: fmt.Sprintf("%04X-%04X", p.serial>>16, p.serial&0xffff),
			Offset: p.iso.UEFI.Offset, Size: p.iso.UEFI.Size, Content: content(p.esp),
		}, gpt.TypeESP())
	}
}

// Write empties f and writes the image, with holes where it is zero. What a
// failed or killed Write leaves behind the caller must throw away.
func (p ISOPlan) Write(ctx context.Context, f Target) error {
	for _, size := range []int64{0, p.Size} {
		if err := f.Truncate(size); err != nil {
			return fmt.Errorf("write ISO image: %w", err)
		}
	}
	if err := p.iso.Write(ctx, f); err != nil {
		return err
	}
	if _, err := f.WriteAt(p.image, p.iso.BIOS.Offset); err != nil {
		return fmt.Errorf("write ISO image: boot image: %w", err)
	}
	if p.esp != nil {
		at := p.iso.UEFI
		err := fat.Write(ctx, io.NewOffsetWriter(f, at.Offset), p.esp, fat.Options{
			Size: at.Size, Kind: fat.FAT16, Label: layout.LabelESP, Serial: p.serial, Epoch: p.epoch, Hidden: uint32(at.Offset / gpt.SectorSize),
		})
		if err != nil {
			return fmt.Errorf("write ISO image: EFI system partition: %w", err)
		}
	}
	if err := gpt.Write(f, p.Size, &p.table, p.mbr); err != nil {
		return fmt.Errorf("write ISO image: %w", err)
	}
	return nil
}
