package erofs

import (
	"fmt"
	"math/bits"

	"github.com/klauspost/compress/zstd"
)

// BlockCompressor makes one independent frame out of at most 1 MiB of bytes, the
// same for ever. A result that is not shorter is not used. It is safe for concurrent use.
type BlockCompressor interface {
	// Name says who compresses, which version and how. Equal names mean equal bytes.
	Name() string
	// Compress appends the compressed src to dst.
	Compress(dst, src []byte) ([]byte, error)
}

// Zstd gives the compressor that cuts files into extents of as many plain
// bytes as a cluster may have and has frames made of them. Kernels read it since Linux 6.10.
func Zstd(frames BlockCompressor) Compressor {
	return Compressor{
		name:      frames.Name(),
		algorithm: algorithmZstd,
		cluster:   128 << 10,
		settings:  zstdSettings,
		newPacker: func(cluster int) segmentPacker { return &framePacker{frames: frames, cluster: cluster} },
	}
}

// zstdSettings says the window that frames need, as a logarithm less 10.
func zstdSettings(cluster int) []byte {
	return []byte{0, byte(bits.Len(uint(cluster-1)) - 10), 0, 0, 0, 0}
}

type framePacker struct {
	frames  BlockCompressor
	cluster int
	frame   []byte
}

func (k *framePacker) pack(p *packed, segment []byte, end bool) error {
	for rest := segment; len(rest) > 0; {
		part := rest[:min(len(rest), k.cluster)]
		rest = rest[len(part):]
		var err error
		if k.frame, err = k.frames.Compress(k.frame[:0], part); err != nil {
			return err
		}
		if end && len(rest) == 0 && k.end(p, part) {
			return nil
		}
		if len(part) > int(blocksOf(int64(len(k.frame))))<<blockBits {
			p.cluster(k.frame, len(part))
		} else {
			p.plain(part)
		}
	}
	return nil
}

// end puts a file's last part behind the inode, if it is short.
func (k *framePacker) end(p *packed, part []byte) bool {
	switch {
	case len(part) <= maxTail && len(k.frame) >= len(part):
		p.end(part, len(part), true)
	case len(k.frame) <= maxTail:
		p.end(k.frame, len(part), false)
	default:
		return false
	}
	return true
}

// unzstd unpacks a frame to so many bytes.
func unzstd(raw []byte, size int) ([]byte, error) {
	d, err := zstd.NewReader(nil,
		zstd.WithDecoderConcurrency(1),
		zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxMemory(maxExtent),
		zstd.WithDecoderMaxWindow(maxExtent),
		zstd.WithDecodeAllCapLimit(true)) // never beyond the capacity of the destination
	if err != nil {
		return nil, err
	}
	defer d.Close()
	plain, err := d.DecodeAll(raw, make([]byte, 0, size))
	if err == nil && len(plain) != size {
		err = fmt.Errorf("zstd frame: has %d bytes, want %d", len(plain), size)
	}
	return plain, err
}
