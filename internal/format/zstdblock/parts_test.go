package zstdblock

import (
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"testing"
)

// TestCodes checks that code, base and extra bits give back every length.
func TestCodes(t *testing.T) {
	for n := range uint32(maxBlock) {
		if c := llCode(n); n < llBase[c] || n-llBase[c] >= 1<<llExtra[c] {
			t.Fatalf("literal length %d has code %d", n, c)
		}
		if c := mlCode(n + minMatch); n+minMatch < mlBase[c] || n+minMatch-mlBase[c] >= 1<<mlExtra[c] {
			t.Fatalf("match length %d has code %d", n+minMatch, c)
		}
	}
	// The last codes of RFC 8878's tables.
	if llBase[35] != 65536 || mlBase[52] != 65539 {
		t.Errorf("the last codes begin at %d and %d", llBase[35], mlBase[52])
	}
	if ofCode(MaxFrame+2) != ofCodes-1 {
		t.Errorf("the largest offset has code %d of %d", ofCode(MaxFrame+2), ofCodes)
	}
}

// history3 follows the repeated offsets as a decoder does: RFC 8878, 3.1.1.5.
type history3 [3]uint32

func (h *history3) decode(value, literals uint32) uint32 {
	if value > 3 {
		*h = history3{value - 3, h[0], h[1]}
		return h[0]
	}
	i := value - 1
	if literals == 0 {
		i++
	}
	off := h[0] - 1
	if i < 3 {
		off = h[i]
	}
	switch i {
	case 0:
	case 1:
		*h = history3{off, h[0], h[2]}
	default:
		*h = history3{off, h[0], h[1]}
	}
	return off
}

func TestRepeats(t *testing.T) {
	c := chance(5)
	ours, theirs := initialRepeats, history3{1, 4, 8}
	short := 0
	for range 200000 {
		off, lit := uint32(1+c.below(9)), uint32(c.below(2))
		value := ours.value(off, lit > 0)
		if value < 4 {
			short++
		}
		ours = ours.after(off, lit > 0)
		if got := theirs.decode(value, lit); got != off {
			t.Fatalf("offset %d is decoded as %d", off, got)
		}
		if (history3{ours.a, ours.b, ours.c}) != theirs {
			t.Fatalf("encoder has %v, decoder %v", ours, theirs)
		}
	}
	if short < 50000 {
		t.Errorf("only %d short values", short)
	}
}

func TestLog2(t *testing.T) {
	for n := uint32(1); n < 1<<22; n += 1 + n/999 {
		if got, want := float64(log2(n))/65536, math.Log2(float64(n)); math.Abs(got-want) > 0.0008 {
			t.Errorf("log2(%d) is %f, want %f", n, got, want)
		}
	}
}

// TestNormalise checks the sums of tables, and that they are near the best
// there can be.
func TestNormalise(t *testing.T) {
	c := chance(6)
	for range 2000 {
		counts := make([]uint32, 2+c.below(maxFSESymbols-1))
		total := uint32(0)
		for i := range counts {
			counts[i] = uint32(c.below(1 << c.below(14)))
			total += counts[i]
		}
		counts[0]++
		counts[len(counts)-1]++
		total += 2
		var f fseCounts
		f.optimise(counts, total, maxFSELog)
		sum, ideal := 0, 0.0
		for s, n := range counts {
			if sum += f.states(s); (f.states(s) > 0) != (n > 0) {
				t.Fatalf("%v: symbol %d has %d states", counts, s, f.states(s))
			}
			if n > 0 {
				ideal += float64(n) * math.Log2(float64(total)/float64(n))
			}
		}
		if sum != 1<<f.log {
			t.Fatalf("%v: %d states of %d", counts, sum, 1<<f.log)
		}
		if got := float64(f.bodyCost(counts)) / oneBit; total > 5000 && got > ideal*1.06+64 {
			t.Errorf("%v: %f bits, %f are ideal", counts, got, ideal)
		}
	}
}

// TestHuffman checks that codes are complete, within the limit, and not longer
// than entropy and one bit for each symbol.
func TestHuffman(t *testing.T) {
	c := chance(7)
	for range 500 {
		var counts [256]uint32
		total, ideal := 0, 0.0
		for range 2 + c.below(254) {
			counts[c.below(256)] += uint32(1 + c.below(1<<c.below(17)))
		}
		counts[0]++
		counts[1]++
		for _, n := range counts {
			total += int(n)
		}
		for _, n := range counts {
			if n > 0 {
				ideal += float64(n) * math.Log2(float64(total)/float64(n))
			}
		}
		var h huffmanTable
		h.build(&counts, maxHuffmanBits)
		kraft := 0
		for s, n := range counts {
			length := int(h.codes[s].length)
			if (length > 0) != (n > 0) || length > maxHuffmanBits {
				t.Fatalf("byte %d, %d times, has %d bits", s, n, length)
			}
			if length > 0 {
				kraft += 1 << (maxHuffmanBits - length)
			}
		}
		if kraft != 1<<maxHuffmanBits {
			t.Fatalf("the codes fill %d of %d", kraft, 1<<maxHuffmanBits)
		}
		if got := float64(h.size(&counts)); got < ideal-1 || got > ideal+float64(total) {
			t.Errorf("%f bits, %f are ideal", got, ideal)
		}
	}
}

// TestFrameHeader reads the headers as the kernel's readers do: one segment, no
// checksum, no dictionary, the length said.
func TestFrameHeader(t *testing.T) {
	e := New(Fast)
	for _, n := range []int{0, 1, 255, 256, 257, 65535, 65536, 65791, 65792, maxBlock, MaxFrame} {
		frame := e.Encode(nil, make([]byte, n))
		if magic := binary.LittleEndian.Uint32(frame); magic != 0xfd2fb528 {
			t.Errorf("%d bytes: magic %x", n, magic)
		}
		const singleSegment = 1 << 5
		size := 0
		switch frame[4] {
		case singleSegment:
			size = int(frame[5])
		case 1<<6 | singleSegment:
			size = int(binary.LittleEndian.Uint16(frame[5:])) + 256
		case 2<<6 | singleSegment:
			size = int(binary.LittleEndian.Uint32(frame[5:]))
		default:
			t.Errorf("%d bytes: descriptor %#x", n, frame[4])
		}
		if size != n {
			t.Errorf("%d bytes: the frame says %d", n, size)
		}
	}
}

// TestLevels checks names, and what levels make of real text, the source of this
// package: a third at most, Fast the largest, Best the smallest.
func TestLevels(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	var text []byte
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		text = append(text, data...)
	}
	var sizes []int
	for _, level := range Levels() {
		sizes = append(sizes, len(New(level).Encode(nil, text)))
	}
	fast, best := sizes[0], sizes[len(sizes)-1]
	for i, size := range sizes[1:3] {
		if fast > len(text)/3 || size >= fast || size <= best {
			t.Errorf("%v: %d bytes of %d; fast has %d and best %d", Levels()[i+1], size, len(text), fast, best)
		}
	}
	if got := Best.Identity(); got != "ashlar-zstd "+Version+" best" {
		t.Errorf("Identity is %q", got)
	}
	if got := Level(9).String(); got != "level 9" {
		t.Errorf("String is %q", got)
	}
}
