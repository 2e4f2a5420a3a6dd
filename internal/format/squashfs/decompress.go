package squashfs

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"
)

// decompress gives the plain form of one packed block, of at most limit bytes.
// It is safe for concurrent use.
type decompress func(packed []byte, limit int) ([]byte, error)

// decompressors has a maker for every compressor number that is read.
var decompressors = map[uint16]func() (decompress, error){
	idGzip: func() (decompress, error) { return inflate, nil },
	idLZ4:  func() (decompress, error) { return unlz4, nil },
	idZstd: newUnzstd,
}

func inflate(packed []byte, limit int) ([]byte, error) {
	r, err := zlib.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, err
	}
	out := bytes.NewBuffer(make([]byte, 0, limit+bytes.MinRead))
	n, err := io.Copy(out, io.LimitReader(r, int64(limit)+1))
	if err := errors.Join(err, r.Close()); err != nil {
		return nil, err
	}
	if n > int64(limit) {
		return nil, fmt.Errorf("block has more than %d plain bytes", limit)
	}
	return out.Bytes(), nil
}

func newUnzstd() (decompress, error) {
	d, err := zstd.NewReader(nil,
		zstd.WithDecoderConcurrency(0),
		zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxMemory(maxBlockSize),
		zstd.WithDecoderMaxWindow(maxBlockSize),
		zstd.WithDecodeAllCapLimit(true)) // never beyond the capacity of the destination
	if err != nil {
		return nil, err
	}
	return func(packed []byte, limit int) ([]byte, error) {
		return d.DecodeAll(packed, make([]byte, 0, limit))
	}, nil
}
