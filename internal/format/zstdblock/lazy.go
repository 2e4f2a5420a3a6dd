package zstdblock

import "math/bits"

// parseLazy chooses the sequences of src[from:to] place by place: a match is
// put off as long as the next place has one that is worth more.
func (e *Encoder) parseLazy(seqs []sequence, from, to int) []sequence {
	src := e.src
	rep := e.blocks.rep
	anchor := from
	for p := from; p+4 <= to; {
		length, off, worth := e.lookup(p, to, anchor, &rep, 0)
		if length == 0 {
			p += 1 + (p-anchor)>>8
			continue
		}
		for ahead := 1; ahead <= 2 && p+ahead+4 <= to; ahead++ {
			l, o, w := e.lookup(p+ahead, to, anchor, &rep, length)
			if l > 0 && w > worth+ahead*3 {
				p += ahead
				length, off, worth = l, o, w
				ahead = 0
			}
		}
		for p > anchor && p > off && src[p-1] == src[p-off-1] {
			p--
			length++
		}
		s := sequence{uint32(p - anchor), uint32(length), uint32(off)}
		rep = rep.after(s.off, s.lit > 0)
		seqs = append(seqs, s)
		p += length
		anchor = p
	}
	return seqs
}

// lookup gives the match at p that is worth most, in quarters of a byte: four
// for each byte it saves, less the bits of its offset.
func (e *Encoder) lookup(p, to, anchor int, rep *repeats, least int) (length, off, worth int) {
	here := load32(e.src, p)
	for i, r := range [...]uint32{rep.a, rep.b, rep.c} {
		at := p - int(r)
		if i == 0 && p == anchor || at < 0 || load32(e.src, at) != here {
			continue
		}
		l := 4 + matchLength(e.src, at+4, p+4, to)
		if w := l*4 - 1 - i; w > worth {
			length, off, worth = l, int(r), w
		}
	}
	if l, o := e.chains.find(e.src, p, to, max(least-1, 3)); l > 0 {
		if w := l*4 - bits.Len(uint(o)); w > worth {
			length, off, worth = l, o, w
		}
	}
	return length, off, worth
}
