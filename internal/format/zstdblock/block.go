package zstdblock

// history is what a block takes over from those before it in the frame.
type history struct {
	rep        repeats
	huff       lastTree
	ll, of, ml distribution
}

// lastTree is the Huffman code that the next block may use again.
type lastTree struct {
	huffmanTable
	valid bool
}

// blockCoder writes the blocks of a frame.
type blockCoder struct {
	w          bitWriter
	rep        repeats
	huff       lastTree
	ll, of, ml symbolKind
	values     []uint32
	literals   []byte
	before     history // as of the end of the block before
	blocks     int     // written in this frame

	tree                  huffmanTable
	treeHeader, tryHeader bitWriter
	impossible            [512]byte
}

const (
	blockRaw = iota
	blockRLE
	blockCompressed
)

// restart begins a frame.
func (b *blockCoder) restart() {
	b.w.reset()
	b.blocks = 0
	b.rep = initialRepeats
	b.huff.valid = false
	b.ll.own.valid, b.of.own.valid, b.ml.own.valid = false, false, false
}

// save and restore keep and bring back what the next block builds on.
func (b *blockCoder) save(h *history) {
	h.rep, h.huff, h.ll, h.of, h.ml = b.rep, b.huff, b.ll.own, b.of.own, b.ml.own
}

func (b *blockCoder) restore(h *history) {
	b.rep, b.huff, b.ll.own, b.of.own, b.ml.own = h.rep, h.huff, h.ll, h.of, h.ml
}

// writeBlock appends a block that holds src: as the sequences say, which cover
// it but for the last literals, or as it is, whichever is shorter. No frame
// begins with a block of one repeated byte: zstd up to 1.4.3 trips over that.
func (b *blockCoder) writeBlock(src []byte, seqs []sequence, last bool) {
	from := b.w.pos
	b.blocks++
	if b.blocks > 1 && len(src) > 1 && allEqual(src) {
		b.blockHeader(blockRLE, len(src), last)
		b.w.byte(src[0])
		return
	}
	b.save(&b.before)
	b.w.reserve(3)
	b.w.pos += 3
	b.gather(src, seqs)
	b.writeLiterals(b.literals)
	b.writeSequences(seqs)
	size := b.w.pos - from - 3
	if size < len(src) {
		end := b.w.pos
		b.w.pos = from
		b.blockHeader(blockCompressed, size, last)
		b.w.pos = end
		return
	}
	b.restore(&b.before)
	b.w.pos = from
	b.blockHeader(blockRaw, len(src), last)
	b.w.bytes(src)
}

// blockHeader appends Block_Header: RFC 8878, 3.1.1.2.
func (b *blockCoder) blockHeader(kind, size int, last bool) {
	v := uint32(kind)<<1 | uint32(size)<<3
	if last {
		v |= 1
	}
	b.w.uint24(v)
}

// gather collects the literals between the matches.
func (b *blockCoder) gather(src []byte, seqs []sequence) {
	b.literals = b.literals[:0]
	at := 0
	for _, s := range seqs {
		b.literals = append(b.literals, src[at:at+int(s.lit)]...)
		at += int(s.lit + s.length)
	}
	b.literals = append(b.literals, src[at:]...)
}

func allEqual(p []byte) bool {
	for _, c := range p {
		if c != p[0] {
			return false
		}
	}
	return true
}
