package zstdblock

import (
	"bytes"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// decode gives what the library makes of frames.
func decode(t testing.TB, frames []byte) []byte {
	t.Helper()
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	out, err := d.DecodeAll(frames, nil)
	if err != nil {
		t.Fatalf("decode %d bytes: %v", len(frames), err)
	}
	return out
}

// FuzzEncode checks at each level that frames hold what went in, and that an
// encoder that was used before makes the same frame.
func FuzzEncode(f *testing.F) {
	f.Add([]byte(nil))
	f.Add([]byte("a"))
	f.Add(bytes.Repeat([]byte("ashlar"), 100))
	f.Add(bytes.Repeat([]byte{0}, maxBlock+1))
	used := map[Level]*Encoder{}
	for _, l := range Levels() {
		used[l] = New(l)
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		for _, l := range Levels() {
			frame := New(l).Encode(nil, src)
			if got := decode(t, frame); !bytes.Equal(got, src) {
				t.Fatalf("%v: decoded otherwise", l)
			}
			if again := used[l].Encode(nil, src); !bytes.Equal(again, frame) {
				t.Fatalf("%v: a used encoder makes another frame", l)
			}
		}
	})
}
