// Package zstdblock compresses blocks of at most 1 MiB into zstd frames
// (RFC 8878), for images whose blocks are read one by one.
//
// A frame is a single segment that says its length and has no checksum, which
// is what the readers of squashfs and EROFS in Linux take. Equal input at an
// equal level gives equal bytes on every machine, for ever: there is no
// assembly, no floating point, no state that outlives a frame. Whoever changes
// one byte of output must raise Version; golden digests in the tests see to it.
//
// Words: a frame is made of blocks of at most 128 KiB; a block is literals and
// sequences; a sequence is some literals and a match, the copy of what stands
// some offset before; parsing is choosing the sequences.
//
// The package does not decompress and knows no dictionaries.
package zstdblock

import (
	"encoding/binary"
	"fmt"
)

// Name and Version say whose bytes these are. They belong into locks and cache
// keys, together with the level.
const (
	Name    = "ashlar-zstd"
	Version = "1"
)

// MaxFrame is how much one frame holds.
const MaxFrame = 1 << 20

// Level is how hard to try.
type Level int

// The levels, from the fastest to the smallest. The numbers are part of cache
// keys and stay what they are. Against libzstd's level 15, blocks of 128 KiB of
// a Debian root are so much larger and take so much of its time:
const (
	Fast    Level = 1 // +8 %, 1/6
	Default Level = 2 // +5 %, 1/4
	High    Level = 3 // +1 %, 2/3
	Best    Level = 4 // -2 %, 3/2
)

// Levels lists the levels, the fastest first.
func Levels() []Level { return []Level{Fast, Default, High, Best} }

// String gives the name of the level.
func (l Level) String() string {
	switch l {
	case Fast:
		return "fast"
	case Default:
		return "default"
	case High:
		return "high"
	case Best:
		return "best"
	}
	return fmt.Sprintf("level %d", int(l))
}

// Identity says whose bytes an encoder of the level makes: equal identities mean
// equal bytes.
func (l Level) Identity() string { return Name + " " + Version + " " + l.String() }

// Encoder makes frames one after the other. It is for one goroutine. It keeps
// its memory for the next frame: 2 MB at Fast and Default, 9 MB at High and 11
// MB at Best when frames are of 128 KiB; 8, 15 and 21 MB when they are of 1 MiB;
// 10 MB more if the content has been made to need it.
type Encoder struct {
	settings settings
	src      []byte // the frame's content, then padding
	size     int    // of the content
	blocks   blockCoder
	chains   chainFinder
	tree     treeFinder
	table    matchTable
	optimum  optimiser
	counts   histogram
	splits   splitter
	seqs     []sequence // of a block
	partSeqs []sequence // of a part of it
}

// padding is how many bytes may be read behind the content.
const padding = 16

// New makes an encoder. Levels that are not there are Default.
func New(level Level) *Encoder {
	e := &Encoder{settings: settingsOf(level)}
	e.optimum.nice = e.settings.nice
	return e
}

// Encode appends src, compressed, to dst: one frame if src is not longer than
// MaxFrame, else one after the other.
func (e *Encoder) Encode(dst, src []byte) []byte {
	for len(src) > MaxFrame {
		dst = e.frame(dst, src[:MaxFrame])
		src = src[MaxFrame:]
	}
	return e.frame(dst, src)
}

// frame appends one frame.
func (e *Encoder) frame(dst, src []byte) []byte {
	e.restart(src)
	for from := 0; ; from += maxBlock {
		to := min(from+maxBlock, e.size)
		e.parse(from, to)
		e.write(from, to)
		if to == e.size {
			break
		}
	}
	dst = appendFrameHeader(dst, e.size)
	return append(dst, e.blocks.w.out[:e.blocks.w.pos]...)
}

// restart forgets the frame before.
func (e *Encoder) restart(src []byte) {
	e.size = len(src)
	if cap(e.src) < e.size+padding {
		e.src = make([]byte, e.size+padding)
	}
	e.src = e.src[:e.size+padding]
	copy(e.src, src)
	clear(e.src[e.size:])
	e.blocks.restart()
	if e.settings.search == optimalTree {
		e.tree.restart(e.size, &e.settings)
	} else {
		e.chains.restart(e.size, &e.settings)
	}
}

// parse chooses the sequences of a block. The optimal searches begin with the
// prices of typical lengths and offsets, and of the literals of a quick guess.
func (e *Encoder) parse(from, to int) {
	e.seqs = e.seqs[:0]
	switch e.settings.search {
	case lazyChains:
		e.seqs = e.parseLazy(e.seqs, from, to)
		return
	case optimalChains:
		e.chains.fill(&e.table, e.src, from, to)
	case optimalTree:
		e.tree.fill(&e.table, e.src, from, to, e.size)
	}
	e.seqs = e.table.guess(e.seqs)
	e.counts.count(e.src[from:to], e.seqs, e.blocks.rep)
	e.counts.ll, e.counts.of, e.counts.ml = typical.ll, typical.of, typical.ml
	e.optimum.prices.set(&e.counts)
	e.seqs = e.optimum.parse(e.seqs[:0], e.src, from, from, to, e.blocks.rep, &e.table)
}

// write appends the sequences of src[from:to] as one zstd block or as several;
// if the level wants it, each is parsed again at the prices that it has now.
func (e *Encoder) write(from, to int) {
	b := &e.blocks
	src := e.src[from:to]
	parts := e.splits.divide(src, e.seqs, b.rep, e.settings.parts)
	begin := partEnd{}
	for i, end := range parts {
		part, seqs := src[begin.place:end.place], e.seqs[begin.seq:end.seq]
		if e.settings.twice {
			e.counts.count(part, seqs, b.rep)
			e.optimum.prices.set(&e.counts)
			seqs = e.optimum.parse(e.partSeqs[:0], e.src, from, from+begin.place, from+end.place, b.rep, &e.table)
			e.partSeqs = seqs
		}
		b.writeBlock(part, seqs, to == e.size && i == len(parts)-1)
		begin = end
	}
}

// appendFrameHeader appends magic number and Frame_Header: RFC 8878, 3.1.1.1.
func appendFrameHeader(dst []byte, size int) []byte {
	const (
		magic         = 0xfd2fb528
		singleSegment = 1 << 5
	)
	dst = binary.LittleEndian.AppendUint32(dst, magic)
	switch {
	case size < 256:
		return append(dst, singleSegment, byte(size))
	case size < 256+1<<16:
		dst = append(dst, 1<<6|singleSegment)
		return binary.LittleEndian.AppendUint16(dst, uint16(size-256))
	}
	dst = append(dst, 2<<6|singleSegment)
	return binary.LittleEndian.AppendUint32(dst, uint32(size))
}
