package zstdblock

import (
	"bytes"
	"testing"
)

// TestManySequences writes as many sequences as a block can have: their number
// takes three bytes then.
func TestManySequences(t *testing.T) {
	data := bytes.Repeat([]byte("xyz"), maxBlock/3)
	seqs := []sequence{{lit: 3, length: 3, off: 3}}
	for at := 6; at+3 <= len(data); at += 3 {
		seqs = append(seqs, sequence{length: 3, off: uint32(3 + 3*(at%2))})
	}
	if len(seqs) < 0x7f00 {
		t.Fatalf("%d sequences", len(seqs))
	}
	var b blockCoder
	b.restart()
	b.writeBlock(data, seqs, true)
	frame := append(appendFrameHeader(nil, len(data)), b.w.out[:b.w.pos]...)
	if kind := b.w.out[0] >> 1 & 3; kind != blockCompressed {
		t.Errorf("the block is of kind %d", kind)
	}
	if !bytes.Equal(decode(t, frame), data) || !bytes.Equal(decodeByProgram(t, frame), data) {
		t.Error("decoded otherwise")
	}
}

// TestTooManyMatches fills a table up to its bound; of the next place only the
// longest match is kept.
func TestTooManyMatches(t *testing.T) {
	from := foundPerPlace * maxBlock
	table := matchTable{found: append(make([]match, from), match{4, 90}, match{5, 80}, match{9, 70})}
	f := treeFinder{nice: 32}
	if got := f.clip(&table, nil, from, 100, 1000); got != 9 {
		t.Errorf("the longest has %d bytes", got)
	}
	if len(table.found) != from+1 || table.found[from] != (match{9, 70}) {
		t.Errorf("the table has %d more: %v", len(table.found)-from, table.found[from:])
	}
}
