package zstdblock

import "math/bits"

// Logarithms are whole numbers everywhere: floating point may be fused on some
// processors, and then equal input would give other bytes.

const (
	// oneBit is a bit in the unit of prices.
	oneBit = 256
	// mantissaBits is how much of a number's mantissa the table looks at.
	mantissaBits = 11
)

// log2Table holds log2(1+i/2048) in 65536ths of a bit.
var log2Table = makeLog2Table()

// makeLog2Table finds each digit of the logarithm by squaring.
func makeLog2Table() (table [1 << mantissaBits]uint32) {
	for i := range table {
		x := uint64(1<<mantissaBits+i) << (30 - mantissaBits) // 1 to 2, with 30 fraction bits
		var log uint32
		for range 16 {
			x = x * x >> 30
			log <<= 1
			if x >= 2<<30 {
				x >>= 1
				log |= 1
			}
		}
		table[i] = log
	}
	return table
}

// log2 gives the logarithm of n > 0 in 65536ths.
func log2(n uint32) uint32 {
	whole := uint32(bits.Len32(n) - 1)
	mantissa := n << (31 - whole) >> (31 - mantissaBits) & (1<<mantissaBits - 1)
	return whole<<16 + log2Table[mantissa]
}
