package zstdblock

// Sequences_Section: RFC 8878, 3.1.1.3.2.

const (
	modePredefined = iota
	modeRLE
	modeCompressed
	modeRepeat
)

// The predefined distributions: RFC 8878, 3.1.1.3.2.2.
var (
	predefinedLL = predefined(6, []int16{4, 3, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 1, 1, 1,
		2, 2, 2, 2, 2, 2, 2, 2, 2, 3, 2, 1, 1, 1, 1, 1, -1, -1, -1, -1})
	predefinedML = predefined(6, []int16{1, 4, 3, 2, 2, 2, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1,
		1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
		1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1, -1, -1})
	predefinedOF = predefined(5, []int16{1, 1, 1, 1, 1, 1, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1,
		1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1})
)

// distribution is a distribution with its table.
type distribution struct {
	fseCounts
	fseTable fseTable
	valid    bool // the next block may repeat it
}

func predefined(log uint, norm []int16) *distribution {
	d := &distribution{}
	d.log, d.n = log, copy(d.norm[:], norm)
	d.fseTable.build(&d.fseCounts)
	return d
}

// symbolKind is one of the three kinds of codes of a section.
type symbolKind struct {
	codes  []uint8
	counts [maxFSESymbols]uint32
	table  *fseTable // what the section uses
	own    distribution
	rle    fseTable
}

// writeSequences appends the section. It turns offsets into Offset_Values.
func (b *blockCoder) writeSequences(seqs []sequence) {
	n := len(seqs)
	b.w.reserve(8)
	switch {
	case n < 128:
		b.w.byte(byte(n))
	case n < 0x7f00:
		b.w.byte(byte(n>>8 + 128))
		b.w.byte(byte(n))
	default:
		b.w.byte(255)
		b.w.byte(byte(n - 0x7f00))
		b.w.byte(byte((n - 0x7f00) >> 8))
	}
	if n == 0 {
		return
	}
	b.countCodes(seqs)
	modes := b.w.pos
	b.w.byte(0)
	ll := b.chooseTable(&b.ll, predefinedLL, maxFSELog)
	of := b.chooseTable(&b.of, predefinedOF, 8)
	ml := b.chooseTable(&b.ml, predefinedML, maxFSELog)
	b.w.out[modes] = byte(ll<<6 | of<<4 | ml<<2)
	b.writeSequenceBits(seqs)
}

// countCodes fills the codes and histograms of the three kinds.
func (b *blockCoder) countCodes(seqs []sequence) {
	n := len(seqs)
	for _, k := range []*symbolKind{&b.ll, &b.of, &b.ml} {
		if cap(k.codes) < n {
			k.codes = make([]uint8, n+n/2)
		}
		k.codes = k.codes[:n]
		k.counts = [maxFSESymbols]uint32{}
	}
	if cap(b.values) < n {
		b.values = make([]uint32, n+n/2)
	}
	b.values = b.values[:n]
	for i, s := range seqs {
		v := b.rep.value(s.off, s.lit > 0)
		b.rep = b.rep.after(s.off, s.lit > 0)
		b.values[i] = v
		ll, of, ml := llCode(s.lit), ofCode(v), mlCode(s.length)
		b.ll.codes[i], b.of.codes[i], b.ml.codes[i] = ll, of, ml
		b.ll.counts[ll]++
		b.of.counts[of]++
		b.ml.counts[ml]++
	}
}

// chooseTable picks the cheapest of the four modes, appends the description if
// the mode has one, and gives the mode. The predefined tables have all codes.
func (b *blockCoder) chooseTable(k *symbolKind, standard *distribution, maxLog uint) int {
	counts, total := k.counts[:], uint32(len(k.codes))
	first := k.codes[0]
	if counts[first] == total && total > 2 {
		b.w.byte(first)
		k.rle.buildRLE(first)
		k.table = &k.rle
		k.own.valid = false
		return modeRLE
	}
	mode, best := modePredefined, standard.bodyCost(counts)
	if k.own.valid {
		if c := k.own.bodyCost(counts); c < best {
			mode, best = modeRepeat, c
		}
	}
	var made fseCounts
	if counts[first] < total && made.optimise(counts, total, maxLog) < best {
		mode = modeCompressed
	}
	switch mode {
	case modePredefined:
		k.table = &standard.fseTable
		k.own.valid = false
	case modeCompressed:
		made.writeHeader(&b.w)
		k.own.fseCounts, k.own.valid = made, true
		k.own.fseTable.build(&made)
		k.table = &k.own.fseTable
	case modeRepeat:
		k.table = &k.own.fseTable
	}
	return mode
}

// writeSequenceBits appends the bitstream, last sequence first.
func (b *blockCoder) writeSequenceBits(seqs []sequence) {
	n := len(seqs)
	llT, ofT, mlT := b.ll.table, b.of.table, b.ml.table
	w := b.w
	w.reserve(n*10 + 16)
	last := n - 1
	ml := mlT.start(b.ml.codes[last])
	of := ofT.start(b.of.codes[last])
	ll := llT.start(b.ll.codes[last])
	writeExtra(&w, seqs[last], b.ll.codes[last], b.ml.codes[last], b.of.codes[last], b.values[last])
	for i := last - 1; i >= 0; i-- {
		ofc, mlc, llc := b.of.codes[i], b.ml.codes[i], b.ll.codes[i]
		ofT.encode(&w, &of, ofc)
		mlT.encode(&w, &ml, mlc)
		llT.encode(&w, &ll, llc)
		w.flush()
		writeExtra(&w, seqs[i], llc, mlc, ofc, b.values[i])
	}
	w.add(uint64(ml)&(1<<mlT.log-1), mlT.log)
	w.add(uint64(of)&(1<<ofT.log-1), ofT.log)
	w.add(uint64(ll)&(1<<llT.log-1), llT.log)
	w.end()
	b.w = w
}

// writeExtra appends the extra bits of a sequence; of the three codes the
// offset's are read first.
func writeExtra(w *bitWriter, s sequence, ll, ml, of uint8, value uint32) {
	llBits, mlBits := uint(llExtra[ll]), uint(mlExtra[ml])
	w.add(uint64(s.lit-llBase[ll]), llBits)
	w.add(uint64(s.length-mlBase[ml]), mlBits)
	w.flush()
	w.add(uint64(value)&(1<<of-1), uint(of))
	w.flush()
}
