package kmod

import (
	"bytes"
	"encoding/binary"
	"strings"
)

// object describes an ELF file for tests.
type object struct {
	narrow, big bool // of 32 bits; big-endian
	info        []string
	exports     []string // with checksums
	strings     []string // of __ksymtab_strings
	needs       []string
	versions    []string
	truncate    string // a section whose size is too large
	compressed  string // a section that says it is compressed
}

// bytes writes the file: header, contents, section headers.
func (o object) bytes() []byte {
	var order binary.ByteOrder = binary.LittleEndian
	if o.big {
		order = binary.BigEndian
	}
	type section struct {
		name string
		data []byte
	}
	symtab, strtab := o.symbols(order)
	sections := []section{{}, {".modinfo", joinNUL(o.info)}, {"__ksymtab_strings", joinNUL(o.strings)}, {"__versions", o.rows(order)},
		{".symtab", symtab}, {".strtab", strtab}, {".shstrtab", nil}}
	names := []byte{0}
	var at []uint32
	for _, s := range sections {
		at = append(at, uint32(len(names)))
		names = append(append(names, s.name...), 0)
	}
	sections[len(sections)-1].data = names
	headerSize := headerSize64
	if o.narrow {
		headerSize = headerSize32
	}
	out := make([]byte, headerSize)
	var table bytes.Buffer
	for n, s := range sections {
		size, flags := uint64(len(s.data)), uint64(0)
		if s.name == o.truncate && n > 0 {
			size += 1 << 20
		}
		if s.name == o.compressed && n > 0 {
			flags = flagCompressed
		}
		o.put(&table, order, at[n], uint32(1), o.word(flags), o.word(0), o.word(uint64(len(out))), o.word(size), [2]uint32{}, o.word(1), o.word(0))
		out = append(out, s.data...)
	}
	copy(out, "\x7fELF")
	out[4], out[5] = 2, 1
	fields, offset := 58, 40
	if o.narrow {
		out[4], fields, offset = 1, 46, 32
	}
	if o.big {
		out[5] = 2
	}
	if o.narrow {
		order.PutUint32(out[offset:], uint32(len(out)))
	} else {
		order.PutUint64(out[offset:], uint64(len(out)))
	}
	order.PutUint16(out[fields:], uint16(table.Len()/len(sections)))
	order.PutUint16(out[fields+2:], uint16(len(sections)))
	order.PutUint16(out[fields+4:], uint16(len(sections)-1))
	return append(out, table.Bytes()...)
}

// word has the size of the machine's.
func (o object) word(v uint64) any {
	if o.narrow {
		return uint32(v)
	}
	return v
}

func (o object) put(w *bytes.Buffer, order binary.ByteOrder, fields ...any) {
	for _, f := range fields {
		if err := binary.Write(w, order, f); err != nil {
			panic(err) // a field without a size
		}
	}
}

func (o object) symbols(order binary.ByteOrder) (symtab, strtab []byte) {
	var table bytes.Buffer
	strtab = []byte{0}
	add := func(name string, section uint16) {
		at := uint32(0)
		if name != "" {
			at = uint32(len(strtab))
			strtab = append(append(strtab, name...), 0)
		}
		if o.narrow {
			o.put(&table, order, at, [2]uint32{}, uint16(0), section)
		} else {
			o.put(&table, order, at, uint16(0), section, [2]uint64{})
		}
	}
	add("", 0)
	add("local", 1)
	for _, name := range o.exports {
		add("__crc_"+name, 0xfff1)
	}
	for _, name := range o.needs {
		add(name, 0)
	}
	return table.Bytes(), strtab
}

func (o object) rows(order binary.ByteOrder) []byte {
	var table bytes.Buffer
	for _, name := range o.versions {
		row := make([]byte, 64)
		at := 8
		if o.narrow {
			at = 4
		}
		copy(row[at:], name)
		o.put(&table, order, row)
	}
	return table.Bytes()
}

func joinNUL(list []string) []byte {
	if len(list) == 0 {
		return nil
	}
	return []byte(strings.Join(list, "\x00") + "\x00")
}
