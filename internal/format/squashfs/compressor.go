package squashfs

import (
	"bytes"
	"fmt"
	"sync"

	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"
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
	idZstd = 6
)

// libraryVersion is the version of klauspost/compress that go.mod pins; a test
// holds the two together. With another version blocks may come out otherwise.
const libraryVersion = "1.20.3"

// NewCompressor gives the compressor of a definition: "zstd", "gzip" or
// "none", with a level of its usual scale (zstd 1–22, gzip 1–9); 0 is the level best for images.
func NewCompressor(name string, level int) (Compressor, error) {
	switch name {
	case "zstd":
		if level == 0 {
			return Zstd(zstd.SpeedBestCompression)
		}
		if level < 1 || level > 22 {
			return nil, fmt.Errorf("zstd level %d: want 1 to 22, or 0 for the best", level)
		}
		return Zstd(zstd.EncoderLevelFromZstd(level))
	case "gzip":
		if level == 0 {
			level = zlib.BestCompression
		}
		return Gzip(level)
	case "none":
		if level != 0 {
			return nil, fmt.Errorf("compressor none has no level %d", level)
		}
		return None(), nil
	}
	return nil, fmt.Errorf("compressor %q: want zstd, gzip or none", name)
}

// Zstd gives the zstd compressor at one of the library's levels, of which it
// has four. Each worker gets an encoder of its own, kept for the next block.
func Zstd(level zstd.EncoderLevel) (Compressor, error) {
	c := &zstdCompressor{level: level, name: fmt.Sprintf("zstd %s level %s", libraryVersion, level)}
	e, err := c.encoder() // so that a wrong level is known here, not at the first block
	if err != nil {
		return nil, fmt.Errorf("make zstd compressor: %w", err)
	}
	c.free = append(c.free, e)
	return c, nil
}

type zstdCompressor struct {
	level zstd.EncoderLevel
	name  string
	mu    sync.Mutex
	free  []*zstd.Encoder
}

func (c *zstdCompressor) ID() uint16      { return idZstd }
func (c *zstdCompressor) Name() string    { return c.name }
func (c *zstdCompressor) Options() []byte { return nil } // the kernel needs none to decompress

// encoder makes an encoder of independent blocks. The frame is a single
// segment: its window is the block itself, never more than the kernel provides for.
func (c *zstdCompressor) encoder() (*zstd.Encoder, error) {
	return zstd.NewWriter(nil,
		zstd.WithEncoderLevel(c.level),
		zstd.WithEncoderConcurrency(1),
		zstd.WithEncoderCRC(false),
		zstd.WithWindowSize(maxBlockSize),
		zstd.WithSingleSegment(true),
		zstd.WithLowerEncoderMem(false))
}

func (c *zstdCompressor) Compress(dst, src []byte) ([]byte, error) {
	e, err := c.take()
	if err != nil {
		return nil, err
	}
	dst = e.EncodeAll(src, dst)
	c.mu.Lock()
	c.free = append(c.free, e)
	c.mu.Unlock()
	return dst, nil
}

func (c *zstdCompressor) take() (*zstd.Encoder, error) {
	c.mu.Lock()
	if n := len(c.free); n > 0 {
		e := c.free[n-1]
		c.free = c.free[:n-1]
		c.mu.Unlock()
		return e, nil
	}
	c.mu.Unlock()
	return c.encoder()
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
