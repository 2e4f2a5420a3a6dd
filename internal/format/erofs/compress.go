package erofs

import (
	"fmt"

	"ashlar/internal/format/lz4"
)

// Numbers of algorithms.
const (
	algorithmLZ4 = 0

	lz4Distance = 1<<16 - 1
)

// MaxCluster is the largest cluster, in bytes.
const MaxCluster = 1 << 20

// segmentSize is how much of a file is read and compressed at once: extents do
// not go beyond a segment, so that segments can be compressed side by side.
const segmentSize = 1 << 20

// maxTail is the longest compressed or plain rest of a file that goes behind its inode.
const maxTail = 7 << 9

// Compressor makes the clusters of files. Its results are part of images that must
// come out equal years later. The zero value is none: files are stored as they are.
type Compressor struct {
	name      string
	algorithm uint16
	newPacker func(cluster int) segmentPacker
}

// Name says who compresses, which version and how: it is part of cache keys, of
// the lock and of the manifest. Equal names mean equal bytes. "none" is none.
func (c Compressor) Name() string {
	if c.newPacker == nil {
		return "none"
	}
	return c.name
}

// configs is what stands behind the superblock: for each algorithm the size of
// its settings and the settings, here of lz4 the farthest distance of a match and the blocks of a cluster.
func (c Compressor) configs(cluster int) []byte {
	out := order.AppendUint16(nil, 14)
	out = order.AppendUint16(out, lz4Distance)
	out = order.AppendUint16(out, uint16(cluster>>blockBits))
	return append(out, make([]byte, 10)...)
}

// segmentPacker packs segments; it is for one goroutine.
type segmentPacker interface {
	// pack fills p from a segment, which is the end of its file or not.
	pack(p *packed, segment []byte, end bool) error
}

// packed is a segment's clusters.
type packed struct {
	extents []extent
	data    []byte // whole blocks
	tail    []byte // of the extent without blocks, the last of a file
}

func (p *packed) reset() {
	p.extents, p.data, p.tail = p.extents[:0], p.data[:0], p.tail[:0]
}

// cluster adds a compressed extent. Its cluster begins with zeros: so kernels
// may decompress it in the place where they read it to.
func (p *packed) cluster(block []byte, size int) {
	blocks := blocksOf(int64(len(block)))
	p.data = append(p.data, make([]byte, blocks<<blockBits-int64(len(block)))...)
	p.data = append(p.data, block...)
	p.extents = append(p.extents, extent{size: int32(size), blocks: int32(blocks)})
}

// plain adds extents that are not compressed.
func (p *packed) plain(data []byte) {
	for len(data) > 0 {
		n := min(len(data), BlockSize)
		p.data = append(p.data, data[:n]...)
		p.data = append(p.data, make([]byte, BlockSize-n)...)
		p.extents = append(p.extents, extent{size: int32(n), blocks: 1, plain: true})
		data = data[n:]
	}
}

// end adds a file's last extent, which stands behind the inode.
func (p *packed) end(block []byte, size int, plain bool) {
	p.tail = append(p.tail, block...)
	p.extents = append(p.extents, extent{size: int32(size), plain: plain})
}

// NewCompressor gives the compressor of a definition: "lz4" at a level of 1 to
// 12, 0 for the level best for images, or "none".
func NewCompressor(name string, level int) (Compressor, error) {
	switch name {
	case "lz4":
		return LZ4(level)
	case "none":
		if level != 0 {
			return Compressor{}, fmt.Errorf("compressor none has no level %d", level)
		}
		return Compressor{}, nil
	}
	return Compressor{}, fmt.Errorf("compressor %q: want lz4 or none", name)
}

// LZ4 gives the lz4 compressor. Each level looks at twice the places of the one before.
func LZ4(level int) (Compressor, error) {
	if level < 0 || level > 12 {
		return Compressor{}, fmt.Errorf("lz4 level %d: want 1 to 12, or 0 for the best for images", level)
	}
	if level == 0 {
		level = 5
	}
	return Compressor{
		name:      fmt.Sprintf("ashlar lz4 %d level %d", lz4.Version, level),
		algorithm: algorithmLZ4,
		newPacker: func(cluster int) segmentPacker {
			return &lz4Packer{encoder: lz4.NewEncoder(1 << (level - 1)), cluster: cluster}
		},
	}, nil
}

// lz4Packer fills clusters: as much input goes into each as it holds.
type lz4Packer struct {
	encoder *lz4.Encoder
	cluster int // bytes
	block   []byte
}

func (k *lz4Packer) pack(p *packed, segment []byte, end bool) error {
	k.encoder.Reset(segment)
	for rest := segment; len(rest) > 0; {
		n := k.next(p, rest, end)
		rest = rest[n:]
	}
	return nil
}

// next packs the next extent or more and gives how many plain bytes they have.
func (k *lz4Packer) next(p *packed, rest []byte, end bool) int {
	var n int
	k.block, n = k.encoder.Next(k.block[:0], k.cluster, len(rest))
	if end && n == len(rest) {
		if over := len(k.block) % BlockSize; len(k.block) > BlockSize && over > 0 && over <= maxTail {
			// Without its last block the cluster is full; what is left goes behind the inode.
			k.encoder.Move(-n)
			k.block, n = k.encoder.Next(k.block[:0], len(k.block)-over, len(rest))
		} else if n <= maxTail && len(k.block) >= n {
			p.end(rest, n, true)
			return n
		} else if len(k.block) <= maxTail {
			p.end(k.block, n, false)
			return n
		}
	}
	if n > int(blocksOf(int64(len(k.block))))<<blockBits {
		p.cluster(k.block, n)
		return n
	}
	plain := min(max(n&^(BlockSize-1), BlockSize), len(rest))
	k.encoder.Move(plain - n)
	p.plain(rest[:plain])
	return plain
}
