// Package imagetest is for the tests of rooms that write and read images of
// file systems: contents and trees to write, places in memory to write to, two trees
// compared path by path, and the kernel of the host as a judge. It knows no format:
// what is special to one stays with its tests. No other code may import it.
package imagetest

import (
	"fmt"
	"math/rand/v2"
)

// Words gives n bytes of text that compresses as text does.
func Words(seed uint64, n int) []byte {
	rng := rand.New(rand.NewPCG(seed, 7))
	out := make([]byte, 0, n+8)
	for len(out) < n {
		out = fmt.Appendf(out, "%x ", rng.IntN(4000))
	}
	return out[:n]
}

// Noise gives n bytes that do not compress.
func Noise(seed uint64, n int) []byte {
	rng := rand.New(rand.NewPCG(seed, 9))
	out := make([]byte, n)
	for i := range out {
		out[i] = byte(rng.Uint32())
	}
	return out
}

// randomContent gives text, noise or zeros; every third comes twice or more.
func randomContent(rng *rand.Rand) []byte {
	seed, size := rng.Uint64(), rng.IntN(1<<(2+rng.IntN(15)))
	if rng.IntN(3) == 0 {
		seed = uint64(rng.IntN(5))
		size = int(1000 * (seed + 1) * (seed + 1))
	}
	switch seed % 5 {
	case 0:
		return Noise(seed, size)
	case 1:
		return make([]byte, size)
	}
	return Words(seed, size)
}
