package pipeline

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"ashlar/internal/builder/target"
	"ashlar/internal/contract/layout"
	"ashlar/internal/format/qcow2"
	"ashlar/internal/format/vhd"
	"ashlar/internal/format/vmdk"
	"ashlar/internal/foundation/uuid"
)

// The disk image in other forms: names of files.
const (
	QCOW2Image    = "disk.qcow2"
	VHDImage      = "disk.vhd"
	FixedVHDImage = "disk-fixed.vhd"
	VMDKImage     = "disk.vmdk"
)

// rawDisk opens the raw disk image: that of the target disk, which comes first
// in the table, or else one made for the purpose.
func (b *build) rawDisk(ctx context.Context, gen *generation) (f *os.File, size int64, err error) {
	path := filepath.Join(b.dir, "targets", "disk", DiskImage)
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		dir := filepath.Join(b.dir, "raw")
		path = filepath.Join(dir, DiskImage)
		if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
			if err := os.Mkdir(dir, 0o700); err != nil {
				return nil, 0, err
			}
			if err := makeDisk(ctx, b, gen, dir); err != nil {
				return nil, 0, err
			}
		}
	}
	if f, err = os.Open(path); err != nil {
		return nil, 0, err
	}
	size, err = f.Seek(0, io.SeekEnd)
	return f, size, err
}

// convert writes another form of the disk image into a file of dir.
func convert(ctx context.Context, b *build, gen *generation, path string, write func(w *os.File, r io.ReaderAt, size int64) error) error {
	raw, size, err := b.rawDisk(ctx, gen)
	if err != nil {
		return fmt.Errorf("make disk image: %w", err)
	}
	f, err := os.Create(path)
	if err != nil {
		return errors.Join(err, raw.Close())
	}
	return errors.Join(write(f, raw, size), f.Close(), raw.Close())
}

func makeQCOW2(ctx context.Context, b *build, gen *generation, dir string) error {
	return convert(ctx, b, gen, filepath.Join(dir, QCOW2Image), func(w *os.File, r io.ReaderAt, size int64) error {
		return qcow2.Write(ctx, w, r, qcow2.Options{Size: size, Zstd: true, Workers: b.env.Workers})
	})
}

func makeVHD(ctx context.Context, b *build, gen *generation, dir string) error {
	return makeAnyVHD(ctx, b, gen, filepath.Join(dir, VHDImage), false)
}

func makeFixedVHD(ctx context.Context, b *build, gen *generation, dir string) error {
	return makeAnyVHD(ctx, b, gen, filepath.Join(dir, FixedVHDImage), true)
}

func makeAnyVHD(ctx context.Context, b *build, gen *generation, path string, fixed bool) error {
	return convert(ctx, b, gen, path, func(w *os.File, r io.ReaderAt, size int64) error {
		return vhd.Write(ctx, w, r, vhd.Options{Size: size, Fixed: fixed, ID: b.diskID("vhd"), Epoch: b.epoch, Workers: b.env.Workers})
	})
}

func makeVMDK(ctx context.Context, b *build, gen *generation, dir string) error {
	id := b.diskID("vmdk")
	return convert(ctx, b, gen, filepath.Join(dir, VMDKImage), func(w *os.File, r io.ReaderAt, size int64) error {
		out := bufio.NewWriterSize(w, 1<<20)
		err := vmdk.Write(ctx, out, r, vmdk.Options{Size: size, ID: uint32(id[0])<<24 | uint32(id[1])<<16 | uint32(id[2])<<8 | uint32(id[3]), Workers: b.env.Workers})
		return errors.Join(err, out.Flush())
	})
}

func (b *build) diskID(form string) uuid.UUID {
	return uuid.Derive(b.p.def.Name, form, layout.PartSystem, b.p.sum.String())
}

// The disk image for transport: compressed, and which of its blocks to write.
const (
	PackedImage = DiskImage + ".zst"
	BlockMap    = DiskImage + ".bmap"
)

func makePacked(ctx context.Context, b *build, gen *generation, dir string) error {
	return convert(ctx, b, gen, filepath.Join(dir, PackedImage), func(w *os.File, r io.ReaderAt, size int64) error {
		blocks, err := target.MapDisk(r, size)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, BlockMap), blocks.Marshal(), 0o644)
		}
		if err != nil {
			return err
		}
		out := bufio.NewWriterSize(w, 1<<20)
		return errors.Join(target.CompressDisk(ctx, out, r, size, b.env.Workers), out.Flush())
	})
}
