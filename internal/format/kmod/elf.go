package kmod

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
)

// Read reads a module from its uncompressed file, an ELF object. The file's
// path gives the name.
//
// Exported symbols are those that have a checksum (a symbol __crc_NAME), else
// the strings in __ksymtab_strings. Needed ones are undefined in the symbol
// table; those that only __versions names come last.
func Read(file string, data []byte) (*Module, error) {
	name, ok := Name(file)
	if !ok {
		return nil, fmt.Errorf("read module %s: its name does not end in .ko", file)
	}
	m := &Module{Path: file, Name: name}
	if err := m.read(data); err != nil {
		return nil, fmt.Errorf("read module %s: %w", file, err)
	}
	return m, nil
}

func (m *Module) read(data []byte) error {
	f, err := openELF(data)
	if err != nil {
		return err
	}
	info, ok, err := f.section(".modinfo")
	if err != nil {
		return err
	}
	if !ok {
		return fmt.Errorf("no section .modinfo")
	}
	m.Info = parseInfo(info)
	return m.readSymbols(f)
}

// parseInfo splits NUL-terminated KEY=VALUE strings.
func parseInfo(data []byte) []Field {
	var fields []Field
	for _, text := range splitNUL(data) {
		key, value, _ := strings.Cut(text, "=")
		fields = append(fields, Field{key, value})
	}
	return fields
}

// splitNUL gives the strings between NULs that are not empty.
func splitNUL(data []byte) []string {
	return strings.FieldsFunc(string(data), func(r rune) bool { return r == 0 })
}

// maxShare bounds what the names of symbols, which may share bytes, come to
// together: in files of honest linkers they are smaller than the file.
const maxShare = 4

func (m *Module) readSymbols(f *elfFile) error {
	symbols, strtab, err := f.symbols()
	if err != nil {
		return err
	}
	seen := map[string]bool{}
	size := 0
	for _, s := range symbols {
		name, err := cString(strtab, uint64(s.name))
		if err != nil {
			return fmt.Errorf("name of a symbol: %w", err)
		}
		if size += len(name); size > maxShare*len(f.data) {
			return fmt.Errorf("names of symbols of more than %d times the file's size", maxShare)
		}
		if export, ok := strings.CutPrefix(name, "__crc_"); ok {
			m.Exports = append(m.Exports, export)
		}
		if s.section == 0 && name != "" { // SHN_UNDEF
			m.Needs = append(m.Needs, name)
			seen[name] = true
		}
	}
	if len(m.Exports) == 0 {
		names, _, err := f.section("__ksymtab_strings")
		if err != nil {
			return err
		}
		m.Exports = splitNUL(names)
	}
	versions, err := f.versions()
	for _, name := range versions {
		if !seen[name] {
			m.Needs = append(m.Needs, name)
		}
	}
	return err
}

// elfFile is an ELF object: its bytes and the table of its sections.
type elfFile struct {
	data    []byte
	order   binary.ByteOrder
	wide    bool // of 64 bits
	headers []elfSection
	names   []byte
}

type elfSection struct {
	name         uint32
	flags        uint64
	offset, size uint64
}

// The sizes and offsets below are those of the ELF specification, for objects
// of 64 and of 32 bits.
const (
	headerSize64, headerSize32   = 64, 52
	sectionSize64, sectionSize32 = 64, 40
	symbolSize64, symbolSize32   = 24, 16

	flagCompressed = 1 << 11
)

func openELF(data []byte) (*elfFile, error) {
	if len(data) < headerSize32 || string(data[:4]) != "\x7fELF" {
		return nil, fmt.Errorf("not an ELF file")
	}
	f := &elfFile{data: data, wide: data[4] == 2}
	switch {
	case data[4] != 1 && data[4] != 2 || f.wide && len(data) < headerSize64:
		return nil, fmt.Errorf("ELF class %d in %d bytes", data[4], len(data))
	case data[5] == 1:
		f.order = binary.LittleEndian
	case data[5] == 2:
		f.order = binary.BigEndian
	default:
		return nil, fmt.Errorf("ELF byte order %d", data[5])
	}
	table, at, want := uint64(f.order.Uint32(data[32:])), 46, sectionSize32
	if f.wide {
		table, at, want = f.order.Uint64(data[40:]), 58, sectionSize64
	}
	size, count, names := f.order.Uint16(data[at:]), f.order.Uint16(data[at+2:]), f.order.Uint16(data[at+4:])
	if int(size) != want {
		return nil, fmt.Errorf("section headers of %d bytes, want %d", size, want)
	}
	rows, err := f.slice(table, uint64(size)*uint64(count))
	if err != nil {
		return nil, fmt.Errorf("section headers: %w", err)
	}
	for n := range int(count) {
		f.headers = append(f.headers, f.header(rows[n*want:]))
	}
	if int(names) >= len(f.headers) {
		return nil, fmt.Errorf("no section names")
	}
	f.names, err = f.slice(f.headers[names].offset, f.headers[names].size)
	if err != nil {
		return nil, fmt.Errorf("section names: %w", err)
	}
	return f, nil
}

func (f *elfFile) header(row []byte) elfSection {
	if f.wide {
		return elfSection{f.order.Uint32(row), f.order.Uint64(row[8:]), f.order.Uint64(row[24:]), f.order.Uint64(row[32:])}
	}
	word := func(at int) uint64 { return uint64(f.order.Uint32(row[at:])) }
	return elfSection{f.order.Uint32(row), word(8), word(16), word(20)}
}

func (f *elfFile) slice(offset, size uint64) ([]byte, error) {
	if offset > uint64(len(f.data)) || size > uint64(len(f.data))-offset {
		return nil, fmt.Errorf("%d bytes at %d of a file of %d", size, offset, len(f.data))
	}
	return f.data[offset : offset+size], nil
}

// section gives the bytes of the first section of the name.
func (f *elfFile) section(name string) ([]byte, bool, error) {
	for _, h := range f.headers[min(1, len(f.headers)):] { // the first is reserved
		if uint64(h.name) >= uint64(len(f.names)) || !bytes.HasPrefix(f.names[h.name:], append([]byte(name), 0)) {
			continue
		}
		if h.flags&flagCompressed != 0 {
			return nil, false, fmt.Errorf("section %s is compressed", name)
		}
		data, err := f.slice(h.offset, h.size)
		if err != nil {
			return nil, false, fmt.Errorf("section %s: %w", name, err)
		}
		return data, true, nil
	}
	return nil, false, nil
}

type elfSymbol struct {
	name    uint32 // offset in .strtab
	section uint16
}

// symbols gives the symbol table but for its first, reserved entry, and the
// names. A file may have none.
func (f *elfFile) symbols() ([]elfSymbol, []byte, error) {
	table, _, err := f.section(".symtab")
	if err != nil {
		return nil, nil, err
	}
	strtab, _, err := f.section(".strtab")
	if err != nil {
		return nil, nil, err
	}
	size, sectionAt := symbolSize32, 14
	if f.wide {
		size, sectionAt = symbolSize64, 6
	}
	if len(table)%size != 0 {
		return nil, nil, fmt.Errorf("section .symtab has %d bytes, not a multiple of %d", len(table), size)
	}
	symbols := make([]elfSymbol, 0, len(table)/size)
	for at := size; at < len(table); at += size {
		symbols = append(symbols, elfSymbol{f.order.Uint32(table[at:]), f.order.Uint16(table[at+sectionAt:])})
	}
	return symbols, strtab, nil
}

// versions gives the symbols in __versions: rows of 64 bytes, a checksum of the
// machine's word size and a name that NULs fill up.
func (f *elfFile) versions() ([]string, error) {
	const row = 64
	table, _, err := f.section("__versions")
	if err != nil {
		return nil, err
	}
	if len(table)%row != 0 {
		return nil, fmt.Errorf("section __versions has %d bytes, not a multiple of %d", len(table), row)
	}
	word := 4
	if f.wide {
		word = 8
	}
	var names []string
	for ; len(table) > 0; table = table[row:] {
		name, _, _ := bytes.Cut(table[word:row], []byte{0})
		if len(name) > 0 {
			names = append(names, string(name))
		}
	}
	return names, nil
}

// maxName bounds the name of a symbol, in bytes. The kernel's own bound is 512.
const maxName = 1 << 10

// cString gives the NUL-terminated string at an offset.
func cString(data []byte, at uint64) (string, error) {
	if at == 0 && len(data) == 0 {
		return "", nil // an empty table has the empty name
	}
	if at >= uint64(len(data)) {
		return "", fmt.Errorf("string at %d of %d bytes", at, len(data))
	}
	text, _, ended := bytes.Cut(data[at:min(uint64(len(data)), at+maxName)], []byte{0})
	if !ended {
		return "", fmt.Errorf("string at %d has no end, or is longer than %d bytes", at, maxName)
	}
	return string(text), nil
}
