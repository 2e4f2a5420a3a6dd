package erofs

import (
	"errors"
	"fmt"
	"io"
)

// source is a file's content in an image.
type source struct {
	r   *Reader
	nid uint64
}

// Open implements tree.Content.
func (s source) Open() (io.ReadCloser, error) {
	f, err := s.r.inode(s.nid)
	if err != nil {
		return nil, err
	}
	return s.r.content(f)
}

// content gives an inode's data.
func (r *Reader) content(f *found) (io.ReadCloser, error) {
	var next func() ([]byte, error)
	switch f.layout {
	case layoutPlain, layoutInline:
		next = (&flat{r: r, f: f}).next
	case layoutChunks:
		c, err := newChunked(r, f)
		if err != nil {
			return nil, err
		}
		next = c.next
	default:
		c, err := newClustered(r, f)
		if err != nil {
			return nil, err
		}
		next = c.next
	}
	return &fileReader{next: next, left: f.size}, nil
}

// fileReader reads a file piece by piece.
type fileReader struct {
	next  func() ([]byte, error) // a piece of at least a byte
	left  int64                  // bytes that are not in piece yet
	piece []byte                 // what is read and not yet given
	err   error
}

// Close implements io.Closer.
func (f *fileReader) Close() error {
	f.err, f.piece = errors.New("read of a closed file"), nil
	return nil
}

// Read implements io.Reader.
func (f *fileReader) Read(p []byte) (int, error) {
	if len(f.piece) == 0 && f.err == nil {
		if f.left == 0 {
			return 0, io.EOF
		}
		if f.piece, f.err = f.next(); f.err == nil && int64(len(f.piece)) > f.left {
			f.err = fmt.Errorf("%d bytes beyond the file's end", int64(len(f.piece))-f.left)
		}
		if f.err != nil {
			f.piece = nil
		}
		f.left -= int64(len(f.piece))
	}
	if len(f.piece) == 0 {
		return 0, f.err
	}
	n := copy(p, f.piece)
	f.piece = f.piece[n:]
	return n, nil
}

// pieceSize is how much of a file that is not compressed is read at once.
const pieceSize = 64 << 10

// flat reads whole blocks and then, maybe, the tail behind the inode.
type flat struct {
	r  *Reader
	f  *found
	at int64
}

func (c *flat) next() ([]byte, error) {
	whole := c.f.size
	if c.f.layout == layoutInline {
		whole &^= BlockSize - 1
	}
	if c.at < whole {
		piece := make([]byte, min(whole-c.at, pieceSize))
		err := c.r.at(piece, int64(c.f.data)<<blockBits+c.at)
		c.at += int64(len(piece))
		return piece, err
	}
	return c.r.tail(c.f.end, c.f.size-whole)
}

// tail reads what stands behind an inode, which is in one block.
func (r *Reader) tail(place, size int64) ([]byte, error) {
	if place%BlockSize+size > BlockSize {
		return nil, fmt.Errorf("a tail of %d bytes at %d crosses the end of its block", size, place)
	}
	piece := make([]byte, size)
	return piece, r.at(piece, place)
}

// chunked reads chunks, each of which has its address.
type chunked struct {
	r     *Reader
	f     *found
	bits  int
	index int64 // place of the index
	entry int64 // bytes of one of its entries
	at    int64
}

func newChunked(r *Reader, f *found) (*chunked, error) {
	c := &chunked{r: r, f: f, bits: int(f.data&chunkBitsMask) + blockBits, entry: 4}
	if f.data&0xffff&^(chunkBitsMask|chunkIndexes) != 0 {
		return nil, fmt.Errorf("chunk format %#x is not known", f.data&0xffff)
	}
	if f.data&chunkIndexes != 0 {
		c.entry = 8
	}
	c.index = alignUp(f.end, c.entry)
	return c, nil
}

func (c *chunked) next() ([]byte, error) {
	chunk, offset := c.at>>c.bits, c.at&(1<<c.bits-1)
	raw := make([]byte, c.entry)
	if err := c.r.at(raw, c.index+chunk*c.entry); err != nil {
		return nil, fmt.Errorf("index of chunk %d: %w", chunk, err)
	}
	address := order.Uint32(raw[c.entry-4:])
	if c.entry == 8 && order.Uint16(raw[2:]) != 0 {
		return nil, fmt.Errorf("chunk %d is on another device", chunk)
	}
	piece := make([]byte, min(c.f.size-c.at, 1<<c.bits-offset, pieceSize))
	c.at += int64(len(piece))
	if address == nullBlock {
		return piece, nil
	}
	return piece, c.r.at(piece, int64(address)<<blockBits+offset)
}
