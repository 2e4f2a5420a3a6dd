// Package vhd writes disk images of the format VHD, fixed and dynamic, as
// Hyper-V and Azure take them (Microsoft, "Virtual Hard Disk Image Format
// Specification", 1.0). Numbers are big-endian, times are seconds since 2000.
//
// A fixed image is the disk and a footer of 512 bytes. A dynamic one begins with
// a copy of the footer, a header and the block allocation table; blocks of 2
// MiB follow, each behind a bitmap of its sectors, and those that are zero are
// nowhere. The bytes are a function of the disk's content and the options.
//
// Left out: differencing disks, reading.
package vhd

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"

	"ashlar/internal/format/chunked"
	"ashlar/internal/foundation/uuid"
)

const (
	sector     = 512
	footerSize = 512
	headerSize = 1024
	tableAt    = footerSize + headerSize
	blockSize  = 2 << 20
	bitmapSize = blockSize / sector / 8 // one sector
	noBlock    = 0xffffffff

	typeFixed, typeDynamic = 2, 3

	// Unit is what the size of a disk must be a multiple of for Azure, in bytes.
	Unit    = 1 << 20
	maxDisk = 2040 << 30 // the format's limit

	seconds2000 = 946684800
)

// Options says what Write makes.
type Options struct {
	Size    int64 // bytes of the disk; rounded up to whole MiB
	Fixed   bool
	ID      uuid.UUID
	Epoch   int64 // seconds since 1970: the time that the footer has
	Workers int   // 0: one
}

// DiskSize is the size of the disk in the image: whole units.
func (o Options) DiskSize() int64 { return (o.Size + Unit - 1) / Unit * Unit }

// Write makes an image of the disk that r holds, filled up with zeros to whole
// MiB. w must be empty; the footer, without which it is no image, comes last.
func Write(ctx context.Context, w io.WriterAt, r io.ReaderAt, opt Options) error {
	if err := write(ctx, w, r, opt); err != nil {
		return fmt.Errorf("write VHD image: %w", err)
	}
	return nil
}

func write(ctx context.Context, w io.WriterAt, r io.ReaderAt, opt Options) error {
	if opt.Size <= 0 || opt.DiskSize() > maxDisk {
		return fmt.Errorf("disk of %d bytes: want 1 to %d", opt.Size, int64(maxDisk))
	}
	end := opt.DiskSize()
	var err error
	if opt.Fixed {
		err = writeFixed(ctx, w, r, opt)
	} else {
		end, err = writeDynamic(ctx, w, r, opt)
	}
	if err != nil {
		return err
	}
	_, err = w.WriteAt(footer(opt), end)
	return err
}

func writeFixed(ctx context.Context, w io.WriterAt, r io.ReaderAt, opt Options) error {
	const piece = 64 << 10
	pieces := chunked.Options{Size: opt.Size, Chunk: piece, Workers: opt.Workers}
	return chunked.Each(ctx, r, pieces, func(c chunked.Chunk) error {
		if c.Zero {
			return nil
		}
		_, err := w.WriteAt(c.Data, c.Index*piece)
		return err
	})
}

// writeDynamic writes all but the last footer and gives its place.
func writeDynamic(ctx context.Context, w io.WriterAt, r io.ReaderAt, opt Options) (int64, error) {
	entries := (opt.DiskSize() + blockSize - 1) / blockSize
	table := make([]byte, (entries*4+sector-1)/sector*sector)
	for i := range table {
		table[i] = noBlock & 0xff
	}
	next := int64(tableAt + len(table))
	pieces := chunked.Options{Size: opt.Size, Chunk: blockSize, Workers: opt.Workers}
	err := chunked.Each(ctx, r, pieces, func(c chunked.Chunk) error {
		if c.Zero {
			return nil
		}
		binary.BigEndian.PutUint32(table[4*c.Index:], uint32(next/sector))
		bitmap := make([]byte, bitmapSize)
		for i := range bitmap {
			bitmap[i] = 0xff
		}
		if _, err := w.WriteAt(append(bitmap, c.Data...), next); err != nil {
			return err
		}
		next += bitmapSize + blockSize
		return nil
	})
	if err != nil {
		return 0, err
	}
	_, err = w.WriteAt(append(append(footer(opt), header(entries)...), table...), 0)
	return next, err
}

// footer is the specification's "Hard Disk Footer Format".
func footer(opt Options) []byte {
	be := binary.BigEndian
	b := make([]byte, footerSize)
	copy(b, "conectix")
	be.PutUint32(b[8:], 2)        // features: reserved, always set
	be.PutUint32(b[12:], 0x10000) // version
	be.PutUint64(b[16:], 1<<64-1) // no header
	kind := uint32(typeFixed)
	if !opt.Fixed {
		kind = typeDynamic
		be.PutUint64(b[16:], footerSize)
	}
	be.PutUint32(b[24:], uint32(max(0, opt.Epoch-seconds2000)))
	// Readers take the size from the geometry unless Windows made the image.
	copy(b[28:], "win ")
	be.PutUint32(b[32:], 0xa0000)
	copy(b[36:], "Wi2k")
	be.PutUint64(b[40:], uint64(opt.DiskSize()))
	be.PutUint64(b[48:], uint64(opt.DiskSize()))
	cylinders, heads, sectors := geometry(opt.DiskSize() / sector)
	be.PutUint16(b[56:], uint16(cylinders))
	b[58], b[59] = byte(heads), byte(sectors)
	be.PutUint32(b[60:], kind)
	copy(b[68:], opt.ID[:])
	be.PutUint32(b[64:], checksum(b))
	return b
}

// header is the "Dynamic Disk Header Format".
func header(entries int64) []byte {
	be := binary.BigEndian
	b := make([]byte, headerSize)
	copy(b, "cxsparse")
	be.PutUint64(b[8:], 1<<64-1)
	be.PutUint64(b[16:], tableAt)
	be.PutUint32(b[24:], 0x10000)
	be.PutUint32(b[28:], uint32(entries))
	be.PutUint32(b[32:], blockSize)
	be.PutUint32(b[36:], checksum(b))
	return b
}

// checksum is the complement of the sum of the bytes, while its field is zero.
func checksum(b []byte) uint32 {
	sum := uint32(0)
	for _, c := range b {
		sum += uint32(c)
	}
	return ^sum
}

// geometry is the calculation of the specification's appendix.
func geometry(total int64) (cylinders, heads, sectors int64) {
	total = min(total, 65535*16*255)
	if total >= 65535*16*63 {
		return total / 255 / 16, 16, 255
	}
	sectors = 17
	cylinderHeads := total / sectors
	heads = max((cylinderHeads+1023)/1024, 4)
	if cylinderHeads >= heads*1024 || heads > 16 {
		sectors, heads = 31, 16
		cylinderHeads = total / sectors
	}
	if cylinderHeads >= heads*1024 {
		sectors, heads = 63, 16
		cylinderHeads = total / sectors
	}
	return cylinderHeads / heads, heads, sectors
}
