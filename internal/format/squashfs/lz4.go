package squashfs

import (
	"errors"
	"fmt"
	"sync"

	"ashlar/internal/format/lz4"
)

// maxLZ4Level looks at 2048 places for a match.
const maxLZ4Level = 12

// LZ4 gives the lz4 compressor, at a level of 1 to 12 of which each looks at
// twice the places of the one before; 0 is the level best for images.
func LZ4(level int) (Compressor, error) {
	if level < 0 || level > maxLZ4Level {
		return nil, fmt.Errorf("lz4 level %d: want 1 to %d, or 0 for the best for images", level, maxLZ4Level)
	}
	if level == 0 {
		level = 5
	}
	return &lz4Compressor{level, sync.Pool{New: func() any { return lz4.NewEncoder(1 << (level - 1)) }}}, nil
}

type lz4Compressor struct {
	level    int
	encoders sync.Pool // of *lz4.Encoder
}

func (c *lz4Compressor) ID() uint16 { return idLZ4 }

func (c *lz4Compressor) Name() string {
	return fmt.Sprintf("ashlar lz4 %d level %d", lz4.Version, c.level)
}

// Options is the version of the block format, 1, and flags, of which 1 says that
// the encoder took its time. The kernel demands the block and the version.
func (c *lz4Compressor) Options() []byte { return []byte{1, 0, 0, 0, 1, 0, 0, 0} }

func (c *lz4Compressor) Compress(dst, src []byte) ([]byte, error) {
	e := c.encoders.Get().(*lz4.Encoder)
	defer c.encoders.Put(e)
	e.Reset(src)
	out, n := e.Next(dst, len(src)-1, len(src))
	if n < len(src) { // does not become shorter
		out = append(dst, src...)
	}
	e.Reset(nil) // src is the caller's
	return out, nil
}

func unlz4(packed []byte, limit int) ([]byte, error) {
	out := make([]byte, limit)
	n, err := lz4.Decode(out, packed)
	if err == nil && n == 0 {
		err = errors.New("lz4 block: has no bytes")
	}
	return out[:n], err
}
