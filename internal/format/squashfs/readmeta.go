package squashfs

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// metaBlock is a decompressed metadata block.
type metaBlock struct {
	plain []byte
	next  uint64 // where the next block begins
}

// metadata reads the metadata block at a place of the image.
func (r *Reader) metadata(place uint64) (metaBlock, error) {
	r.mu.Lock()
	b, ok := r.blocks.get(int64(place))
	r.mu.Unlock()
	if ok {
		return b, nil
	}
	b, err := r.readMetadata(place)
	if err != nil {
		return b, fmt.Errorf("metadata block at %d: %w", place, err)
	}
	r.mu.Lock()
	r.blocks.put(int64(place), b)
	r.mu.Unlock()
	return b, nil
}

func (r *Reader) readMetadata(place uint64) (metaBlock, error) {
	var head [2]byte
	if err := r.at(head[:], place); err != nil {
		return metaBlock{}, err
	}
	word := order.Uint16(head[:])
	size := int(word &^ metadataPlain)
	if size == 0 || size > metadataSize {
		return metaBlock{}, fmt.Errorf("size %d, want 1 to %d", size, metadataSize)
	}
	raw := make([]byte, size)
	if err := r.at(raw, place+2); err != nil {
		return metaBlock{}, err
	}
	b := metaBlock{plain: raw, next: place + 2 + uint64(size)}
	if word&metadataPlain == 0 {
		var err error
		if b.plain, err = r.un(raw, metadataSize); err != nil {
			return b, err
		}
	}
	if len(b.plain) == 0 {
		return b, errors.New("is empty")
	}
	return b, nil
}

// cursor reads on through metadata blocks.
type cursor struct {
	r      *Reader
	place  uint64 // of the block in the image
	offset int    // in its plain bytes
}

func (r *Reader) cursor(place uint64, offset int) *cursor { return &cursor{r, place, offset} }

// full fills p.
func (c *cursor) full(p []byte) error {
	for len(p) > 0 {
		b, err := c.r.metadata(c.place)
		if err != nil {
			return err
		}
		if c.offset >= len(b.plain) {
			if len(b.plain) < metadataSize {
				return fmt.Errorf("offset %d is beyond the metadata block's %d bytes", c.offset, len(b.plain))
			}
			c.place, c.offset = b.next, c.offset-len(b.plain)
			continue
		}
		n := copy(p, b.plain[c.offset:])
		p = p[n:]
		c.offset += n
	}
	return nil
}

// value reads a fixed-size value, little-endian.
func (c *cursor) value(v any) error {
	var raw [64]byte
	p := raw[:binary.Size(v)]
	if err := c.full(p); err != nil {
		return err
	}
	_, err := binary.Decode(p, order, v)
	return err
}

// text reads n bytes as a string.
func (c *cursor) text(n int) (string, error) {
	p := make([]byte, n)
	err := c.full(p)
	return string(p), err
}
