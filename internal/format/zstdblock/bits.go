package zstdblock

import "encoding/binary"

// bitWriter writes a bitstream of RFC 8878: little-endian, first bits lowest,
// read by the decoder from its end. The zero value with an empty out is ready.
type bitWriter struct {
	out []byte
	pos int    // bytes of out that are full
	acc uint64 // bits that are not in out yet
	n   uint   // how many
}

// reserve makes room for so many more bytes; flush does not check.
func (w *bitWriter) reserve(bytes int) {
	if need := w.pos + bytes + 16; need > len(w.out) {
		grown := make([]byte, need+need/2)
		copy(grown, w.out[:w.pos])
		w.out = grown
	}
}

// add appends the low bits of v, which has no higher ones. At most 56 bits fit
// between two flushes.
func (w *bitWriter) add(v uint64, bits uint) {
	w.acc |= v << (w.n & 63)
	w.n += bits
}

// flush moves whole bytes to out.
func (w *bitWriter) flush() {
	binary.LittleEndian.PutUint64(w.out[w.pos:], w.acc)
	w.pos += int(w.n >> 3)
	w.acc >>= (w.n &^ 7) & 63
	w.n &= 7
}

// align fills the last byte with zeros.
func (w *bitWriter) align() {
	w.flush()
	if w.n > 0 {
		w.pos++
		w.acc, w.n = 0, 0
	}
}

// end closes a stream that is read backwards: a one, then zeros.
func (w *bitWriter) end() {
	w.add(1, 1)
	w.align()
}

// bytes appends whole bytes; the writer must be aligned.
func (w *bitWriter) bytes(p []byte) {
	w.reserve(len(p))
	w.pos += copy(w.out[w.pos:], p)
}

// byte appends one byte; the writer must be aligned.
func (w *bitWriter) byte(b byte) {
	w.reserve(1)
	w.out[w.pos] = b
	w.pos++
}

// uint24 appends three bytes, lowest first; the writer must be aligned.
func (w *bitWriter) uint24(v uint32) {
	w.byte(byte(v))
	w.byte(byte(v >> 8))
	w.byte(byte(v >> 16))
}

// reset forgets everything but the memory.
func (w *bitWriter) reset() { w.pos, w.acc, w.n = 0, 0, 0 }

// load32 reads four bytes in the one order that all machines share.
func load32(b []byte, i int) uint32 { return binary.LittleEndian.Uint32(b[i:]) }

// load64 reads eight bytes.
func load64(b []byte, i int) uint64 { return binary.LittleEndian.Uint64(b[i:]) }
