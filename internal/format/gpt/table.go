package gpt

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
)

// Read gives the table of a disk of size bytes: the primary if its checksums
// hold, else the backup in the last sector.
func Read(r io.ReaderAt, size int64) (*Table, error) {
	_, t, err := read(r, size)
	return t, err
}

func read(r io.ReaderAt, size int64) (*header, *Table, error) {
	if size < 0 {
		return nil, nil, fmt.Errorf("read partition table: a disk of %d bytes", size)
	}
	sectors := uint64(size) / SectorSize
	h, t, err := readAt(r, sectors, primaryHeaderLBA)
	if err == nil {
		return h, t, nil
	}
	if sectors > 2 {
		if h, t, err2 := readAt(r, sectors, sectors-1); err2 == nil {
			return h, t, nil
		}
	}
	return nil, nil, fmt.Errorf("read partition table: %w", err)
}

// Write lays the table down on a disk of size bytes, with at most 440 bytes of
// boot code. The disk's other bytes are left alone.
func Write(w io.WriterAt, size int64, t *Table, bootCode []byte) error {
	sectors := uint64(max(size, 0)) / SectorSize
	if sectors < minSectors {
		return fmt.Errorf("write partition table: a disk of %d bytes, at least %d are needed", size, minSectors*SectorSize)
	}
	if len(bootCode) > BootCodeSize {
		return fmt.Errorf("write partition table: boot code of %d bytes, %d fit", len(bootCode), BootCodeSize)
	}
	primary := header{self: primaryHeaderLBA, firstUsable: firstUsableLBA, array: arrayLBA, disk: t.DiskGUID}
	if err := t.check(primary.firstUsable, lastUsable(sectors)); err != nil {
		return fmt.Errorf("write partition table: %w", err)
	}
	mbr := make([]byte, SectorSize)
	copy(mbr, bootCode)
	protect(mbr, sectors)
	if err := writeBackup(w, sectors, t, primary); err != nil {
		return err
	}
	if err := writePrimary(w, sectors, t, primary); err != nil {
		return err
	}
	return writeSectors(w, 0, mbr)
}

func lastUsable(sectors uint64) uint64 { return sectors - 1 - backupSectors }

// protect puts the one protective partition into the MBR (UEFI table 5-4).
func protect(mbr []byte, sectors uint64) {
	table := mbr[446:510]
	clear(table)
	copy(table[1:], []byte{0x00, 0x02, 0x00}) // CHS of LBA 1
	table[4] = 0xee
	copy(table[5:], []byte{0xff, 0xff, 0xff})
	binary.LittleEndian.PutUint32(table[8:], 1)
	binary.LittleEndian.PutUint32(table[12:], uint32(min(sectors-1, 0xffffffff)))
	mbr[510], mbr[511] = 0x55, 0xaa
}

func writeBackup(w io.WriterAt, sectors uint64, t *Table, primary header) error {
	array := encodeArray(t.Partitions)
	backup := header{
		self: sectors - 1, other: primary.self,
		firstUsable: primary.firstUsable, lastUsable: lastUsable(sectors),
		disk: t.DiskGUID, array: sectors - backupSectors, count: entryCount, size: entrySize,
		arrayCRC: crc32.ChecksumIEEE(array),
	}
	if err := writeSectors(w, backup.array, array); err != nil {
		return err
	}
	return writeSectors(w, backup.self, backup.encode())
}

func writePrimary(w io.WriterAt, sectors uint64, t *Table, primary header) error {
	array := encodeArray(t.Partitions)
	primary.other, primary.lastUsable = sectors-1, lastUsable(sectors)
	primary.count, primary.size, primary.arrayCRC = entryCount, entrySize, crc32.ChecksumIEEE(array)
	if err := writeSectors(w, primary.array, array); err != nil {
		return err
	}
	if s, ok := w.(syncer); ok {
		if err := s.Sync(); err != nil {
			return fmt.Errorf("write partition table: %w", err)
		}
	}
	return writeSectors(w, primary.self, primary.encode())
}

func writeSectors(w io.WriterAt, lba uint64, data []byte) error {
	if _, err := w.WriteAt(data, int64(lba)*SectorSize); err != nil {
		return fmt.Errorf("write partition table: sector %d: %w", lba, err)
	}
	return nil
}
