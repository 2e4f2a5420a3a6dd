package debfile

import (
	"bufio"
	"compress/bzip2"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/mikelolasagasti/xz"
)

const (
	xzDictionary = 64 << 20  // bytes: what xz -9 uses
	zstdWindow   = 128 << 20 // bytes: what the zstd program takes without being told to take more
)

// decompress chooses by the member's suffix. The second result frees what the
// decoder holds.
func decompress(suffix string, r io.Reader) (io.Reader, func(), error) {
	free := func() {}
	switch suffix {
	case "":
		return r, free, nil
	case ".gz":
		z, err := gzip.NewReader(bufio.NewReader(r))
		if err != nil {
			return nil, nil, err
		}
		return z, free, nil
	case ".xz":
		z, err := xz.NewReader(bufio.NewReaderSize(r, 64<<10), xzDictionary)
		if err != nil {
			return nil, nil, err
		}
		return z, free, nil
	case ".zst":
		z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(zstdWindow), zstd.WithDecoderLowmem(true))
		if err != nil {
			return nil, nil, err
		}
		return z, z.Close, nil
	case ".bz2":
		return bzip2.NewReader(bufio.NewReader(r)), free, nil
	}
	return nil, nil, fmt.Errorf("compression %q is not known; gz, xz, zst and bz2 are", suffix)
}
