// Package sparse writes data and leaves out what is zero already: the target
// must be fresh (all zero bytes, as a file after Truncate is), and pages of
// zeros are skipped, so that they become holes.
package sparse

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
)

const (
	page   = 4096
	buffer = 256 * page
)

// WriteAt writes the pages of data that are not all zero; off is taken as the
// start of the first page.
func WriteAt(w io.WriterAt, data []byte, off int64) error {
	for len(data) > 0 {
		run, zero := nextRun(data)
		if !zero {
			if _, err := w.WriteAt(data[:run], off); err != nil {
				return err
			}
		}
		data, off = data[run:], off+int64(run)
	}
	return nil
}

// nextRun gives the length of the pages at the start of data that are all zero,
// or all not zero, and which of the two.
func nextRun(data []byte) (int, bool) {
	zero := isZero(data[:min(page, len(data))])
	n := min(page, len(data))
	for n < len(data) && isZero(data[n:min(n+page, len(data))]) == zero {
		n = min(n+page, len(data))
	}
	return n, zero
}

// isZero compares b with itself one byte on, which runs at memory speed.
func isZero(b []byte) bool { return len(b) == 0 || b[0] == 0 && bytes.Equal(b[1:], b[:len(b)-1]) }

// Copy copies exactly size bytes of r to w at off. It fails when r ends early
// and when the context ends.
func Copy(ctx context.Context, w io.WriterAt, off int64, r io.Reader, size int64) error {
	buf := make([]byte, min(size, buffer))
	for size > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		part := buf[:min(size, int64(len(buf)))]
		if _, err := io.ReadFull(r, part); err != nil {
			if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
				return fmt.Errorf("content ends %d bytes or less before its size: %w", size, io.ErrUnexpectedEOF)
			}
			return err
		}
		if err := WriteAt(w, part, off); err != nil {
			return err
		}
		off, size = off+int64(len(part)), size-int64(len(part))
	}
	return nil
}

// AtEnd fails unless r has no more bytes.
func AtEnd(r io.Reader) error {
	n, err := io.ReadFull(r, make([]byte, 1))
	switch {
	case n > 0:
		return errors.New("content is longer than its size")
	case errors.Is(err, io.EOF):
		return nil
	}
	return err
}
