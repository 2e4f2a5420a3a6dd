package zstdblock

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/klauspost/compress/zstd"

	"ashlar/internal/testenv"
)

// decode gives what the library makes of frames.
func decode(t testing.TB, frames []byte) []byte {
	t.Helper()
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true))
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

// decodeByProgram lets zstd decode frames, all in one file.
func decodeByProgram(t testing.TB, frames []byte) []byte {
	t.Helper()
	program := testenv.RequireTool(t, "zstd")
	file := filepath.Join(t.TempDir(), "frames.zst")
	if err := os.WriteFile(file, frames, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "-q", "-d", "-c", file)
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("zstd -d: %v: %s", err, said.String())
	}
	return out
}

// TestDecodersAgree compresses every shape of input with one encoder for each
// level, compares the frames with the golden ones, and lets two decoders read them.
func TestDecodersAgree(t *testing.T) {
	for _, level := range Levels() {
		t.Run(level.String(), func(t *testing.T) {
			e := New(level)
			var frames, want []byte
			for _, in := range inputs() {
				frame := e.Encode(nil, in.data)
				if got := decode(t, frame); !bytes.Equal(got, in.data) {
					t.Errorf("%s: the library decodes otherwise", in.name)
				}
				if limit := len(in.data) + 9*(1+len(in.data)/MaxFrame) + 3*(1+len(in.data)/1024); len(frame) > limit {
					t.Errorf("%s: %d bytes became %d", in.name, len(in.data), len(frame))
				}
				frames, want = append(frames, frame...), append(want, in.data...)
			}
			checkGolden(t, level, frames)
			if got := decodeByProgram(t, frames); !bytes.Equal(got, want) {
				t.Error("zstd decodes otherwise")
			}
		})
	}
}

// TestMixtures joins pieces of all kinds by chance.
func TestMixtures(t *testing.T) {
	for _, level := range Levels() {
		c := chance(uint64(level) * 77777)
		e := New(level)
		var frames, want []byte
		for range 60 {
			var data []byte
			for range 1 + c.below(6) {
				n := 1 + c.below(1<<(2+c.below(14)))
				kinds := []func(int) []byte{c.noise, c.prose, c.records, c.skewed, c.copies, func(n int) []byte { return make([]byte, n) }}
				data = append(data, kinds[c.below(len(kinds))](n)...)
			}
			frame := e.Encode(nil, data)
			if got := decode(t, frame); !bytes.Equal(got, data) {
				t.Fatalf("%v: %d bytes are decoded otherwise", level, len(data))
			}
			frames, want = append(frames, frame...), append(want, data...)
		}
		if got := decodeByProgram(t, frames); !bytes.Equal(got, want) {
			t.Errorf("%v: zstd decodes otherwise", level)
		}
	}
}

// TestUsedEncoders compares used encoders, in either order and side by side,
// with fresh ones, and bytes appended with bytes alone.
func TestUsedEncoders(t *testing.T) {
	var all []input
	for i, in := range inputs() {
		if i%4 == 1 || len(in.data) < 5000 {
			all = append(all, in)
		}
	}
	for _, level := range Levels() {
		fresh := make([][]byte, len(all))
		for i, in := range all {
			fresh[i] = New(level).Encode(nil, in.data)
		}
		var workers sync.WaitGroup
		for worker := range 2 {
			workers.Go(func() {
				e := New(level)
				prefix := []byte("before")
				for i := range all {
					if worker == 1 {
						i = len(all) - 1 - i
					}
					out := e.Encode(prefix, all[i].data)
					if !bytes.HasPrefix(out, prefix) || !bytes.Equal(out[len(prefix):], fresh[i]) {
						t.Errorf("%v: %s: a used encoder makes another frame", level, all[i].name)
					}
				}
			})
		}
		workers.Wait()
	}
}

// FuzzEncode checks at each level that frames hold what went in, and that an
// encoder that was used before makes the same frame.
func FuzzEncode(f *testing.F) {
	f.Add([]byte(nil))
	f.Add([]byte("a"))
	f.Add(bytes.Repeat([]byte("ashlar"), 100))
	c := chance(1)
	f.Add(c.prose(3000))
	f.Add(c.skewed(2000))
	f.Add(append(c.records(1500), c.noise(300)...))
	used := map[Level]*Encoder{}
	for _, l := range Levels() {
		used[l] = New(l)
	}
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		for _, l := range Levels() {
			frame := New(l).Encode(nil, src)
			if got, err := d.DecodeAll(frame, nil); err != nil || !bytes.Equal(got, src) {
				t.Fatalf("%v: decoded otherwise: %v", l, err)
			}
			if again := used[l].Encode(nil, src); !bytes.Equal(again, frame) {
				t.Fatalf("%v: a used encoder makes another frame", l)
			}
		}
	})
}
