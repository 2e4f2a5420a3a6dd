package lz4

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"ashlar/internal/format/imagetest"
	"ashlar/internal/foundation/digest"
	"ashlar/internal/testenv"
)

// inputs gives data of all manners, the edges of lengths among it.
func inputs() map[string][]byte {
	all := map[string][]byte{
		"one":    []byte("a"),
		"words":  imagetest.Words(1, 100_000),
		"noise":  imagetest.Noise(2, 70_000),
		"zeros":  make([]byte, 1<<20),
		"mixed":  bytes.Join([][]byte{imagetest.Words(1, 5000), make([]byte, 9000), imagetest.Noise(3, 300), imagetest.Words(1, 5000), imagetest.Noise(4, 5000)}, nil),
		"far":    bytes.Join([][]byte{imagetest.Noise(5, 600), make([]byte, 65_535-600), imagetest.Noise(5, 600), make([]byte, 700), imagetest.Noise(5, 600)}, nil),
		"period": bytes.Repeat([]byte("abcdefg"), 3000),
	}
	for n := range 40 {
		all[fmt.Sprintf("zeros %d", n+1)] = make([]byte, n+1)
		all[fmt.Sprintf("words %d", n+1)] = imagetest.Words(3, n+1)
	}
	for _, n := range []int{18, 19, 20, 272, 273, 274, 275, 528, 529, 530} { // around a length's 15 and 255
		all[fmt.Sprintf("match of %d", n)] = append(append(imagetest.Noise(6, n), imagetest.Noise(6, n)...), imagetest.Noise(7, n)...)
	}
	return all
}

// blocks packs all of src into blocks of at most size bytes.
func blocks(t testing.TB, effort, size, limit int, src []byte) [][]byte {
	t.Helper()
	e := NewEncoder(effort)
	e.Reset(src)
	var all [][]byte
	for at := 0; at < len(src); {
		block, n := e.Next(nil, size, limit)
		if n <= 0 || n > limit || len(block) > size {
			t.Fatalf("a block of %d bytes, at most %d, for %d bytes, at most %d", len(block), size, n, limit)
		}
		plain := make([]byte, n)
		if got, err := Decode(plain, block); err != nil || got != n || !bytes.Equal(plain, src[at:at+n]) {
			t.Fatalf("block at %d: %d bytes of %d, %v", at, got, n, err)
		}
		if _, err := Decode(plain[:n-1], block); err == nil {
			t.Fatalf("block at %d: fits into less than its size", at)
		}
		start := make([]byte, n*2/3)
		if err := DecodeStart(start, append(block[:len(block):len(block)], "more"...)); err != nil || !bytes.Equal(start, src[at:at+len(start)]) {
			t.Fatalf("block at %d: the first %d bytes of %d: %v", at, len(start), n, err)
		}
		if err := DecodeStart(make([]byte, n+1), block); err == nil {
			t.Fatalf("block at %d: has more than its size", at)
		}
		all = append(all, block)
		at += n
	}
	if e.Rest() != 0 {
		t.Fatalf("%d bytes are left", e.Rest())
	}
	return all
}

func TestRoundTrip(t *testing.T) {
	for name, src := range inputs() {
		for _, size := range []int{17, 300, 4096, Bound(len(src))} {
			for _, effort := range []int{1, 16, 300} {
				got := blocks(t, effort, size, 1<<20, src)
				if size == Bound(len(src)) && len(got) != 1 {
					t.Errorf("%s: %d blocks, want 1 of %d bytes", name, len(got), size)
				}
			}
		}
		blocks(t, 8, 4096, 5000, src)
	}
}

// TestTightest looks whether a block of fixed size takes as much as can be had:
// the input that it took must not fit into a byte less, one byte more must not fit.
func TestTightest(t *testing.T) {
	src := imagetest.Words(8, 60_000)
	for _, size := range []int{200, 1000, 4096} {
		e := NewEncoder(4096)
		e.Reset(src)
		_, n := e.Next(nil, size, len(src))
		e.Reset(src[:n+40]) // beyond what the end of a block demands
		block, all := e.Next(nil, Bound(n+40), n+40)
		if all != n+40 || len(block) <= size {
			t.Errorf("size %d: %d bytes were taken, but %d fit into %d", size, n, all, len(block))
		}
	}
}

func TestGolden(t *testing.T) {
	var all []byte
	for _, src := range [][]byte{imagetest.Words(1, 100_000), bytes.Repeat(imagetest.Words(2, 999), 50), imagetest.Noise(1, 9000)} {
		for _, effort := range []int{1, 32, 256} {
			for _, block := range blocks(t, effort, 4096, 1<<20, src) {
				all = append(all, block...)
			}
		}
	}
	// Another digest is another Version.
	if got := digest.Of(all).String(); Version != 1 || got != "eb73ca100be4f69be913bb95f617cbd99533ff1b2100e5fa285e30afa6b6f980" {
		t.Errorf("%d bytes of blocks have digest %s", len(all), got)
	}
}

// TestReference has the lz4 program unpack our blocks, as a legacy frame: a
// magic number, then for each block its size and itself.
func TestReference(t *testing.T) {
	tool := testenv.RequireTool(t, "lz4")
	for name, src := range inputs() {
		frame := []byte{0x02, 0x21, 0x4c, 0x18}
		for _, block := range blocks(t, 64, Bound(len(src)), 8<<20, src) {
			frame = binary.LittleEndian.AppendUint32(frame, uint32(len(block)))
			frame = append(frame, block...)
		}
		file := filepath.Join(t.TempDir(), "frame.lz4")
		if err := os.WriteFile(file, frame, 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := exec.Command(tool, "-dc", file).Output()
		if err != nil || !bytes.Equal(got, src) {
			t.Errorf("%s: lz4 gives %d bytes of %d, %v", name, len(got), len(src), err)
		}
	}
}

// TestDecodeRefuses has blocks that no encoder makes.
func TestDecodeRefuses(t *testing.T) {
	for name, block := range map[string]string{
		"empty":               "",
		"no literals":         "\x50abc",
		"half a distance":     "\x10a\x01",
		"distance 0":          "\x10a\x00\x00\x10a",
		"before the start":    "\x10a\x02\x00\x10a",
		"length without end":  "\xf0\xff\xff\xff",
		"ends with a match":   "\x10a\x01\x00",
		"too long a match":    "\x1fa\x01\x00\xff\xff\x00\x10a",
		"too many literals":   "\xf0\xff\xff\x00" + string(make([]byte, 525)),
		"half a match length": "\x1fa\x01\x00",
	} {
		if n, err := Decode(make([]byte, 100), []byte(block)); err == nil {
			t.Errorf("%s: gives %d bytes", name, n)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, src := range [][]byte{imagetest.Words(1, 500), make([]byte, 5000), []byte("a")} {
		f.Add(blocks(f, 16, Bound(len(src)), len(src), src)[0])
	}
	f.Fuzz(func(t *testing.T, block []byte) {
		dst := make([]byte, 8192)
		n, err := Decode(dst, block)
		if n > len(dst) || err == nil && len(block) == 0 {
			t.Errorf("%d bytes, %v", n, err)
		}
		if err == nil && n > 0 {
			start := make([]byte, (n+1)/2)
			if err := DecodeStart(start, block); err != nil || !bytes.Equal(start, dst[:len(start)]) {
				t.Errorf("the first %d of %d bytes: %v", len(start), n, err)
			}
		}
	})
}

func FuzzRoundTrip(f *testing.F) {
	f.Add([]byte("hello hello hello hello hello hello"), uint16(100), uint8(4))
	f.Add(make([]byte, 500), uint16(4096), uint8(1))
	f.Add(imagetest.Words(1, 300), uint16(40), uint8(100))
	f.Fuzz(func(t *testing.T, src []byte, size uint16, effort uint8) {
		blocks(t, int(effort), max(int(size), 17), max(len(src), 1), src)
	})
}

func BenchmarkEncode(b *testing.B) {
	src := imagetest.Words(1, 1<<20)
	if real, err := os.ReadFile("/usr/bin/perl"); err == nil {
		src = real[:min(len(real), 1<<20)]
	}
	for _, effort := range []int{1, 4, 16, 64, 256} {
		b.Run(fmt.Sprint("effort ", effort), func(b *testing.B) {
			e, packed := NewEncoder(effort), 0
			b.SetBytes(int64(len(src)))
			for b.Loop() {
				packed = 0
				e.Reset(src)
				for e.Rest() > 0 {
					block, _ := e.Next(nil, 4096, 1<<20)
					packed += len(block)
				}
			}
			b.ReportMetric(float64(packed)/float64(len(src)), "ratio")
		})
	}
}
