package target

import (
	"encoding/binary"
	"fmt"
	"io"

	"ashlar/internal/format/ext4"
	"ashlar/internal/format/fat"
	"ashlar/internal/format/gpt"
	"ashlar/internal/foundation/tree"
	"ashlar/internal/foundation/uuid"
)

// Disk is a disk image that is read.
type Disk struct {
	GUID       uuid.UUID
	Partitions []Partition
}

// Partition is one partition with its content.
type Partition struct {
	gpt.Partition
	Format string // FormatRaw when it holds no file system that we know
	Label  string
	UUID   string     // of the file system, as blkid shows it
	Offset int64      // bytes
	Size   int64      // bytes
	Tree   *tree.Tree // nil when raw; contents are read from the image when opened
}

// Find gives the partition of the name, or nil.
func (d *Disk) Find(name string) *Partition {
	for i := range d.Partitions {
		if d.Partitions[i].Name == name {
			return &d.Partitions[i]
		}
	}
	return nil
}

// OpenDisk reads the partition table and lists the file systems of a disk image
// of size bytes. r must stay open as long as contents are read.
func OpenDisk(r io.ReaderAt, size int64) (*Disk, error) {
	table, err := gpt.Read(r, size)
	if err != nil {
		return nil, fmt.Errorf("open disk: %w", err)
	}
	d := &Disk{GUID: table.DiskGUID}
	for _, entry := range table.Partitions {
		p := Partition{Partition: entry, Format: FormatRaw, Offset: entry.Offset(), Size: entry.Size()}
		if err := p.open(io.NewSectionReader(r, p.Offset, p.Size)); err != nil {
			return nil, fmt.Errorf("open disk: partition %s: %w", p.Name, err)
		}
		d.Partitions = append(d.Partitions, p)
	}
	return d, nil
}

// open finds the format by its magic numbers; what has them must be sound.
func (p *Partition) open(r io.ReaderAt) error {
	head := make([]byte, min(2048, p.Size))
	if _, err := r.ReadAt(head, 0); err != nil {
		return err
	}
	switch {
	case len(head) == 2048 && binary.LittleEndian.Uint16(head[1080:]) == 0xef53:
		fs, err := ext4.Open(r, p.Size)
		if err != nil {
			return err
		}
		p.Format, p.Label, p.UUID = FormatExt4, fs.Label, fs.UUID.String()
		p.Tree, err = fs.Tree()
		return err
	case head[510] == 0x55 && head[511] == 0xaa && p.Type == gpt.TypeESP():
		fs, err := fat.Open(r, p.Size)
		if err != nil {
			return err
		}
		p.Format, p.Label, p.UUID = FormatFAT, fs.Label, fmt.Sprintf("%04X-%04X", fs.Serial>>16, fs.Serial&0xffff)
		p.Tree, err = fs.Tree()
		return err
	}
	return nil
}
