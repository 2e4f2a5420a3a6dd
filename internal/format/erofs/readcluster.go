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

	part *fragmentReader // the rest of the file, in the packed file
}

// value is what an index says of one block of the plain file.
type value struct {
	logical
	address uint32 // of a head's cluster
	part    bool   // the extent is a part of what its cluster holds
}

// run is an extent as an index has it.
type run struct {
	head   value
	start  int64
	size   int64
	blocks int64 // of its cluster
}

func newClustered(r *Reader, f *found) (*clustered, error) {
	c := &clustered{r: r, f: f, count: blocksOf(f.size)}
	place := alignUp(f.end, 8)
	raw := make([]byte, mapHeaderSize)
	if err := r.at(raw, place); err != nil {
		return nil, err
	}
	if word := order.Uint64(raw); word&wholeFragment != 0 {
		c.part = &fragmentReader{r: r, at: int64(word &^ wholeFragment), left: f.size}
		return c, nil
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
		return nil, fmt.Errorf("logical clusters of other sizes (%#x) are not read", c.head.ClusterBits)
	case c.head.Advise&^(adviseLargePacks|adviseBig|adviseTail|adviseFragment) != 0:
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
	if c.part != nil {
		return c.part.next()
	}
	x, err := c.nextRun()
	if err != nil {
		return nil, err
	}
	if last := x.start+x.size == c.f.size; last && c.head.Advise&adviseFragment != 0 {
		place := int64(c.head.Tail)
		if c.f.layout == layoutFullIndex {
			place |= int64(x.head.address) << 32
		}
		c.part = &fragmentReader{r: c.r, at: place, left: x.size}
		return c.part.next()
	}
	return c.extent(x)
}

// nextRun finds the end of the extent whose head is known.
func (c *clustered) nextRun() (run, error) {
	x := run{head: c.first, start: c.at, blocks: 1}
	for c.block++; ; c.block++ {
		if c.block >= c.count {
			c.at = c.f.size
			break
		}
		v, err := c.value(c.block)
		if err != nil {
			return x, err
		}
		if v.kind != typeNonHead {
			c.at, c.first = c.block<<blockBits+int64(v.offset), v
			break
		}
		if v.blocks > 0 {
			x.blocks = int64(v.blocks)
		}
		if (c.block+1)<<blockBits-x.start > maxExtent {
			return x, fmt.Errorf("an extent of more than %d bytes", maxExtent)
		}
	}
	if x.size = min(c.at, c.f.size) - x.start; x.size <= 0 {
		return x, fmt.Errorf("an extent of %d bytes", x.size)
	}
	if x.head.kind == typePlain {
		x.blocks = 1
	}
	return x, nil
}

// extent reads an extent.
func (c *clustered) extent(x run) ([]byte, error) {
	raw, err := c.cluster(x)
	if err != nil {
		return nil, fmt.Errorf("extent at %d: %w", x.start, err)
	}
	if x.head.kind == typePlain {
		if x.size > int64(len(raw)) {
			return nil, fmt.Errorf("extent at %d: %d plain bytes in a cluster of %d", x.start, x.size, len(raw))
		}
		return raw[:x.size], nil
	}
	algorithm := c.head.Algorithm & 15
	if x.head.kind == typeHead2 {
		algorithm = c.head.Algorithm >> 4
	}
	part := x.head.part || c.r.super.Incompat&incompatZeroPadding == 0
	plain, err := decompress(int(algorithm), raw, int(x.size), part)
	if err != nil {
		return nil, fmt.Errorf("extent at %d: %w", x.start, err)
	}
	return plain, nil
}

// cluster reads what an extent is stored in.
func (c *clustered) cluster(x run) ([]byte, error) {
	if c.head.Advise&adviseTail != 0 && x.start+x.size == c.f.size {
		return c.r.tail(c.index+c.indexSize(), int64(c.head.Tail>>16))
	}
	if x.blocks<<blockBits > MaxCluster {
		return nil, fmt.Errorf("a cluster of %d blocks", x.blocks)
	}
	raw := make([]byte, x.blocks<<blockBits)
	return raw, c.r.at(raw, int64(x.head.address)<<blockBits)
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
