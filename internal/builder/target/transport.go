package target

import (
	"context"
	"fmt"
	"io"

	"ashlar/internal/format/bmap"
	"ashlar/internal/format/chunked"
	"ashlar/internal/format/ext4"
	"ashlar/internal/format/fat"
	"ashlar/internal/format/zstdblock"
)

// MapDisk says which blocks of a disk image must be written to a medium: all
// but those that the file systems know to be free. That a block is zero does
// not free it: a file may have zeros, and so do tables.
func MapDisk(r io.ReaderAt, size int64) (*bmap.Map, error) {
	disk, err := OpenDisk(r, size)
	if err != nil {
		return nil, fmt.Errorf("map disk: %w", err)
	}
	var used []bmap.Extent
	at := int64(0)
	free := func(offset, n int64) {
		used = append(used, bmap.Extent{Offset: at, Size: offset - at})
		at = offset + n
	}
	for _, p := range disk.Partitions {
		if p.Offset < at {
			return nil, fmt.Errorf("map disk: partition %s is not in the order of the disk", p.Name)
		}
		if err := p.free(io.NewSectionReader(r, p.Offset, p.Size), func(offset, n int64) { free(p.Offset+offset, n) }); err != nil {
			return nil, fmt.Errorf("map disk: partition %s: %w", p.Name, err)
		}
	}
	free(size, 0)
	return bmap.Make(r, size, used)
}

// free calls visit for what holds nothing, in order, by the partition's own maps.
func (p *Partition) free(r io.ReaderAt, visit func(offset, n int64)) error {
	switch p.Format {
	case FormatExt4:
		fs, err := ext4.Open(r, p.Size)
		if err != nil {
			return err
		}
		return fs.Free(func(first, count uint64) error {
			visit(int64(first)*fs.BlockSize, int64(count)*fs.BlockSize)
			return nil
		})
	case FormatFAT:
		fs, err := fat.Open(r, p.Size)
		if err != nil {
			return err
		}
		return fs.Free(func(offset, n int64) error {
			visit(offset, n)
			return nil
		})
	}
	return nil
}

// CompressDisk writes an image as zstd frames, each of 1 MiB of it, which any
// zstd decoder reads one after the other.
func CompressDisk(ctx context.Context, w io.Writer, r io.ReaderAt, size int64, workers int) error {
	own := zstdblock.New(zstdblock.Fast)
	zero := own.Encode(nil, make([]byte, mebibyte))
	opt := chunked.Options{Size: size, Chunk: mebibyte, Workers: workers, NewPacker: func() (func(out, data []byte) ([]byte, error), error) {
		encoder := zstdblock.New(zstdblock.Fast)
		return func(out, data []byte) ([]byte, error) { return encoder.Encode(out, data), nil }, nil
	}}
	err := chunked.Each(ctx, r, opt, func(c chunked.Chunk) error {
		frame := c.Packed
		if c.Zero {
			frame = zero
		}
		if rest := size - c.Index*mebibyte; rest < mebibyte {
			frame = own.Encode(nil, c.Data[:rest])
		}
		_, err := w.Write(frame)
		return err
	})
	if err != nil {
		return fmt.Errorf("compress disk: %w", err)
	}
	return nil
}
