package erofs

import (
	"bytes"
	"math/bits"

	"ashlar/internal/foundation/digest"
)

// Chunks of files that are cut only to leave zeros out: not so small that many
// files would have an index for a few blocks, and not more than some thousand in a file.
const (
	minHole   = 64 << 10
	maxChunks = 1 << 14
)

// chunk is a part of a file.
type chunk struct {
	data []byte
	zero bool
	sum  digest.Digest // if equal ones are to be found
}

// chunkKey tells chunks apart; the last of a file may be shorter.
type chunkKey struct {
	sum  digest.Digest
	size int
}

// chunkBits gives the size of a file's chunks as a power of two.
func chunkBits(size int64, chunkSize int) int {
	if chunkSize == 0 {
		for chunkSize = minHole; chunkSize < segmentSize && size/int64(chunkSize) >= maxChunks; {
			chunkSize *= 2
		}
	}
	return bits.TrailingZeros(uint(chunkSize))
}

// survey cuts a segment into chunks and looks at each.
func (j *job) survey(chunkSize int) {
	size := 1 << chunkBits(j.content.entry.Size, chunkSize)
	j.chunks = j.chunks[:0]
	for at := 0; at < len(j.plain); at += size {
		c := chunk{data: j.plain[at:min(at+size, len(j.plain))]}
		if c.zero = allZero(c.data); !c.zero && chunkSize > 0 {
			c.sum = digest.Of(c.data)
		}
		j.chunks = append(j.chunks, c)
	}
}

func allZero(p []byte) bool {
	return p[0] == 0 && bytes.Equal(p[1:], p[:len(p)-1])
}

// storeChunks writes those chunks of a segment that are not stored yet. The
// end of the file, less than a block, waits if it may come to stand behind the inode.
func (p *pipeline) storeChunks(c *content, j *job) error {
	c.bits = chunkBits(c.entry.Size, p.im.opt.ChunkSize)
	for i, x := range j.chunks {
		keep := 0
		if last := j.last && i == len(j.chunks)-1; last && p.mayInline(c) {
			keep = len(x.data) % BlockSize
		}
		if err := p.storeChunk(c, x, keep); err != nil {
			return err
		}
	}
	if !j.last {
		return nil
	}
	return p.endChunks(c)
}

// mayInline reports whether the end of a file may stand behind its inode: with
// chunks only if that is all of it.
func (p *pipeline) mayInline(c *content) bool {
	return p.im.opt.ChunkSize == 0 || c.entry.Size <= maxTail
}

// storeChunk writes a chunk, but for some bytes at its end that it keeps.
func (p *pipeline) storeChunk(c *content, x chunk, keep int) error {
	stats, key := &p.im.plan.stats, chunkKey{x.sum, len(x.data)}
	if x.zero && len(x.data) >= BlockSize {
		stats.ZeroChunks++
		c.chunks = append(c.chunks, nullBlock)
		return nil
	}
	find := p.im.opt.ChunkSize > 0 && !x.zero && keep == 0
	address, known := p.shared[key]
	if find && known {
		stats.SharedChunks++
		c.chunks = append(c.chunks, address)
		return nil
	}
	address = uint32(p.im.at >> blockBits)
	c.chunks = append(c.chunks, address)
	if find {
		p.shared[key] = address
	}
	whole := len(x.data) - keep
	c.tail = append(c.tail, x.data[whole:]...)
	return p.im.append(append(x.data[:whole:whole], make([]byte, -whole&(BlockSize-1))...))
}

// endChunks decides how a file is stored: as a run of blocks, its end behind
// the inode if it is short, or chunk by chunk.
func (p *pipeline) endChunks(c *content) error {
	c.layout = layoutChunks
	if c.isRun() {
		c.layout, c.start, c.chunks = layoutPlain, c.chunks[0], nil
		if len(c.tail) > 0 && len(c.tail) <= maxTail {
			c.layout = layoutInline
			return nil
		}
	}
	if len(c.tail) == 0 {
		return nil
	}
	block := make([]byte, BlockSize)
	copy(block, c.tail)
	c.tail = nil
	return p.im.append(block)
}

// isRun reports whether the chunks stand one behind the other.
func (c *content) isRun() bool {
	next := c.chunks[0]
	for _, address := range c.chunks {
		if address == nullBlock || address != next {
			return false
		}
		next += uint32(1) << (c.bits - blockBits)
	}
	return true
}
