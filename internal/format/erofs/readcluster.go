package erofs

import (
	"encoding/binary"
	"errors"
	"fmt"

	"ashlar/internal/format/lz4"
)

// maxExtent is the longest extent that kernels read, in plain bytes.
const maxExtent = 12 << 20

// clustered reads a compressed file from extent to extent.
type clustered struct {
	r     *Reader
	f     *found
	head  mapHeader
	count int64 // values of the index
	index int64 // place of the index
	pack  packAt

	block int64 // of the plain file, where the next extent starts
	at    int64 // in the plain file
	first value // the next extent's head
}

// value is what an index says of one block of the plain file.
type value struct {
	logical
	address uint32 // of a head's cluster
	part    bool   // the extent is a part of what its cluster holds
}

func newClustered(r *Reader, f *found) (*clustered, error) {
	c := &clustered{r: r, f: f, count: blocksOf(f.size)}
	place := alignUp(f.end, 8)
	raw := make([]byte, mapHeaderSize)
	if err := r.at(raw, place); err != nil {
		return nil, err
	}
	if _, err := binary.Decode(raw, order, &c.head); err != nil {
		return nil, err
	}
	c.index = place + mapHeaderSize
	if f.layout == layoutFullIndex {
		c.index += 8
	}
	big := int(c.head.Advise & adviseBig)
	switch {
	case c.head.ClusterBits != 0:
		return nil, fmt.Errorf("fragments and logical clusters of other sizes (%#x) are not read", c.head.ClusterBits)
	case c.head.Advise&^(adviseLargePacks|adviseBig|adviseTail) != 0:
		return nil, fmt.Errorf("a compressed file of form %#x is not read", c.head.Advise)
	case big != 0 && big != adviseBig && f.layout == layoutCompactIndex:
		return nil, fmt.Errorf("a compact index with big clusters for one type of heads (%#x)", c.head.Advise)
	}
	if f.size == 0 {
		return c, nil
	}
	var err error
	c.first, err = c.value(0)
	if err == nil && (c.first.kind == typeNonHead || c.first.offset != 0) {
		err = errors.New("the first block does not start an extent")
	}
	return c, err
}

// next gives the next extent.
func (c *clustered) next() ([]byte, error) {
	head, start := c.first, c.at
	blocks := int64(1)
	for c.block++; ; c.block++ {
		if c.block >= c.count {
			c.at = c.f.size
			break
		}
		v, err := c.value(c.block)
		if err != nil {
			return nil, err
		}
		if v.kind != typeNonHead {
			c.at, c.first = c.block<<blockBits+int64(v.offset), v
			break
		}
		if v.blocks > 0 {
			blocks = int64(v.blocks)
		}
		if (c.block+1)<<blockBits-start > maxExtent {
			return nil, fmt.Errorf("an extent of more than %d bytes", maxExtent)
		}
	}
	size := min(c.at, c.f.size) - start
	if size <= 0 {
		return nil, fmt.Errorf("an extent of %d bytes", size)
	}
	piece, err := c.extent(head, blocks, size, start+size == c.f.size)
	if err != nil {
		return nil, fmt.Errorf("extent at %d: %w", start, err)
	}
	return piece, nil
}

// extent reads the extent of a head whose cluster has so many blocks.
func (c *clustered) extent(head value, blocks, size int64, last bool) ([]byte, error) {
	var raw []byte
	var err error
	if last && c.head.Advise&adviseTail != 0 {
		raw, err = c.r.tail(c.index+c.indexSize(), int64(c.head.TailSize))
	} else {
		if head.kind == typePlain {
			blocks = 1
		}
		if blocks<<blockBits > MaxCluster {
			return nil, fmt.Errorf("a cluster of %d blocks", blocks)
		}
		raw = make([]byte, blocks<<blockBits)
		err = c.r.at(raw, int64(head.address)<<blockBits)
	}
	if err != nil {
		return nil, err
	}
	if head.kind == typePlain {
		if size > int64(len(raw)) {
			return nil, fmt.Errorf("%d plain bytes in a cluster of %d", size, len(raw))
		}
		return raw[:size], nil
	}
	algorithm := c.head.Algorithm & 15
	if head.kind == typeHead2 {
		algorithm = c.head.Algorithm >> 4
	}
	part := head.part || c.r.super.Incompat&incompatZeroPadding == 0
	return decompress(int(algorithm), raw, int(size), part)
}

// decompress unpacks a cluster, which starts with zeros, to so many bytes; part
// says that there may be more of them. Before Linux 5.4 the zeros stood at the end.
func decompress(algorithm int, raw []byte, size int, part bool) ([]byte, error) {
	for i := 0; i < BlockSize && len(raw) > 0 && raw[0] == 0; i++ {
		raw = raw[1:]
	}
	plain := make([]byte, size)
	switch {
	case algorithm == algorithmLZ4 && part:
		return plain, lz4.DecodeStart(plain, raw)
	case algorithm == algorithmLZ4:
		n, err := lz4.Decode(plain, raw)
		if err == nil && n != size {
			err = fmt.Errorf("lz4 block: has %d bytes, want %d", n, size)
		}
		return plain, err
	case algorithm == algorithmZstd && !part:
		return unzstd(raw, size)
	}
	return nil, fmt.Errorf("algorithm %d is not read", algorithm)
}
