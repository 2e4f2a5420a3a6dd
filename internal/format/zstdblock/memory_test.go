package zstdblock

import (
	"testing"
	"unsafe"
)

// bytesOf is what a slice holds.
func bytesOf[T any](s []T) int { return cap(s) * int(unsafe.Sizeof(*new(T))) }

// memory is what an encoder holds.
func (e *Encoder) memory() int {
	b := &e.blocks
	sum := int(unsafe.Sizeof(*e)) + bytesOf(e.src) + bytesOf(e.seqs) + bytesOf(e.partSeqs)
	sum += bytesOf(b.w.out) + bytesOf(b.values) + bytesOf(b.literals) + bytesOf(b.treeHeader.out) + bytesOf(b.tryHeader.out)
	for _, k := range []*symbolKind{&b.ll, &b.of, &b.ml} {
		sum += bytesOf(k.codes)
	}
	sum += bytesOf(e.chains.heads) + bytesOf(e.chains.links) + bytesOf(e.chains.threes.heads)
	sum += bytesOf(e.tree.heads) + bytesOf(e.tree.kids) + bytesOf(e.tree.threes.heads)
	sum += bytesOf(e.table.found) + bytesOf(e.table.first)
	sum += bytesOf(e.optimum.costs) + bytesOf(e.optimum.steps) + bytesOf(e.optimum.reps)
	return sum + bytesOf(e.splits.parts)
}

// TestMemory holds encoders to what the documentation of Encoder says, for
// frames of 128 KiB and of 1 MiB, whatever is in them.
func TestMemory(t *testing.T) {
	const mib = 1 << 20
	limits := map[Level][2]int{Fast: {3 * mib, 9 * mib}, Default: {3 * mib, 9 * mib}, High: {10 * mib, 16 * mib}, Best: {13 * mib, 24 * mib}}
	for _, level := range Levels() {
		e := New(level)
		for i, size := range []int{maxBlock, MaxFrame} {
			for k, in := range inputs() {
				if k%5 == i && len(in.data) >= 1<<12 {
					e.Encode(nil, in.data[:min(size, len(in.data))])
				}
			}
			got := e.memory()
			t.Logf("%v: %d bytes for frames of %d", level, got, size)
			if limit := limits[level][i]; got > limit {
				t.Errorf("%v: %d bytes for frames of %d, want at most %d", level, got, size, limit)
			}
		}
	}
}

// TestNoAllocations checks that a warm encoder needs no new memory.
func TestNoAllocations(t *testing.T) {
	c := chance(9)
	data := append(c.prose(200000), c.records(60000)...)
	out := make([]byte, 0, len(data))
	for _, level := range Levels() {
		e := New(level)
		e.Encode(out, data)
		if n := testing.AllocsPerRun(2, func() { e.Encode(out, data) }); n > 0 {
			t.Errorf("%v: %f allocations", level, n)
		}
	}
}
