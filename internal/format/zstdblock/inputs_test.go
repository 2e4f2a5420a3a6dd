package zstdblock

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// chance is a generator of its own, so that golden digests depend on nothing
// that may change: xorshift64*.
type chance uint64

func (c *chance) next() uint64 {
	x := uint64(*c)
	x ^= x >> 12
	x ^= x << 25
	x ^= x >> 27
	*c = chance(x)
	return x * 0x2545f4914f6cdd1d
}

// below gives a number in [0, n).
func (c *chance) below(n int) int { return int(c.next() >> 33 % uint64(n)) }

// noise gives bytes that have no pattern.
func (c *chance) noise(n int) []byte {
	out := make([]byte, n)
	for i := range out {
		out[i] = byte(c.next() >> 40)
	}
	return out
}

// prose gives lines of words, of which few are frequent.
func (c *chance) prose(n int) []byte {
	words := make([][]byte, 600)
	for i := range words {
		for range 2 + c.below(9) {
			words[i] = append(words[i], 'a'+byte(c.below(5)*c.below(6)))
		}
	}
	var out []byte
	for len(out) < n {
		out = append(out, words[c.below(1+c.below(len(words)))]...)
		out = append(out, " \n,"[c.below(9)/4])
	}
	return out[:n]
}

// records gives tables of little-endian numbers, as programs hold them.
func (c *chance) records(n int) []byte {
	var out []byte
	value := uint32(0x401000)
	for len(out) < n {
		value += uint32(c.below(200))
		out = binary.LittleEndian.AppendUint32(out, value)
		out = binary.LittleEndian.AppendUint32(out, uint32(c.below(4))<<8|5)
		out = binary.LittleEndian.AppendUint64(out, uint64(c.below(1<<uint(c.below(20)))))
	}
	return out[:n]
}

// skewed gives bytes of which each is rarer than the one before: codes of all lengths.
func (c *chance) skewed(n int) []byte {
	out := make([]byte, n)
	for i := range out {
		for out[i] < 250 && c.below(16) > 5 {
			out[i]++
		}
	}
	return out
}

// copies gives noise with copies of itself at all distances.
func (c *chance) copies(n int) []byte {
	out := c.noise(20)
	for len(out) < n {
		length, off := 3+c.below(1+c.below(60)), 1+c.below(len(out))
		for range length {
			out = append(out, out[len(out)-off])
		}
		out = append(out, c.noise(c.below(12))...)
	}
	return out[:n]
}

// input is a block to compress.
type input struct {
	name string
	data []byte
}

// inputs lists blocks of all shapes, the same on every call.
func inputs() []input {
	c := chance(0x9e3779b97f4a7c15)
	all := []input{
		{"empty", nil},
		{"one byte", []byte{'x'}},
		{"two bytes", []byte("ab")},
		{"seven bytes", []byte("aaaaaab")},
		{"zeros 4096", make([]byte, 4096)},
		{"zeros 1 MiB", make([]byte, MaxFrame)},
		{"zeros 128 KiB and one", append(make([]byte, maxBlock), 1)},
		{"ones, then zeros", append(bytes.Repeat([]byte{1}, maxBlock), make([]byte, maxBlock)...)},
		{"period 2", bytes.Repeat([]byte("ab"), 50000)},
		{"period 9999", bytes.Repeat(c.noise(9999), 30)},
		{"far copy", far(&c)},
		{"every byte once", everyByte()},
		{"every byte, often", bytes.Repeat(everyByte(), 8)},
		{"noise and prose", append(c.noise(200000), c.prose(200000)...)},
		{"longer than a frame", append(c.prose(MaxFrame-7), c.records(100)...)},
		{"one letter in noise", letterInNoise(&c)},
	}
	for _, n := range []int{3, 31, 32, 255, 256, 1023, 1024, 4095, 4096, 16383, 16384, 65791, 65792, maxBlock + 1, 300000} {
		all = append(all,
			input{fmt.Sprint("noise ", n), c.noise(n)},
			input{fmt.Sprint("prose ", n), c.prose(n)},
			input{fmt.Sprint("records ", n), c.records(n)},
			input{fmt.Sprint("skewed ", n), c.skewed(n)},
			input{fmt.Sprint("copies ", n), c.copies(n)},
		)
	}
	return append(all, input{"copies 1 MiB", c.copies(MaxFrame)})
}

// far gives noise whose end is its beginning, almost a frame away.
func far(c *chance) []byte {
	data := c.noise(MaxFrame)
	copy(data[MaxFrame-100:], data[:100])
	copy(data[MaxFrame-300:], data[1:90])
	return data
}

func everyByte() []byte {
	data := make([]byte, 256)
	for i := range data {
		data[i] = byte(i)
	}
	return data
}

// letterInNoise gives literals in which one byte is half of all and the rest
// are alike: most weights of the code are equal.
func letterInNoise(c *chance) []byte {
	data := c.noise(100000)
	for i := range data {
		if c.below(2) == 0 {
			data[i] = 'e'
		}
	}
	return data
}
