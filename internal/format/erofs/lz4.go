package erofs

import (
	"fmt"

	"ashlar/internal/format/lz4"
)

// NewCompressor gives the compressor of a definition: "lz4" at a level of 1 to
// 12, 0 for the level best for images, or "none". For zstd see Zstd.
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
		cluster:   16 << 10,
		settings:  lz4Settings,
		newPacker: func(cluster int) segmentPacker {
			return &lz4Packer{encoder: lz4.NewEncoder(1 << (level - 1)), cluster: cluster}
		},
	}, nil
}

// lz4Settings says the farthest distance of a match and the blocks of a cluster.
func lz4Settings(cluster int) []byte {
	const farthest = 1<<16 - 1
	out := order.AppendUint16(nil, farthest)
	out = order.AppendUint16(out, uint16(cluster>>blockBits))
	return append(out, make([]byte, 10)...)
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
