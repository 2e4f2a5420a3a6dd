package erofs

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"ashlar/internal/foundation/uuid"
)

// Reader reads an image. All of the image is foreign bytes: sizes and places
// are checked before they are used, and nothing is read into memory that is larger
// than an extent, the xattrs of an inode or a block of a directory. It is safe for concurrent use.
type Reader struct {
	r      io.ReaderAt
	size   int64
	super  superblock
	packed packedFile
}

// Info is what the superblock says.
type Info struct {
	Inodes     uint64
	Blocks     uint32
	Time       int64 // of making, seconds since 1970
	UUID       uuid.UUID
	Label      string
	Compressed bool
}

// Open reads the superblock of the image in the first size bytes of r.
func Open(r io.ReaderAt, size int64) (*Reader, error) {
	block := make([]byte, BlockSize)
	_, err := r.ReadAt(block, 0)
	if err != nil {
		return nil, fmt.Errorf("open erofs: read superblock: %w", noEOF(err))
	}
	rd := &Reader{r: r, size: size}
	if rd.super, err = decodeSuperblock(block, size); err != nil {
		return nil, fmt.Errorf("open erofs: %w", err)
	}
	return rd, nil
}

// Info gives what the superblock says.
func (r *Reader) Info() Info {
	s := &r.super
	label, _, _ := bytes.Cut(s.Label[:], []byte{0})
	return Info{s.Inodes, s.Blocks, int64(s.BuildTime), s.UUID, string(label), s.Incompat&incompatZeroPadding != 0}
}

// at fills p from the image.
func (r *Reader) at(p []byte, place int64) error {
	if place < 0 || place > r.size || int64(len(p)) > r.size-place {
		return fmt.Errorf("%d bytes at %d: beyond the image's %d", len(p), place, r.size)
	}
	_, err := r.r.ReadAt(p, place)
	return noEOF(err)
}

// noEOF keeps the end of the input from passing for the end of a file's content.
func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
