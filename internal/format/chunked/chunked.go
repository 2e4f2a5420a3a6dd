// Package chunked brings a disk image through several workers piece by piece:
// what the writers of compressed disk images have in common. Pieces come out in
// order, so that the bytes do not depend on the number of workers; pieces that
// are all zero are told by their content, never by holes of the host's files.
package chunked

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"golang.org/x/sync/errgroup"
)

// Chunk is a piece of an image. Its slices are valid until the next one.
type Chunk struct {
	Index  int64
	Data   []byte // zero bytes behind the image's end
	Zero   bool   // all of Data is zero
	Packed []byte // what the worker made of Data; nil when Zero
}

// Options says how an image is taken apart.
type Options struct {
	Size    int64 // bytes of the image
	Chunk   int   // bytes of a piece
	Workers int   // at least 1 are taken
	// NewPacker makes a worker's function, which appends to out; nil: no packing.
	NewPacker func() (func(out, data []byte) ([]byte, error), error)
}

// perWorker is how many pieces each worker has in one round.
const perWorker = 8

// Each reads the image and calls visit for each piece in order.
func Each(ctx context.Context, r io.ReaderAt, opt Options, visit func(Chunk) error) error {
	if opt.Size < 0 || opt.Chunk <= 0 {
		return fmt.Errorf("take image apart: %d bytes in pieces of %d", opt.Size, opt.Chunk)
	}
	workers := max(1, opt.Workers)
	packers := make([]func(out, data []byte) ([]byte, error), workers)
	for i := range packers {
		if opt.NewPacker == nil {
			break
		}
		var err error
		if packers[i], err = opt.NewPacker(); err != nil {
			return err
		}
	}
	round := make([]Chunk, workers*perWorker)
	for i := range round {
		round[i].Data = make([]byte, opt.Chunk)
	}
	total := (opt.Size + int64(opt.Chunk) - 1) / int64(opt.Chunk)
	for first := int64(0); first < total; first += int64(len(round)) {
		now := round[:min(int64(len(round)), total-first)]
		group, inner := errgroup.WithContext(ctx)
		for w := range workers {
			group.Go(func() error {
				for i := w; i < len(now); i += workers {
					if err := inner.Err(); err != nil {
						return err
					}
					now[i].Index = first + int64(i)
					if err := now[i].fill(r, opt, packers[w]); err != nil {
						return err
					}
				}
				return nil
			})
		}
		if err := group.Wait(); err != nil {
			return err
		}
		for _, c := range now {
			if err := visit(c); err != nil {
				return err
			}
		}
	}
	return ctx.Err()
}

func (c *Chunk) fill(r io.ReaderAt, opt Options, pack func(out, data []byte) ([]byte, error)) error {
	at := c.Index * int64(opt.Chunk)
	want := int(min(int64(opt.Chunk), opt.Size-at))
	clear(c.Data[want:])
	if n, err := r.ReadAt(c.Data[:want], at); n < want {
		if err == nil || errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return fmt.Errorf("read image at %d: %w", at, err)
	}
	c.Packed = c.Packed[:0]
	if c.Zero = IsZero(c.Data); c.Zero || pack == nil {
		return nil
	}
	var err error
	if c.Packed, err = pack(c.Packed, c.Data); err != nil {
		return fmt.Errorf("compress image at %d: %w", at, err)
	}
	return nil
}

// IsZero reports whether all bytes are zero.
func IsZero(b []byte) bool { return len(b) == 0 || b[0] == 0 && bytes.Equal(b[1:], b[:len(b)-1]) }
