package target

import (
	"context"
	"fmt"
	"io"

	"ashlar/internal/format/ext4"
	"ashlar/internal/format/fat"
	"ashlar/internal/format/gpt"
)

// Write empties f and writes the disk into it, with holes where it is zero. The
// partition table comes last, so what a failed or killed Write leaves behind is
// no disk; the caller still must throw it away, or write through atomicfile.
func (p DiskPlan) Write(ctx context.Context, f Target) error {
	for _, size := range []int64{0, p.Size} {
		if err := f.Truncate(size); err != nil {
			return fmt.Errorf("write disk: %w", err)
		}
	}
	for _, part := range p.Parts {
		if err := p.writePart(ctx, io.NewOffsetWriter(f, part.Offset), part); err != nil {
			return fmt.Errorf("write disk: partition %s: %w", part.Name, err)
		}
	}
	if err := gpt.Write(f, p.Size, &p.table, p.mbr); err != nil {
		return fmt.Errorf("write disk: %w", err)
	}
	return nil
}

func (p DiskPlan) writePart(ctx context.Context, w io.WriterAt, part Part) error {
	switch part.Format {
	case FormatFAT:
		return fat.Write(ctx, w, part.tree, fat.Options{
			Size: part.Size, Kind: fat.FAT32, Label: part.Label, Serial: serial(part.id), Epoch: p.epoch,
			Hidden: uint32(part.Offset / gpt.SectorSize),
		})
	case FormatExt4:
		opt := ext4.Options{Size: part.Size, UUID: part.id, Label: part.Label, HashSeed: p.hashSeed, Epoch: p.epoch}
		if part.isState() {
			opt.JournalSize = min(stateJournal, part.Size/8)
		} else {
			opt.InodeRatio = systemInodeRatio
		}
		return ext4.Write(ctx, w, part.tree, opt)
	}
	_, err := w.WriteAt(p.core, 0)
	return err
}
