package kmod

import (
	"bytes"
	"fmt"
	"io"
	"path"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/mikelolasagasti/xz"
)

// MaxSize bounds the size of an uncompressed module, in bytes.
const MaxSize = 64 << 20

// Decompress gives a module's uncompressed file; the path's ending names the
// compression.
func Decompress(file string, data []byte) ([]byte, error) {
	r, end, err := decompressor(file, data)
	if err != nil {
		return nil, fmt.Errorf("decompress module %s: %w", file, err)
	}
	defer end()
	if r == nil {
		return data, nil
	}
	var out bytes.Buffer
	out.Grow(min(6*len(data), MaxSize)) // what xz makes of modules, about
	if _, err = io.Copy(&out, io.LimitReader(r, MaxSize+1)); err == nil && out.Len() > MaxSize {
		err = fmt.Errorf("more than %d bytes", MaxSize)
	} else if err == nil && out.Len() == 0 {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return nil, fmt.Errorf("decompress module %s: %w", file, err)
	}
	return out.Bytes(), nil
}

// decompressor gives nil for what is not compressed.
func decompressor(file string, data []byte) (r io.Reader, end func(), err error) {
	end = func() {}
	switch path.Ext(file) {
	case ".xz":
		r, err = xz.NewReader(bytes.NewReader(data), MaxSize)
	case ".zst":
		var d *zstd.Decoder
		d, err = zstd.NewReader(bytes.NewReader(data), zstd.WithDecoderMaxMemory(MaxSize), zstd.WithDecoderConcurrency(1))
		if err == nil {
			r, end = d, d.Close
		}
	case ".gz":
		r, err = gzip.NewReader(bytes.NewReader(data))
	}
	return r, end, err
}
