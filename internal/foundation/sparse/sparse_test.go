package sparse

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"testing"
)

type recorder struct {
	data    []byte
	written int
}

func (r *recorder) WriteAt(p []byte, off int64) (int, error) {
	r.written += len(p)
	return copy(r.data[off:], p), nil
}

func TestCopySkipsZeroPages(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 50 {
		data := make([]byte, random.IntN(2*buffer)+1)
		nonzero := 0
		for i := 0; i < len(data); i += page {
			if random.IntN(3) == 0 {
				data[min(i+random.IntN(page), len(data)-1)] = 1
			}
		}
		for i := 0; i < len(data); i += page {
			if p := data[i:min(i+page, len(data))]; bytes.IndexByte(p, 1) >= 0 {
				nonzero += len(p)
			}
		}
		w := &recorder{data: make([]byte, len(data)+page)}
		if err := Copy(context.Background(), w, page, bytes.NewReader(data), int64(len(data))); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(w.data[page:], data) {
			t.Fatal("content differs")
		}
		if w.written != nonzero {
			t.Errorf("%d bytes written, %d are on pages that are not zero", w.written, nonzero)
		}
	}
}

func TestCopyNeedsExactSize(t *testing.T) {
	w := &recorder{data: make([]byte, 10)}
	r := bytes.NewReader([]byte("abcd"))
	if err := Copy(context.Background(), w, 0, r, 5); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("short content: %v", err)
	}
	r = bytes.NewReader([]byte("abcd"))
	if err := Copy(context.Background(), w, 0, r, 3); err != nil {
		t.Fatal(err)
	}
	if AtEnd(r) == nil {
		t.Error("one byte is left, AtEnd says nothing")
	}
	if err := AtEnd(r); err != nil {
		t.Errorf("at the end: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := Copy(ctx, w, 0, bytes.NewReader([]byte("abc")), 3); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}
