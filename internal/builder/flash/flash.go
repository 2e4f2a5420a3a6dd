// Package flash writes disk images onto media: USB sticks, SD cards, disks.
//
// It looks first, at the image and at the device, and refuses what is in use
// (see FindDevice). Then it writes what is not zero, has the device make zeros
// where zeros must be, leaves alone what a block map says holds nothing, and
// reads everything back. The first MiB, with the partition table, comes last:
// before, a device that was broken off is no disk. A file is written beside its
// name and gets it when all is well.
package flash

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"ashlar/internal/foundation/atomicfile"
	"ashlar/internal/foundation/digest"
	"ashlar/internal/foundation/progress"
)

const (
	syncEvery = 32 << 20 // bytes between waits for the device, so that progress is true
	tail      = 1 << 20  // bytes at the device's end where an old partition table may have a copy
)

// Written is what Write did, in bytes.
type Written struct {
	Image   int64 `json:"image"`   // of the disk in the image
	Data    int64 `json:"data"`    // that were written
	Zero    int64 `json:"zero"`    // that were made zero
	Skipped int64 `json:"skipped"` // that hold nothing
}

// written is a part that was written, to be held against what is read back.
type written struct {
	at, size int64
	sum      digest.Digest
}

// run is one run of Write.
type run struct {
	image  *Image
	device *Device
	f      *os.File
	sink   progress.Sink
	stats  Written
	parts  []written
	first  []byte // the first piece, until the end
	read   int64  // bytes of the image
	dirty  int64  // bytes since the last wait
}

var errChanged = errors.New("the image changed while it was read")

// Write writes the image onto the device and reads it back.
func Write(ctx context.Context, image *Image, device *Device, sink progress.Sink) (*Written, error) {
	r := &run{image: image, device: device, sink: sink, stats: Written{Image: image.Size}}
	if err := Fits(image, device); err != nil {
		return nil, err
	}
	var err error
	if device.File {
		err = atomicfile.Write(device.Path, atomicfile.Options{Sync: true}, func(f *os.File) error {
			r.f = f
			if err := f.Truncate(image.Size); err != nil {
				return err
			}
			return r.all(ctx)
		})
	} else {
		err = r.onDevice(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("write %s to %s: %w", image.Name, device.Path, err)
	}
	return &r.stats, nil
}

// Fits refuses an image that is larger than the device.
func Fits(image *Image, device *Device) error {
	if !device.File && image.Size > device.Size {
		return refuse("%s has %d bytes, fewer than the %d of the image", device.Path, device.Size, image.Size)
	}
	return nil
}

// onDevice opens the device for itself alone: the kernel refuses one that is
// mounted, whatever was seen before.
func (r *run) onDevice(ctx context.Context) (err error) {
	r.f, err = os.OpenFile(r.device.Path, os.O_RDWR|os.O_EXCL|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.EBUSY) {
		return refuse("it is in use")
	}
	if err != nil {
		return err
	}
	if err = r.all(ctx); err != nil {
		err = fmt.Errorf("%w; what the device holds now is no disk", err)
	}
	// Whoever listens learns of the new partitions; a device may have none.
	_ = unix.IoctlSetInt(int(r.f.Fd()), unix.BLKRRPART, 0)
	return errors.Join(err, r.f.Close())
}

func (r *run) all(ctx context.Context) error {
	if err := r.zero(0, min(piece, r.image.Size)); err != nil {
		return err
	}
	if err := r.clearTail(); err != nil {
		return err
	}
	if err := r.image.each(ctx, r.write); err != nil {
		return err
	}
	if r.read != r.image.Size {
		return errChanged
	}
	if err := r.wait(); err != nil {
		return err
	}
	if err := r.writeParts(0, r.first); err != nil {
		return err
	}
	if err := r.wait(); err != nil {
		return err
	}
	r.sink.Report(progress.Event{Task: "write", Done: r.image.Size, Total: r.image.Size, Unit: "bytes", End: true})
	return r.verify(ctx)
}

// clearTail removes the copy of an old partition table behind the image.
func (r *run) clearTail() error {
	if from := max(r.image.Size, r.device.Size-tail); !r.device.File && from < r.device.Size {
		return r.zero(from, r.device.Size-from)
	}
	return nil
}

// write takes a piece of the image.
func (r *run) write(at int64, data []byte) error {
	if at+int64(len(data)) > r.image.Size {
		return errChanged
	}
	r.read += int64(len(data))
	if at == 0 {
		r.first = slices.Clone(data)
		return nil
	}
	r.sink.Report(progress.Event{Task: "write", Done: at, Total: r.image.Size, Unit: "bytes"})
	return r.writeParts(at, data)
}

func (r *run) writeParts(at int64, data []byte) error {
	left := int64(len(data))
	for _, e := range r.image.parts(at, int64(len(data))) {
		part := data[e.Offset : e.Offset+e.Size]
		left -= e.Size
		r.parts = append(r.parts, written{at + e.Offset, e.Size, digest.Of(part)})
		if isZero(part) {
			r.stats.Zero += e.Size
			if err := r.zero(at+e.Offset, e.Size); err != nil {
				return err
			}
			continue
		}
		r.stats.Data += e.Size
		if _, err := r.f.WriteAt(part, at+e.Offset); err != nil {
			return err
		}
		if r.dirty += e.Size; r.dirty >= syncEvery {
			if err := r.wait(); err != nil {
				return err
			}
		}
	}
	r.stats.Skipped += left
	return nil
}

// wait has the device take what was written.
func (r *run) wait() error {
	r.dirty = 0
	return r.f.Sync()
}

// zero makes bytes zero: the device itself where it can. In a new file they are.
func (r *run) zero(at, size int64) error {
	if r.device.File {
		return nil
	}
	// On a block device the kernel makes zeros by whatever the device offers.
	const zeroRange = unix.FALLOC_FL_ZERO_RANGE | unix.FALLOC_FL_KEEP_SIZE
	if unix.Fallocate(int(r.f.Fd()), zeroRange, at, size) == nil {
		return nil
	}
	none := make([]byte, min(size, piece))
	for size > 0 {
		n := min(size, int64(len(none)))
		if _, err := r.f.WriteAt(none[:n], at); err != nil {
			return err
		}
		at, size = at+n, size-n
	}
	return nil
}

// verify reads back what was written, from the device and not from memory.
func (r *run) verify(ctx context.Context) error {
	if err := r.forget(); err != nil {
		return err
	}
	buf := make([]byte, piece)
	for _, w := range r.parts {
		if err := ctx.Err(); err != nil {
			return err
		}
		r.sink.Report(progress.Event{Task: "verify", Done: w.at, Total: r.image.Size, Unit: "bytes"})
		if _, err := r.f.ReadAt(buf[:w.size], w.at); err != nil {
			return fmt.Errorf("verify: %w", err)
		}
		if digest.Of(buf[:w.size]) != w.sum {
			return fmt.Errorf("verify: the device does not hold what was written at %d, %d bytes", w.at, w.size)
		}
	}
	if err := r.holdMap(); err != nil {
		return err
	}
	r.sink.Report(progress.Event{Task: "verify", Done: r.image.Size, Total: r.image.Size, Unit: "bytes", End: true})
	return nil
}

// forget drops what the kernel keeps in memory of the device.
func (r *run) forget() error {
	if err := unix.Fadvise(int(r.f.Fd()), 0, 0, unix.FADV_DONTNEED); err != nil {
		return fmt.Errorf("verify: %w", err)
	}
	if r.device.File {
		return nil
	}
	if err := unix.IoctlSetInt(int(r.f.Fd()), unix.BLKFLSBUF, 0); err != nil {
		return fmt.Errorf("verify: drop what is in memory: %w", err)
	}
	return nil
}

// holdMap holds what is on the device against the block map's sums.
func (r *run) holdMap() error {
	if r.image.Map == nil {
		return nil
	}
	for _, row := range r.image.Map.Ranges {
		e := r.image.Map.Extent(row)
		sum, _, err := digest.Reader(io.NewSectionReader(r.f, e.Offset, e.Size))
		if err != nil {
			return fmt.Errorf("verify: %w", err)
		}
		if sum != row.Sum {
			return fmt.Errorf("verify: %d bytes at %d are not those of the block map: it belongs to another image", e.Size, e.Offset)
		}
	}
	return nil
}
