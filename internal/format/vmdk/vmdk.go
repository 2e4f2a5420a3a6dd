// Package vmdk writes disk images of the format VMDK, type streamOptimized:
// what VMware's tools import and OVF packages carry (VMware, "Virtual Disk
// Format 5.0"). Numbers are little-endian, places and sizes in sectors of 512 bytes.
//
// The image is a stream: a header that says that the directory is at the end, a
// descriptor in text, grains of 64 KiB, each compressed by deflate behind a
// marker, a grain table behind those of its 512 grains that are not zero, the grain directory, a footer
// with its place. The bytes are a function of the disk's content, the options
// and the version of the compressor, which go.mod pins.
//
// Left out: the other types, reading.
package vmdk

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"

	"github.com/klauspost/compress/zlib"

	"ashlar/internal/format/chunked"
)

const (
	sector       = 512
	magic        = 0x564d444b // "KDMV"
	version      = 3
	grain        = 64 << 10
	grainSectors = grain / sector
	perTable     = 512 // grains
	tableBytes   = perTable * 4

	flagNewLine    = 1 << 0
	flagCompressed = 1 << 16
	flagMarkers    = 1 << 17
	deflate        = 1
	atEnd          = 1<<64 - 1 // place of a directory that the footer knows

	descriptorAt, descriptorSectors = 1, 20
	overhead                        = 128 // sectors before the first grain

	markerEnd, markerTable, markerDirectory, markerFooter = 0, 1, 2, 3

	maxDisk = 2 << 40
)

// Options says what Write makes.
type Options struct {
	Size    int64  // bytes of the disk, whole sectors
	ID      uint32 // of the content: CID
	Workers int    // 0: one
}

// writer is one run of Write.
type writer struct {
	w         io.Writer
	at        int64 // sectors written
	table     []byte
	filled    bool // table has a grain
	directory []uint32
}

// Write makes an image of the disk that r holds.
func Write(ctx context.Context, w io.Writer, r io.ReaderAt, opt Options) error {
	if opt.Size <= 0 || opt.Size%sector != 0 || opt.Size > maxDisk {
		return fmt.Errorf("write VMDK image: disk of %d bytes: want whole sectors of %d, at most %d", opt.Size, sector, int64(maxDisk))
	}
	v := &writer{w: w, table: make([]byte, tableBytes)}
	if err := v.write(ctx, r, opt); err != nil {
		return fmt.Errorf("write VMDK image: %w", err)
	}
	return nil
}

func (v *writer) write(ctx context.Context, r io.ReaderAt, opt Options) error {
	start := make([]byte, overhead*sector)
	copy(start, header(opt, atEnd))
	copy(start[descriptorAt*sector:], descriptor(opt))
	if err := v.put(start); err != nil {
		return err
	}
	grains := (opt.Size + grain - 1) / grain
	pieces := chunked.Options{Size: opt.Size, Chunk: grain, Workers: opt.Workers, NewPacker: newPacker}
	err := chunked.Each(ctx, r, pieces, func(c chunked.Chunk) error {
		if !c.Zero {
			binary.LittleEndian.PutUint32(v.table[4*(c.Index%perTable):], uint32(v.at))
			v.filled = true
			if err := v.put(grainMarker(c)); err != nil {
				return err
			}
		}
		if c.Index%perTable == perTable-1 || c.Index == grains-1 {
			return v.endTable()
		}
		return nil
	})
	if err != nil {
		return err
	}
	return v.end(opt)
}

// put writes bytes, filled up to a sector.
func (v *writer) put(data []byte) error {
	sectors := (len(data) + sector - 1) / sector
	data = append(data, make([]byte, sectors*sector-len(data))...)
	v.at += int64(sectors)
	_, err := v.w.Write(data)
	return err
}

func newPacker() (func(out, data []byte) ([]byte, error), error) {
	var buf bytes.Buffer
	z, err := zlib.NewWriterLevel(&buf, zlib.DefaultCompression)
	return func(out, data []byte) ([]byte, error) {
		buf.Reset()
		z.Reset(&buf)
		if _, err := z.Write(data); err != nil {
			return nil, err
		}
		err := z.Close()
		return append(out, buf.Bytes()...), err
	}, err
}

// grainMarker is a grain: its first sector on the disk, its length, its data.
func grainMarker(c chunked.Chunk) []byte {
	out := binary.LittleEndian.AppendUint64(nil, uint64(c.Index*grainSectors))
	out = binary.LittleEndian.AppendUint32(out, uint32(len(c.Packed)))
	return append(out, c.Packed...)
}

// marker says what the next sectors are.
func marker(sectors uint64, kind uint32) []byte {
	out := binary.LittleEndian.AppendUint64(nil, sectors)
	out = binary.LittleEndian.AppendUint32(out, 0)
	return binary.LittleEndian.AppendUint32(out, kind)
}

// endTable writes a table, unless all of its grains are zero.
func (v *writer) endTable() error {
	if !v.filled {
		v.directory = append(v.directory, 0)
		return nil
	}
	if err := v.put(marker(tableBytes/sector, markerTable)); err != nil {
		return err
	}
	v.directory = append(v.directory, uint32(v.at))
	err := v.put(bytes.Clone(v.table))
	clear(v.table)
	v.filled = false
	return err
}

func (v *writer) end(opt Options) error {
	var directory []byte
	for _, at := range v.directory {
		directory = binary.LittleEndian.AppendUint32(directory, at)
	}
	if err := v.put(marker(uint64((len(directory)+sector-1)/sector), markerDirectory)); err != nil {
		return err
	}
	at := v.at
	for _, piece := range [][]byte{directory, marker(1, markerFooter), header(opt, uint64(at)), marker(0, markerEnd)} {
		if err := v.put(piece); err != nil {
			return err
		}
	}
	return nil
}

// header is the SparseExtentHeader.
func header(opt Options, directory uint64) []byte {
	le := binary.LittleEndian
	b := make([]byte, sector)
	le.PutUint32(b, magic)
	le.PutUint32(b[4:], version)
	le.PutUint32(b[8:], flagNewLine|flagCompressed|flagMarkers)
	le.PutUint64(b[12:], uint64(opt.Size/sector))
	le.PutUint64(b[20:], grainSectors)
	le.PutUint64(b[28:], descriptorAt)
	le.PutUint64(b[36:], descriptorSectors)
	le.PutUint32(b[44:], perTable)
	le.PutUint64(b[56:], directory)
	le.PutUint64(b[64:], overhead)
	copy(b[73:], "\n \r\n") // shows whether a transfer changed the ends of lines
	le.PutUint16(b[77:], deflate)
	return b
}

// descriptor names the one extent and a geometry that big disks have.
func descriptor(opt Options) string {
	const heads, sectors = 255, 63
	total := opt.Size / sector
	return fmt.Sprintf("# Disk DescriptorFile\nversion=1\nCID=%08x\nparentCID=ffffffff\ncreateType=\"streamOptimized\"\n\n"+
		"# Extent description\nRW %d SPARSE \"disk.vmdk\"\n\n# The Disk Data Base\n#DDB\n\nddb.virtualHWVersion = \"4\"\n"+
		"ddb.geometry.cylinders = \"%d\"\nddb.geometry.heads = \"%d\"\nddb.geometry.sectors = \"%d\"\nddb.adapterType = \"lsilogic\"\n",
		opt.ID, total, (total+heads*sectors-1)/(heads*sectors), heads, sectors)
}
