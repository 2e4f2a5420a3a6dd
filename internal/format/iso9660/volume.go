package iso9660

import (
	"encoding/binary"
	"strings"
)

// Volume descriptors (8): a type, CD001, a version, and what the type has.
const (
	standardID     = "CD001"
	typeBoot       = 0
	typePrimary    = 1
	typeTerminator = 255
	rootRecordAt   = 156
	rootRecordSize = 34
	elTorito       = "EL TORITO SPECIFICATION"
	catalogAt      = 0x47 // in the boot record: u32, block of the catalog
)

func descriptor(kind byte) []byte {
	b := make([]byte, BlockSize)
	b[0] = kind
	copy(b[1:], standardID)
	b[6] = 1
	return b
}

// primary is the primary volume descriptor (8.4).
func (p *Plan) primary() []byte {
	b := descriptor(typePrimary)
	text := func(at, size int, value string) {
		copy(b[at:at+size], value+strings.Repeat(" ", size))
	}
	short := func(at int, n uint16) {
		binary.LittleEndian.PutUint16(b[at:], n)
		binary.BigEndian.PutUint16(b[at+2:], n)
	}
	text(8, 32, "LINUX")
	text(40, 32, p.opt.VolumeID)
	copy(b[80:], both(uint32(p.Size/BlockSize)))
	short(120, 1) // volumes in the set
	short(124, 1) // this one
	short(128, BlockSize)
	copy(b[132:], both(uint32(p.pathSize)))
	binary.LittleEndian.PutUint32(b[140:], uint32(p.pathL))
	binary.BigEndian.PutUint32(b[148:], uint32(p.pathM))
	root := record{id: []byte{0}, target: p.dirs[0], size: rootRecordSize}
	copy(b[rootRecordAt:], root.encode(p.area, p.opt.Epoch))
	for _, field := range []struct {
		at, size int
		value    string
	}{{190, 128, ""}, {318, 128, ""}, {446, 128, ""}, {574, 128, "ASHLAR"}, {702, 37, ""}, {739, 37, ""}, {776, 37, ""}} {
		text(field.at, field.size, field.value)
	}
	copy(b[813:], longTime(p.opt.Epoch)) // creation
	copy(b[830:], longTime(p.opt.Epoch)) // modification
	copy(b[847:], noTime())              // expiration
	copy(b[864:], noTime())              // effective from
	b[881] = 1                           // version of the file structure
	return b
}

// descriptors gives the whole set: El Torito's boot record must be the second.
func (p *Plan) descriptors() []byte {
	out := p.primary()
	if p.boots() {
		boot := descriptor(typeBoot)
		copy(boot[7:], elTorito)
		binary.LittleEndian.PutUint32(boot[catalogAt:], uint32(p.catalog))
		out = append(out, boot...)
	}
	return append(out, descriptor(typeTerminator)...)
}

// pathEntry is a directory's entry of a path table (9.4), with numbers in the
// given order; nil gives its length only.
func pathEntry(dir *node, order binary.AppendByteOrder) []byte {
	id := dir.id.bytes(true)
	if dir.number == 1 {
		id = []byte{0}
	}
	out := []byte{byte(len(id)), 0}
	if order == nil {
		order = binary.LittleEndian
	}
	out = order.AppendUint32(out, uint32(dir.data.Offset/BlockSize))
	out = order.AppendUint16(out, uint16(dir.parent.number))
	out = append(out, id...)
	if len(id)%2 == 1 {
		out = append(out, 0)
	}
	return out
}

func (p *Plan) pathTable(order binary.AppendByteOrder) []byte {
	var out []byte
	for _, dir := range p.dirs {
		out = append(out, pathEntry(dir, order)...)
	}
	return out
}

// listing gives a directory's records.
func (p *Plan) listing(dir *node) []byte {
	out := make([]byte, 0, dir.data.Size)
	for _, r := range dir.records {
		if len(out)%BlockSize+r.size > BlockSize {
			out = append(out, make([]byte, BlockSize-len(out)%BlockSize)...)
		}
		out = append(out, r.encode(p.area, p.opt.Epoch)...)
	}
	return append(out, make([]byte, dir.data.Size-int64(len(out)))...)
}

// continuations gives the continuation area.
func (p *Plan) continuations() []byte {
	out := make([]byte, p.areaLen)
	for _, dir := range p.dirs {
		for _, r := range dir.records {
			for c := r.next; c != nil; c = c.next {
				copy(out[c.at:], appendUse(nil, c.entries, c.next, p.area))
			}
		}
	}
	return out
}
