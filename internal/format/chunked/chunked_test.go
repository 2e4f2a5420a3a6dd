package chunked

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"

	"ashlar/internal/format/imagetest"
)

func image() []byte {
	data := make([]byte, 100_000)
	copy(data[20_000:], imagetest.Words(1, 30_000))
	data[99_999] = 1
	return data
}

func TestEach(t *testing.T) {
	want := image()
	for _, workers := range []int{0, 1, 3, 8} {
		var got, packed []byte
		zeros := 0
		opt := Options{Size: int64(len(want)), Chunk: 4096, Workers: workers, NewPacker: func() (func(out, data []byte) ([]byte, error), error) {
			return func(out, data []byte) ([]byte, error) { return append(out, data[:7]...), nil }, nil
		}}
		err := Each(t.Context(), bytes.NewReader(want), opt, func(c Chunk) error {
			if c.Index*4096 != int64(len(got)) || c.Zero != IsZero(c.Data) || c.Zero == (len(c.Packed) > 0) {
				t.Errorf("piece %d", c.Index)
			}
			if c.Zero {
				zeros++
			}
			got, packed = append(got, c.Data...), append(packed, c.Packed...)
			return nil
		})
		if err != nil || !bytes.Equal(got[:len(want)], want) || !IsZero(got[len(want):]) || zeros != 4+11 || len(packed) != 7*(25-15) {
			t.Errorf("%d workers: %d bytes, %d zeros, %d packed, %v", workers, len(got), zeros, len(packed), err)
		}
	}
}

func TestEachFails(t *testing.T) {
	cause := errors.New("the cause")
	nothing := func(Chunk) error { return nil }
	opt := Options{Size: 100_000, Chunk: 4096, Workers: 2}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	packs := opt
	packs.NewPacker = func() (func(out, data []byte) ([]byte, error), error) {
		return func([]byte, []byte) ([]byte, error) { return nil, cause }, nil
	}
	none := opt
	none.NewPacker = func() (func(out, data []byte) ([]byte, error), error) { return nil, cause }
	for name, c := range map[string]struct {
		got  error
		want error
	}{
		"short":   {Each(t.Context(), bytes.NewReader(image()[1:]), opt, nothing), io.ErrUnexpectedEOF},
		"visit":   {Each(t.Context(), bytes.NewReader(image()), opt, func(Chunk) error { return cause }), cause},
		"pack":    {Each(t.Context(), bytes.NewReader(image()), packs, nothing), cause},
		"packer":  {Each(t.Context(), bytes.NewReader(image()), none, nothing), cause},
		"context": {Each(ended, bytes.NewReader(image()), opt, nothing), context.Canceled},
	} {
		if !errors.Is(c.got, c.want) {
			t.Errorf("%s: got %v, want %v", name, c.got, c.want)
		}
	}
	if Each(t.Context(), nil, Options{Size: -1, Chunk: 1}, nothing) == nil || Each(t.Context(), nil, Options{}, nothing) == nil {
		t.Error("wrong sizes are taken")
	}
}
