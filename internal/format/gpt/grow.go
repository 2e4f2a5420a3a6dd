package gpt

import (
	"errors"
	"fmt"
	"io"
)

// Disk is what Grow works on: an open block device or image file.
type Disk interface {
	io.ReaderAt
	io.WriterAt
}

type syncer interface{ Sync() error }

// Grow makes the table fit a disk that has become size bytes long: the backup
// goes to the new end, and the named partition, which must be the last on the
// disk, takes all space up to the last whole mebibyte. It gives the table as it
// is afterwards and whether anything was changed.
//
// At every moment the disk holds a primary table that is old or new: the new
// array goes to a place that the old header does not use, then one sector, the
// header, is written. That needs a table made by Write; on others (no room for
// a second array before the first partition) Grow refuses. A disk with a Sync
// method is flushed before and after the commit.
func Grow(disk Disk, size int64, name string) (*Table, bool, error) {
	h, t, err := read(disk, size)
	if err != nil {
		return nil, false, err
	}
	if err := growable(h, t, name); err != nil {
		return nil, false, fmt.Errorf("grow partition %q: %w", name, err)
	}
	sectors := uint64(size) / SectorSize
	p := t.Find(name)
	end := (lastUsable(sectors)+1)/firstUsableLBA*firstUsableLBA - 1
	if end <= p.LastLBA && h.self == primaryHeaderLBA && h.other == sectors-1 {
		return t, false, nil
	}
	p.LastLBA = max(p.LastLBA, end)
	if p.LastLBA > lastUsable(sectors) {
		return nil, false, fmt.Errorf("grow partition %q: the disk of %d bytes is too small for the table", name, size)
	}
	next := header{self: primaryHeaderLBA, firstUsable: firstUsableLBA, array: otherArrayLBA, disk: t.DiskGUID}
	if h.array == otherArrayLBA {
		next.array = arrayLBA
	}
	if err := commit(disk, sectors, t, next); err != nil {
		return nil, false, err
	}
	return t, true, nil
}

func growable(h *header, t *Table, name string) error {
	p := t.Find(name)
	if p == nil {
		return errors.New("the disk has no such partition")
	}
	for _, other := range t.Partitions {
		if other.FirstLBA > p.FirstLBA {
			return fmt.Errorf("partition %q lies behind it", other.Name)
		}
		if other.FirstLBA < firstUsableLBA {
			return fmt.Errorf("partition %q starts at sector %d, within the first mebibyte", other.Name, other.FirstLBA)
		}
	}
	if h.count != entryCount || h.size != entrySize {
		return fmt.Errorf("the table has %d entries of %d bytes, want %d of %d", h.count, h.size, entryCount, entrySize)
	}
	return nil
}

func commit(disk Disk, sectors uint64, t *Table, next header) error {
	mbr := make([]byte, SectorSize)
	if _, err := disk.ReadAt(mbr, 0); err != nil {
		return fmt.Errorf("write partition table: %w", err)
	}
	if err := writeBackup(disk, sectors, t, next); err != nil {
		return err
	}
	if err := writePrimary(disk, sectors, t, next); err != nil {
		return err
	}
	protect(mbr, sectors)
	if err := writeSectors(disk, 0, mbr); err != nil {
		return err
	}
	if s, ok := disk.(syncer); ok {
		if err := s.Sync(); err != nil {
			return fmt.Errorf("write partition table: %w", err)
		}
	}
	return nil
}
