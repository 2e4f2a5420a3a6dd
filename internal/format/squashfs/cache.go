package squashfs

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
)

// cache wraps a BlockCache. A value is the first checkBytes of a SHA-256 over
// the key and the compressed block, then the block; no block says that the plain bytes
// do not compress. The check keeps a torn or damaged value out of images.
type cache struct {
	blocks BlockCache // nil: no cache
	name   string
}

const checkBytes = 16

func newCache(blocks BlockCache, c Compressor) *cache { return &cache{blocks, c.Name()} }

// key names plain bytes as this compressor packs them.
func (c *cache) key(plain []byte) string {
	if c.blocks == nil {
		return ""
	}
	h := sha256.New()
	h.Write([]byte(c.name))
	h.Write([]byte{0})
	h.Write(plain)
	return hex.EncodeToString(h.Sum(nil))
}

// get appends the compressed block to dst.
func (c *cache) get(key string, dst []byte, plainSize int) ([]byte, bool) {
	if c.blocks == nil {
		return dst, false
	}
	value, ok := c.blocks.Get(key)
	if !ok || len(value) < checkBytes || len(value)-checkBytes >= plainSize {
		return dst, false
	}
	if !bytes.Equal(value[:checkBytes], check(key, value[checkBytes:])) {
		return dst, false
	}
	return append(dst, value[checkBytes:]...), true
}

func (c *cache) put(key string, packed []byte) {
	if c.blocks != nil {
		c.blocks.Put(key, append(check(key, packed), packed...))
	}
}

func check(key string, packed []byte) []byte {
	h := sha256.New()
	h.Write([]byte(key))
	h.Write(packed)
	return h.Sum(nil)[:checkBytes:checkBytes]
}
