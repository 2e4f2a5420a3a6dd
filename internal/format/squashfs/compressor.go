package squashfs

import (
	"bytes"
	"fmt"
	"sync"

	"github.com/klauspost/compress/zlib"

	"ashlar/internal/format/zstdblock"
)

// Compressor makes one independent block out of at most 1 MiB of bytes, the
// same for ever: what it makes is part of images that must come out equal years later.
type Compressor interface {
	// ID is the superblock's compressor number.
	ID() uint16
	// Name says who compresses, which version and how: it is part of cache keys,
	// of the lock and of the manifest. Equal names mean equal bytes.
	Name() string
	// Compress appends the compressed src to dst. It is safe for concurrent
	// use. A result that is not shorter than src is not used.
	Compress(dst, src []byte) ([]byte, error)
	// Options is the superblock's compressor options block, without its header; nil for none.
	Options() []byte
}

// Compressor numbers of the superblock.
const (
	idGzip = 1
	idLZ4  = 5
	idZstd = 6
)

// libraryVersion is the version of klauspost/compress that go.mod pins; a test
// holds the two together. With another version blocks may come out otherwise.
const libraryVersion = "1.20.3"

// NewCompressor gives the compressor of a definition: "zstd", "gzip",
// "lz4" or "none", with a level of its usual scale (zstd 1–22, gzip 1–9, lz4 1–12);
// 0 is the level that is quick for its size.
func NewCompressor(name string, level int) (Compressor, error) {
	switch name {
	case "zstd":
		for _, l := range zstdLevels {
			if level <= l.upTo && level >= 0 {
				return Zstd(l.level), nil
			}
		}
		return nil, fmt.Errorf("zstd level %d: want 1 to 22, or 0 for the default", level)
	case "gzip":
		if level == 0 {
			level = zlib.BestCompression
		}
		return Gzip(level)
	case "lz4":
		return LZ4(level)
	case "none":
		if level != 0 {
			return nil, fmt.Errorf("compressor none has no level %d", level)
		}
		return None(), nil
	}
	return nil, fmt.Errorf("compressor %q: want zstd, gzip, lz4 or none", name)
}

// zstdLevels maps the usual scale to the encoder's levels, each standing for
// those of libzstd whose size it reaches (bench/encoder).
var zstdLevels = []struct {
	upTo  int
	level zstdblock.Level
}{
	{0, zstdblock.Default}, {9, zstdblock.Fast}, {14, zstdblock.Default}, {18, zstdblock.High}, {22, zstdblock.Best},
}

// Zstd gives the zstd compressor of this repository at one of its levels. Each
// worker gets an encoder of its own, kept for the next block.
func Zstd(level zstdblock.Level) Compressor {
	return &zstdCompressor{level, sync.Pool{New: func() any { return zstdblock.New(level) }}}
}

type zstdCompressor struct {
	level    zstdblock.Level
	encoders sync.Pool // of *zstdblock.Encoder
}

func (c *zstdCompressor) ID() uint16      { return idZstd }
func (c *zstdCompressor) Name() string    { return c.level.Identity() }
func (c *zstdCompressor) Options() []byte { return nil } // the kernel needs none to decompress

func (c *zstdCompressor) Compress(dst, src []byte) ([]byte, error) {
	e := c.encoders.Get().(*zstdblock.Encoder)
	defer c.encoders.Put(e)
	return e.Encode(dst, src), nil
}

// Gzip gives the zlib compressor, which every reader of squashfs has, GRUB's included.
func Gzip(level int) (Compressor, error) {
	if level < zlib.BestSpeed || level > zlib.BestCompression {
		return nil, fmt.Errorf("gzip level %d: want 1 to 9, or 0 for the best", level)
	}
	return &gzipCompressor{level: level}, nil
}

type gzipCompressor struct {
	level int
	pool  sync.Pool // of *zlib.Writer
}

func (c *gzipCompressor) ID() uint16 { return idGzip }
func (c *gzipCompressor) Name() string {
	return fmt.Sprintf("gzip %s level %d", libraryVersion, c.level)
}
func (c *gzipCompressor) Options() []byte { return nil }

func (c *gzipCompressor) Compress(dst, src []byte) ([]byte, error) {
	out := bytes.NewBuffer(dst)
	w, ok := c.pool.Get().(*zlib.Writer)
	if ok {
		w.Reset(out)
	} else {
		var err error
		if w, err = zlib.NewWriterLevel(out, c.level); err != nil {
			return nil, err
		}
	}
	if _, err := w.Write(src); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	c.pool.Put(w)
	return out.Bytes(), nil
}

// None stores every block as it is. The superblock must name some compressor:
// it names gzip, which every kernel with squashfs has.
func None() Compressor { return noCompressor{} }

type noCompressor struct{}

func (noCompressor) ID() uint16                               { return idGzip }
func (noCompressor) Name() string                             { return "none" }
func (noCompressor) Options() []byte                          { return nil }
func (noCompressor) Compress(dst, src []byte) ([]byte, error) { return append(dst, src...), nil }
