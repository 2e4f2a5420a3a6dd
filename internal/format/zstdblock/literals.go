package zstdblock

// Literals_Section: RFC 8878, 3.1.1.3.1.

const (
	litRaw = iota
	litRLE
	litCompressed
	litTreeless
)

// leastHuffmanBits is down to which limit of the longest code to try: 256 bytes
// always have codes of 8 bits.
const leastHuffmanBits = 8

// oneStream is up to how many literals go into one stream; more go into four,
// which costs six bytes and lets decoders work on four at once.
const oneStream = 1023

// writeLiterals appends the section in its shortest form.
func (b *blockCoder) writeLiterals(literals []byte) {
	var counts [256]uint32
	for _, c := range literals {
		counts[c]++
	}
	n := len(literals)
	if n > 1 && counts[literals[0]] == uint32(n) {
		b.literalsHeader(litRLE, n)
		b.w.byte(literals[0])
		return
	}
	from := b.w.pos
	if n >= 8 && b.writeHuffman(literals, &counts) && b.w.pos-from < n+rawHeader(n) {
		return
	}
	b.w.pos = from
	b.huff = b.before.huff
	b.literalsHeader(litRaw, n)
	b.w.bytes(literals)
}

// rawHeader gives the length of the header of raw literals.
func rawHeader(n int) int {
	switch {
	case n < 32:
		return 1
	case n < 4096:
		return 2
	}
	return 3
}

// literalsHeader appends the header of the two kinds without streams.
func (b *blockCoder) literalsHeader(kind, n int) {
	switch rawHeader(n) {
	case 1:
		b.w.byte(byte(kind | n<<3))
	case 2:
		b.w.byte(byte(kind | 1<<2 | n<<4))
		b.w.byte(byte(n >> 4))
	default:
		b.w.uint24(uint32(kind | 3<<2 | n<<4))
	}
}

// writeHuffman appends the literals as streams of a Huffman code: a new one,
// or the one before if that takes less. It reports false if it is not worth it.
func (b *blockCoder) writeHuffman(literals []byte, counts *[256]uint32) bool {
	tree := b.chooseTree(counts)
	size := b.tree.size(counts) + tree*8
	kind := litCompressed
	if b.huff.valid {
		if old := b.huff.size(counts); old <= size {
			kind, size, tree = litTreeless, old, 0
		}
	}
	if size/8 >= len(literals) {
		return false
	}
	from := b.w.pos
	b.w.reserve(len(literals)*maxHuffmanBits/8 + 256)
	header := 3
	if len(literals) >= 1<<10 {
		header = 4
	}
	if len(literals) >= 1<<14 {
		header = 5
	}
	b.w.pos += header
	if kind == litCompressed {
		b.w.bytes(b.treeHeader.out[:tree])
		b.huff.huffmanTable, b.huff.valid = b.tree, true
	}
	if len(literals) <= oneStream {
		b.huff.writeStream(&b.w, literals)
	} else {
		b.writeFourStreams(literals)
	}
	b.compressedHeader(from, kind, len(literals), b.w.pos-from-header)
	return true
}

// chooseTree makes the code that is shortest with its description, whose
// length in bytes it gives. Shorter longest codes have shorter descriptions.
func (b *blockCoder) chooseTree(counts *[256]uint32) (tree int) {
	best := 0
	for limit := maxHuffmanBits; limit >= leastHuffmanBits; limit-- {
		var try huffmanTable
		try.build(counts, limit)
		b.tryHeader.reset()
		if !try.writeHeader(&b.tryHeader) {
			b.tryHeader.reset()
			b.tryHeader.bytes(b.impossible[:]) // longer than any gain
		}
		size := try.size(counts) + b.tryHeader.pos*8
		if best == 0 || size < best {
			best, tree = size, b.tryHeader.pos
			b.tree = try
			b.treeHeader, b.tryHeader = b.tryHeader, b.treeHeader
		}
		limit = int(try.longest())
	}
	return tree
}

// writeFourStreams appends the jump table and the streams.
func (b *blockCoder) writeFourStreams(literals []byte) {
	jump := b.w.pos
	b.w.pos += 6
	quarter := (len(literals) + 3) / 4
	for i := range 4 {
		from := b.w.pos
		b.huff.writeStream(&b.w, literals[i*quarter:min((i+1)*quarter, len(literals))])
		if i < 3 {
			size := b.w.pos - from
			b.w.out[jump+2*i], b.w.out[jump+2*i+1] = byte(size), byte(size>>8)
		}
	}
}

// compressedHeader fills in the header at from: the number of literals and the
// length of what follows, each of 10, 14 or 18 bits; 10 bits mean one stream.
func (b *blockCoder) compressedHeader(from, kind, n, size int) {
	format, width, length := 0, uint(10), 3
	switch {
	case n >= 1<<14:
		format, width, length = 3, 18, 5
	case n >= 1<<10:
		format, width, length = 2, 14, 4
	}
	v := uint64(kind) | uint64(format)<<2 | uint64(n)<<4 | uint64(size)<<(4+width)
	for i := range length {
		b.w.out[from+i] = byte(v >> (8 * i))
	}
}
