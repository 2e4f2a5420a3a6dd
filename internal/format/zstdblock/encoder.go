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
// keys and stay what they are.
const (
	Fast    Level = 1
	Default Level = 2
	Best    Level = 3
)

// String gives the name of the level.
func (l Level) String() string {
	switch l {
	case Fast:
		return "fast"
	case Default:
		return "default"
	case Best:
		return "best"
	}
	return fmt.Sprintf("level %d", int(l))
}

// Encoder makes frames one after the other. It keeps its memory for the next
// one: up to 12 MB at Fast and 40 MB at Best when blocks are 1 MiB, a third of
// that when they are 128 KiB. It is for one goroutine.
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
	seqs     []sequence
	splits   splitter
	partSeqs []sequence
}

// padding is how many bytes may be read behind the content.
const padding = 16

// New makes an encoder. Levels that are not there are Default.
func New(level Level) *Encoder {
	e := &Encoder{settings: settingsOf(level)}
	e.blocks.leastHuffmanBits = e.settings.leastHuffmanBits
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

func (e *Encoder) frame(dst, src []byte) []byte {
	if need := len(src) + padding; cap(e.src) < need {
		e.src = make([]byte, need)
	}
	e.size = len(src)
	e.src = e.src[:e.size+padding]
	copy(e.src, src)
	clear(e.src[e.size:])
	e.blocks.restart()
	if e.settings.passes > 0 {
		if e.settings.chain {
			e.chains.restart(e.size, &e.settings)
			e.chains.heads3 = cleared(e.chains.heads3, 1<<hash3Bits)
		} else {
			e.tree.restart(e.size, &e.settings)
		}
		e.optimum.nice = e.settings.nice
	} else {
		e.chains.restart(e.size, &e.settings)
	}
	for from := 0; ; from += maxBlock {
		to := min(from+maxBlock, e.size)
		if e.settings.passes > 0 {
			e.parseOptimal(from, to)
		} else {
			e.seqs = e.parseLazy(e.seqs[:0], from, to)
		}
		e.writeParts(from, to)
		if to == e.size {
			break
		}
	}
	dst = appendFrameHeader(dst, e.size)
	return append(dst, e.blocks.w.out[:e.blocks.w.pos]...)
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

// parseOptimal finds the cheapest sequences at the prices of the last pass,
// pass after pass.
func (e *Encoder) parseOptimal(from, to int) {
	if e.settings.chain {
		e.chains.fill(&e.table, e.src, from, to)
	} else {
		e.tree.fill(&e.table, e.src, from, to, e.size)
	}
	rep := e.blocks.rep
	e.seqs = e.optimum.guess(e.seqs[:0], from, from, to, &e.table)
	for pass := range e.settings.passes {
		e.counts.count(e.src[from:to], e.seqs, rep)
		if pass == 0 {
			e.counts.ll, e.counts.of, e.counts.ml = typical.ll, typical.of, typical.ml
		}
		e.optimum.prices.set(&e.counts)
		e.seqs = e.optimum.parse(e.seqs[:0], e.src, from, from, to, rep, &e.table)
	}
}

// writeParts appends what the sequences of src[from:to] say as one block or as
// several, whichever is shorter.
func (e *Encoder) writeParts(from, to int) {
	b := &e.blocks
	src := e.src[from:to]
	parts := []partEnd{{len(e.seqs), len(src)}}
	if e.settings.split {
		parts = e.splits.divide(src, e.seqs, b.rep)
	}
	begin := partEnd{}
	for i, end := range parts {
		seqs := e.seqs[begin.seq:end.seq]
		if len(parts) > 1 && e.settings.reparse {
			e.counts.count(src[begin.place:end.place], seqs, b.rep)
			e.optimum.prices.set(&e.counts)
			e.partSeqs = e.optimum.parse(e.partSeqs[:0], e.src, from, from+begin.place, from+end.place, b.rep, &e.table)
			seqs = e.partSeqs
		}
		b.writeBlock(src[begin.place:end.place], seqs, to == e.size && i == len(parts)-1)
		begin = end
	}
}

// Levels lists the levels, the fastest first.
func Levels() []Level { return []Level{Fast, Default, Best} }
