package oci

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"

	fastgzip "github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"ashlar/internal/foundation/digest"
)

// Compression of layers.
const (
	Gzip = "gzip" // every runtime reads it
	Zstd = "zstd" // smaller and faster; runtimes since about 2021
)

// gzipLevel is the library's default. Its bytes are those of the version in
// go.mod; golden digests tell when they change.
const gzipLevel = 6

// zstdFrame is the input of one frame, in bytes. Frames follow one another, as
// RFC 8878 allows; the library's bytes for single buffers have not changed over
// its versions, those of its streams have.
const zstdFrame = 4 << 20

// MediaTypeOf gives the media type of layers of a compression.
func MediaTypeOf(compression string) (string, error) {
	switch compression {
	case Gzip:
		return MediaLayerGzip, nil
	case Zstd:
		return MediaLayerZstd, nil
	}
	return "", fmt.Errorf("compression %q: want gzip or zstd", compression)
}

// NewCompressor compresses what is written to it; Close ends the stream and
// leaves w open. Equal input gives equal output, however it is cut into writes.
func NewCompressor(w io.Writer, compression string) (io.WriteCloser, error) {
	switch compression {
	case Gzip:
		return fastgzip.NewWriterLevel(w, gzipLevel)
	case Zstd:
		encoder, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedBetterCompression), zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(zstdFrame))
		return &frames{w: w, encoder: encoder, in: make([]byte, 0, zstdFrame)}, err
	}
	return nil, fmt.Errorf("compression %q: want gzip or zstd", compression)
}

// frames writes a frame for every zstdFrame bytes.
type frames struct {
	w       io.Writer
	encoder *zstd.Encoder
	in, out []byte
	any     bool
}

// Write implements io.Writer.
func (f *frames) Write(p []byte) (int, error) {
	written := 0
	for len(p) > 0 {
		n := min(len(p), zstdFrame-len(f.in))
		f.in = append(f.in, p[:n]...)
		p, written = p[n:], written+n
		if len(f.in) == zstdFrame {
			if err := f.flush(); err != nil {
				return written, err
			}
		}
	}
	return written, nil
}

func (f *frames) flush() error {
	f.out, f.any = f.encoder.EncodeAll(f.in, f.out[:0]), true
	f.in = f.in[:0]
	_, err := f.w.Write(f.out)
	return err
}

// Close implements io.Closer.
func (f *frames) Close() error {
	if len(f.in) == 0 && f.any {
		return nil
	}
	return f.flush()
}

// MakeLayer writes a layer to w: tar gets what is to be compressed. Source and By
// are the caller's to fill in.
func MakeLayer(w io.Writer, compression string, tar func(io.Writer) error) (Layer, error) {
	media, err := MediaTypeOf(compression)
	if err != nil {
		return Layer{}, err
	}
	out, raw := newSummer(w), newSummer(nil)
	c, err := NewCompressor(out, compression)
	if err != nil {
		return Layer{}, err
	}
	raw.w = c
	if err := tar(raw); err != nil {
		return Layer{}, err
	}
	if err := c.Close(); err != nil {
		return Layer{}, fmt.Errorf("compress layer: %w", err)
	}
	return Layer{MediaType: media, Digest: out.sum(), Size: out.n, DiffID: raw.sum()}, nil
}

// decompress opens a layer's tar.
func decompress(r io.Reader, mediaType string) (io.ReadCloser, error) {
	switch mediaType {
	case MediaLayer:
		return io.NopCloser(r), nil
	case MediaLayerGzip, dockerLayer:
		return gzip.NewReader(r)
	case MediaLayerZstd:
		const window = 128 << 20
		d, err := zstd.NewReader(r, zstd.WithDecoderMaxWindow(window), zstd.WithDecoderConcurrency(1))
		if err != nil {
			return nil, err
		}
		return d.IOReadCloser(), nil
	}
	return nil, fmt.Errorf("layers of type %.100q are not known", mediaType)
}

// errDigest tells that bytes are not those that were named.
var errDigest = errors.New("its bytes do not have the digest that names it")

func sameDigest(got digest.Digest, want string) error {
	if text(got) != want {
		return fmt.Errorf("%w: %s, want %.80s", errDigest, got, want)
	}
	return nil
}
