package iso9660

import "encoding/binary"

// A directory record (9.1) and the flags in it (9.1.6).
const (
	recordHead     = 33
	maxRecord      = 254 // the length is a byte, and even
	flagDirectory  = 2
	flagMoreToCome = 0x80
)

// chunk is a continuation of a System Use area: within one block, and perhaps
// continued in turn.
type chunk struct {
	at      int64 // byte in the continuation area
	size    int
	entries [][]byte
	next    *chunk
}

// record is a directory record without the places that come last.
type record struct {
	id     []byte
	inline [][]byte
	next   *chunk
	size   int
	target *node
	part   int // of a file in several sections
	more   bool
}

// newRecord spreads entries over the record and continuations. room finds a
// place for one of at most a block.
func newRecord(id []byte, target *node, entries [][]byte, room func(size int) int64) *record {
	r := &record{id: id, target: target}
	base := recordHead + len(id)
	base += base & 1
	var rest [][]byte
	r.inline, rest = fill(entries, maxRecord-base)
	r.next = newChunk(rest, room)
	r.size = base + total(r.inline, r.next)
	r.size += r.size & 1
	return r
}

func newChunk(entries [][]byte, room func(size int) int64) *chunk {
	if len(entries) == 0 {
		return nil
	}
	c := &chunk{}
	var rest [][]byte
	c.entries, rest = fill(entries, BlockSize)
	c.next = newChunk(rest, room)
	c.size = total(c.entries, c.next)
	c.at = room(c.size)
	return c
}

// fill takes the entries that fit, less a CE where some do not.
func fill(entries [][]byte, room int) (in, rest [][]byte) {
	if total(entries, nil) <= room {
		return entries, nil
	}
	taken, used := 0, continuation
	for used+len(entries[taken]) <= room {
		used += len(entries[taken])
		taken++
	}
	return entries[:taken], entries[taken:]
}

func total(entries [][]byte, next *chunk) int {
	n := 0
	for _, e := range entries {
		n += len(e)
	}
	if next != nil {
		n += continuation
	}
	return n
}

// appendUse appends a System Use area whose continuations begin at a block.
func appendUse(out []byte, entries [][]byte, next *chunk, area int64) []byte {
	for _, e := range entries {
		out = append(out, e...)
	}
	if next != nil {
		at := area*BlockSize + next.at
		out = append(out, entry("CE", both(uint32(at/BlockSize)), both(uint32(at%BlockSize)), both(uint32(next.size)))...)
	}
	return out
}

// encode gives the record's bytes.
func (r *record) encode(area, epoch int64) []byte {
	extent := r.target.section(r.part)
	stamp := shortTime(bounded(r.target.entry.MTime, epoch))
	flags := byte(0)
	if r.target.entry.IsDir() {
		flags |= flagDirectory
	}
	if r.more {
		flags |= flagMoreToCome
	}
	out := []byte{byte(r.size), 0}
	out = append(out, both(uint32(extent.Offset/BlockSize))...)
	out = append(out, both(uint32(extent.Size))...)
	out = append(out, stamp[:]...)
	out = append(out, flags, 0, 0)
	out = binary.LittleEndian.AppendUint16(out, 1) // volume sequence number
	out = binary.BigEndian.AppendUint16(out, 1)
	out = append(out, byte(len(r.id)))
	out = append(out, r.id...)
	if len(out)%2 == 1 {
		out = append(out, 0)
	}
	out = appendUse(out, r.inline, r.next, area)
	if len(out)%2 == 1 {
		out = append(out, 0)
	}
	return out
}
