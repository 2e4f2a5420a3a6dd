package erofs

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
)

// cache wraps a BlockCache. A value is the first checkBytes of a SHA-256 over
// the key and the rest; the rest is the number of extents, for each its size and its
// blocks (the highest bit: it is plain), the size of the tail, all of 4 bytes,
// the clusters and the tail. The check keeps a torn or damaged value out of images.
type cache struct {
	blocks BlockCache // nil: no cache
	name   string
}

const (
	checkBytes = 16
	plainFlag  = 1 << 31
)

func newCache(opt Options) *cache {
	return &cache{opt.Cache, fmt.Sprintf("erofs %s cluster %d tail %d", opt.Compressor.Name(), opt.ClusterSize, maxTail)}
}

// key names a segment as this compressor packs it at the end of a file or before it.
func (c *cache) key(plain []byte, end bool) string {
	if c.blocks == nil {
		return ""
	}
	h := sha256.New()
	fmt.Fprintf(h, "%s %t\x00", c.name, end)
	h.Write(plain)
	return hex.EncodeToString(h.Sum(nil))
}

func check(key string, value []byte) []byte {
	h := sha256.New()
	h.Write([]byte(key))
	h.Write(value)
	return h.Sum(nil)[:checkBytes:checkBytes]
}

func (c *cache) put(key string, p *packed) {
	if c.blocks == nil {
		return
	}
	value := order.AppendUint32(nil, uint32(len(p.extents)))
	for _, x := range p.extents {
		blocks := uint32(x.blocks)
		if x.plain {
			blocks |= plainFlag
		}
		value = order.AppendUint32(order.AppendUint32(value, uint32(x.size)), blocks)
	}
	value = order.AppendUint32(value, uint32(len(p.tail)))
	value = append(append(value, p.data...), p.tail...)
	c.blocks.Put(key, append(check(key, value), value...))
}

// get fills p from the cache; size is that of the plain segment.
func (c *cache) get(key string, p *packed, size int, end bool) bool {
	if c.blocks == nil {
		return false
	}
	value, ok := c.blocks.Get(key)
	if !ok || len(value) < checkBytes || !bytes.Equal(value[:checkBytes], check(key, value[checkBytes:])) {
		return false
	}
	p.reset()
	return p.decode(value[checkBytes:]) && p.fits(size, end)
}

func (p *packed) decode(value []byte) bool {
	number := func() uint32 {
		if len(value) < 4 {
			value = nil
			return 0
		}
		n := order.Uint32(value)
		value = value[4:]
		return n
	}
	blocks := int64(0)
	for range min(int(number()), len(value)/8) {
		x := extent{size: int32(number())}
		word := number()
		x.blocks, x.plain = int32(word&^plainFlag), word&plainFlag != 0
		blocks += int64(x.blocks)
		p.extents = append(p.extents, x)
	}
	tail := int64(number())
	if int64(len(value)) != blocks<<blockBits+tail {
		return false
	}
	p.data = append(p.data, value[:len(value)-int(tail)]...)
	p.tail = append(p.tail, value[len(value)-int(tail):]...)
	return true
}

// fits reports whether the extents make up a segment.
func (p *packed) fits(size int, end bool) bool {
	sum := 0
	for i, x := range p.extents {
		if x.size <= 0 || x.blocks < 0 || x.blocks == 0 && (!end || i != len(p.extents)-1) {
			return false
		}
		sum += int(x.size)
	}
	return sum == size
}
