package squashfs

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
)

// Reader reads an image. All of the image is foreign bytes: sizes and places
// are checked before they are used, and nothing is read into memory that is larger
// than a block, a table of ids or one directory. It is safe for concurrent use.
type Reader struct {
	r     io.ReaderAt
	super superblock
	un    decompress
	ids   []uint32
	xattr xattrSets

	mu     sync.Mutex
	blocks recent[int64, metaBlock] // metadata, by place in the image
	packs  recent[uint32, []byte]   // plain fragment blocks, by index
}

// How many decompressed blocks are kept for the next look.
const (
	keepMetadata  = 64
	keepFragments = 4
)

// Info is what the superblock says.
type Info struct {
	BlockSize  int
	Compressor uint16 // 1 gzip, 5 lz4, 6 zstd
	Inodes     uint32
	Fragments  uint32
	Time       int64 // of making, seconds since 1970
	Used       int64 // bytes without the padding
}

// Open reads the superblock and the ids of the image in the first size bytes of r.
func Open(r io.ReaderAt, size int64) (*Reader, error) {
	rd, err := open(r, size)
	if err != nil {
		return nil, fmt.Errorf("open squashfs: %w", err)
	}
	return rd, nil
}

func open(r io.ReaderAt, size int64) (*Reader, error) {
	raw := make([]byte, superblockSize)
	if _, err := r.ReadAt(raw, 0); err != nil {
		return nil, fmt.Errorf("read superblock: %w", noEOF(err))
	}
	super, err := decodeSuperblock(raw, size)
	if err != nil {
		return nil, err
	}
	rd := &Reader{r: r, super: super, blocks: recent[int64, metaBlock]{room: keepMetadata}, packs: recent[uint32, []byte]{room: keepFragments}}
	newDecompress, ok := decompressors[super.Compressor]
	if !ok {
		return nil, fmt.Errorf("compressor %d is not read, only gzip (1), lz4 (5) and zstd (6)", super.Compressor)
	}
	if rd.un, err = newDecompress(); err != nil {
		return nil, err
	}
	rd.ids = make([]uint32, super.IDs)
	for i := range rd.ids {
		if err := rd.row(super.IDTable, uint64(i), &rd.ids[i]); err != nil {
			return nil, fmt.Errorf("read id %d: %w", i, err)
		}
	}
	if err := rd.openXattrs(); err != nil {
		return nil, fmt.Errorf("read xattr table: %w", err)
	}
	return rd, nil
}

// Info gives what the superblock says.
func (r *Reader) Info() Info {
	s := &r.super
	return Info{int(s.BlockSize), s.Compressor, s.Inodes, s.Fragments, int64(s.Time), int64(s.Used)}
}

// row reads row i of a table of fixed-size rows whose index of metadata
// blocks stands at index.
func (r *Reader) row(index, i uint64, row any) error {
	size := uint64(binary.Size(row))
	at := i * size
	var raw [8]byte
	if err := r.at(raw[:], index+at/metadataSize*8); err != nil {
		return err
	}
	c := r.cursor(order.Uint64(raw[:]), int(at%metadataSize))
	return c.value(row)
}

// at fills p from the image.
func (r *Reader) at(p []byte, place uint64) error {
	if place > r.super.Used || uint64(len(p)) > r.super.Used-place {
		return fmt.Errorf("%d bytes at %d: beyond the image's %d", len(p), place, r.super.Used)
	}
	_, err := r.r.ReadAt(p, int64(place))
	return noEOF(err)
}

// noEOF keeps the end of the input from passing for the end of a file's content.
func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// recent keeps the last values that were put.
type recent[K comparable, V any] struct {
	room   int
	values map[K]V
	line   []K // oldest first
}

func (c *recent[K, V]) get(k K) (V, bool) {
	v, ok := c.values[k]
	return v, ok
}

func (c *recent[K, V]) put(k K, v V) {
	if c.values == nil {
		c.values = make(map[K]V, c.room)
	}
	if _, ok := c.values[k]; ok {
		return
	}
	if len(c.line) == c.room {
		delete(c.values, c.line[0])
		c.line = append(c.line[:0], c.line[1:]...)
	}
	c.values[k] = v
	c.line = append(c.line, k)
}
