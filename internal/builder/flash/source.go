package flash

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/klauspost/compress/zstd"

	"ashlar/internal/format/bmap"
	"ashlar/internal/format/qcow2"
)

const (
	piece     = 1 << 20 // bytes that are read and written at once
	maxWindow = 128 << 20
	maxMap    = 64 << 20 // bytes of a block map
	zstdMagic = "\x28\xb5\x2f\xfd"
)

// Image is a disk image that is to be written.
type Image struct {
	Name string
	Form string    // "raw", "qcow2", "zst"
	Size int64     // bytes of the disk
	Map  *bmap.Map // which of its blocks matter; nil: all

	file *os.File
	at   io.ReaderAt // nil when it can be read from the start only
}

// Close ends the reading.
func (i *Image) Close() error { return i.file.Close() }

// OpenImage opens an image: raw, qcow2, or compressed by zstd, which is read
// once to learn its size and that it is whole. A block map beside it,
// NAME.bmap, is read too.
func OpenImage(ctx context.Context, name string) (*Image, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("open image: %w", err)
	}
	i := &Image{Name: name, file: f}
	if err := i.open(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("open image %s: %w", name, err), f.Close())
	}
	return i, nil
}

func (i *Image) open(ctx context.Context) error {
	info, err := i.file.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return errors.New("it is no file")
	}
	head := make([]byte, 4)
	if _, err := io.ReadFull(i.file, head); err != nil {
		return fmt.Errorf("it is too short: %w", err)
	}
	switch {
	case qcow2.Is(head):
		q, err := qcow2.Open(i.file)
		if err != nil {
			return err
		}
		i.Form, i.Size, i.at = "qcow2", q.Size, q
	case string(head) == zstdMagic:
		i.Form = "zst"
		err := i.each(ctx, func(_ int64, data []byte) error {
			i.Size += int64(len(data))
			return nil
		})
		if err != nil {
			return err
		}
	default:
		i.Form, i.Size, i.at = "raw", info.Size(), i.file
	}
	if i.Size == 0 {
		return errors.New("it holds a disk of 0 bytes")
	}
	return i.readMap()
}

// readMap reads the block map beside the image, if there is one.
func (i *Image) readMap() error {
	name := strings.TrimSuffix(i.Name, ".zst") + ".bmap"
	info, err := os.Stat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil && info.Size() > maxMap {
		err = fmt.Errorf("%d bytes are too many", info.Size())
	}
	var text []byte
	if err == nil {
		text, err = os.ReadFile(name)
	}
	if err == nil {
		i.Map, err = bmap.Parse(text)
	}
	if err == nil && i.Map.Size != i.Size {
		err = fmt.Errorf("it is for a disk of %d bytes, the image has %d", i.Map.Size, i.Size)
	}
	if err != nil {
		return fmt.Errorf("block map %s: %w", name, err)
	}
	return nil
}

// each calls visit for the pieces of the disk in order.
func (i *Image) each(ctx context.Context, visit func(at int64, data []byte) error) error {
	r := io.Reader(nil)
	if i.at != nil {
		r = io.NewSectionReader(i.at, 0, i.Size)
	} else {
		if _, err := i.file.Seek(0, io.SeekStart); err != nil {
			return err
		}
		d, err := zstd.NewReader(i.file, zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderConcurrency(1))
		if err != nil {
			return err
		}
		defer d.Close()
		r = d
	}
	buf := make([]byte, piece)
	for at := int64(0); ; {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := io.ReadFull(r, buf)
		if n > 0 {
			if err := visit(at, buf[:n]); err != nil {
				return err
			}
			at += int64(n)
		}
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF) && i.at != nil && at == i.Size:
			return nil
		case errors.Is(err, io.ErrUnexpectedEOF) && i.at == nil && n > 0:
			continue // the end of a stream, or of a broken one: the next reading says
		case err != nil:
			return fmt.Errorf("read image at %d: %w", at, err)
		}
	}
}

// parts gives what matters of a piece of the disk, as places in it.
func (i *Image) parts(at, size int64) []bmap.Extent {
	if i.Map == nil {
		return []bmap.Extent{{Offset: 0, Size: size}}
	}
	var out []bmap.Extent
	for _, r := range i.Map.Ranges {
		e := i.Map.Extent(r)
		from, to := max(e.Offset, at), min(e.Offset+e.Size, at+size)
		if from < to {
			out = append(out, bmap.Extent{Offset: from - at, Size: to - from})
		}
	}
	return out
}

func isZero(b []byte) bool { return b[0] == 0 && bytes.Equal(b[1:], b[:len(b)-1]) }
