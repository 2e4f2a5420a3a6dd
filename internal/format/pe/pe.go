// Package pe reads PE/COFF programs and adds sections to them: what UEFI
// starts. A unified kernel image is such a program, systemd's stub, with a
// kernel, an initramfs and a command line as sections that it finds by name.
//
// The format is Microsoft's "PE Format": an MZ header whose word at 0x3c
// points to "PE\0\0", the COFF header, the optional header (PE32 or PE32+), the
// section table and, at multiples of the file alignment, the sections. All
// numbers are little-endian. A section lies in memory at its VirtualAddress,
// relative to where the image is loaded, with VirtualSize bytes, and in the
// file at Offset with RawSize bytes, the rest of it padding.
//
// Not done: signing, imports, resources, symbols.
package pe

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Machines (COFF header).
const (
	MachineAMD64 = 0x8664
	MachineARM64 = 0xaa64
)

// SubsystemEFI is an EFI application.
const SubsystemEFI = 10

// Flags of sections.
const (
	FlagCode = 0x00000020
	FlagData = 0x00000040 // initialised
	FlagRead = 0x40000000
)

// Sizes and places of the headers.
const (
	mzSize       = 64
	mzPointer    = 0x3c
	coffSize     = 24 // with the four bytes of the signature
	sectionSize  = 40
	nameSize     = 8
	maxSections  = 96       // what Windows loads at most
	maxHeaders   = 64 << 10 // bound of all headers together
	securityRow  = 4        // data directory of signatures; its address is a place in the file
	directoryRow = 8        // bytes of a data directory
)

// Places in the optional header; those up to the subsystem are the same in
// PE32 and PE32+.
const (
	optDataSize    = 8
	optSectAlign   = 32
	optFileAlign   = 36
	optImageSize   = 56
	optHeadersSize = 60
	optChecksum    = 64
	optSubsystem   = 68
	optCount32     = 92 // number of data directories, which follow
	optCount64     = 108
	magic32        = 0x10b
	magic64        = 0x20b
)

// File is an opened program.
type File struct {
	Machine          uint16
	Subsystem        uint16
	Checksum         uint32 // as the header says; 0: none
	SizeOfImage      uint32 // bytes in memory
	SizeOfHeaders    uint32 // bytes before the first section
	SectionAlignment uint32
	FileAlignment    uint32
	Signed           bool // has a table of signatures
	Sections         []Section

	r        io.ReaderAt
	size     int64
	optional int64 // place of the optional header
	table    int64 // place of the section table
}

// Section is a row of the section table.
type Section struct {
	Name           string
	VirtualAddress uint32
	VirtualSize    uint32
	Offset         uint32
	RawSize        uint32
	Flags          uint32
}

// Open reads the headers of a program of size bytes. Sections lie inside the
// file, in ascending order in memory, and do not overlap.
func Open(r io.ReaderAt, size int64) (*File, error) {
	f := &File{r: r, size: size}
	if err := f.headers(); err != nil {
		return nil, fmt.Errorf("read PE program: %w", err)
	}
	return f, nil
}

func (f *File) headers() error {
	mz, err := f.bytes(0, mzSize)
	if err != nil {
		return err
	}
	if string(mz[:2]) != "MZ" {
		return errors.New("no MZ header")
	}
	at := int64(binary.LittleEndian.Uint32(mz[mzPointer:]))
	if at > maxHeaders {
		return fmt.Errorf("PE header at byte %d, at most %d", at, maxHeaders)
	}
	coff, err := f.bytes(at, coffSize)
	if err != nil {
		return err
	}
	if string(coff[:4]) != "PE\x00\x00" {
		return errors.New("no PE header")
	}
	f.Machine = binary.LittleEndian.Uint16(coff[4:])
	count := int(binary.LittleEndian.Uint16(coff[6:]))
	optionalSize := int64(binary.LittleEndian.Uint16(coff[20:]))
	f.optional = at + coffSize
	f.table = f.optional + optionalSize
	if err := f.readOptional(optionalSize); err != nil {
		return err
	}
	if count == 0 || count > maxSections {
		return fmt.Errorf("%d sections, want 1 to %d", count, maxSections)
	}
	rows, err := f.bytes(f.table, int64(count)*sectionSize)
	if err != nil {
		return err
	}
	for n := range count {
		f.Sections = append(f.Sections, parseSection(rows[n*sectionSize:]))
	}
	return f.checkSections()
}

func (f *File) readOptional(size int64) error {
	if size < optCount32+4 {
		return fmt.Errorf("optional header of %d bytes", size)
	}
	opt, err := f.bytes(f.optional, size)
	if err != nil {
		return err
	}
	le := binary.LittleEndian
	directories := 0
	switch magic := le.Uint16(opt); magic {
	case magic32:
		directories = optCount32 + 4
	case magic64:
		directories = optCount64 + 4
	default:
		return fmt.Errorf("optional header of kind %#x, want PE32 or PE32+", magic)
	}
	f.Subsystem, f.Checksum = le.Uint16(opt[optSubsystem:]), le.Uint32(opt[optChecksum:])
	f.SizeOfImage, f.SizeOfHeaders = le.Uint32(opt[optImageSize:]), le.Uint32(opt[optHeadersSize:])
	f.SectionAlignment, f.FileAlignment = le.Uint32(opt[optSectAlign:]), le.Uint32(opt[optFileAlign:])
	if !isAlignment(f.FileAlignment) || !isAlignment(f.SectionAlignment) || f.SectionAlignment < f.FileAlignment {
		return fmt.Errorf("sections aligned to %d bytes in memory and %d in the file", f.SectionAlignment, f.FileAlignment)
	}
	if f.SizeOfHeaders > maxHeaders || int64(f.SizeOfHeaders) > f.size || f.SizeOfHeaders%f.FileAlignment != 0 {
		return fmt.Errorf("headers of %d bytes", f.SizeOfHeaders)
	}
	security := directories + securityRow*directoryRow
	if int64(security+directoryRow) <= size && le.Uint32(opt[directories-4:]) > securityRow {
		f.Signed = le.Uint64(opt[security:]) != 0
	}
	return nil
}

// isAlignment: powers of two that make sense; UEFI's own programs go down to 32.
func isAlignment(n uint32) bool {
	const least, most = 32, 64 << 10
	return n >= least && n <= most && n&(n-1) == 0
}

func parseSection(row []byte) Section {
	le := binary.LittleEndian
	return Section{
		Name:        strings.TrimRight(string(row[:nameSize]), "\x00"),
		VirtualSize: le.Uint32(row[8:]), VirtualAddress: le.Uint32(row[12:]),
		RawSize: le.Uint32(row[16:]), Offset: le.Uint32(row[20:]), Flags: le.Uint32(row[36:]),
	}
}

func (f *File) checkSections() error {
	if f.table+int64(len(f.Sections))*sectionSize > int64(f.SizeOfHeaders) {
		return fmt.Errorf("section table ends behind the headers of %d bytes", f.SizeOfHeaders)
	}
	next := uint64(f.SizeOfHeaders)
	for _, s := range f.Sections {
		if uint64(s.VirtualAddress) < next || s.VirtualAddress%f.SectionAlignment != 0 {
			return fmt.Errorf("section %q at address %#x: not behind the one before it, or not aligned", s.Name, s.VirtualAddress)
		}
		next = uint64(s.VirtualAddress) + uint64(s.VirtualSize)
		if s.RawSize > 0 && (s.Offset < f.SizeOfHeaders || int64(s.Offset)+int64(s.RawSize) > f.size) {
			return fmt.Errorf("section %q of %d bytes at byte %d: not in the file of %d bytes", s.Name, s.RawSize, s.Offset, f.size)
		}
	}
	if next > uint64(f.SizeOfImage) {
		return fmt.Errorf("sections end at address %#x, behind the image of %#x", next, f.SizeOfImage)
	}
	return nil
}

// Section gives the first section of the name, or nil.
func (f *File) Section(name string) *Section {
	for n := range f.Sections {
		if f.Sections[n].Name == name {
			return &f.Sections[n]
		}
	}
	return nil
}

// Data gives a section's content without the padding.
func (f *File) Data(s *Section) *io.SectionReader {
	return io.NewSectionReader(f.r, int64(s.Offset), int64(min(s.RawSize, s.VirtualSize)))
}

// Sum computes the checksum that the header should have.
func (f *File) Sum() (uint32, error) {
	var sum checksum
	at := f.optional + optChecksum
	for _, part := range []io.Reader{
		io.NewSectionReader(f.r, 0, at), strings.NewReader("\x00\x00\x00\x00"), io.NewSectionReader(f.r, at+4, f.size-at-4),
	} {
		if _, err := io.Copy(&sum, part); err != nil {
			return 0, fmt.Errorf("sum PE program: %w", err)
		}
	}
	return sum.result(f.size), nil
}

// bytes reads a part of the headers.
func (f *File) bytes(at, n int64) ([]byte, error) {
	if at < 0 || n > maxHeaders || at+n > f.size {
		return nil, fmt.Errorf("%d bytes at %d: not in the file of %d bytes", n, at, f.size)
	}
	b := make([]byte, n)
	if _, err := f.r.ReadAt(b, at); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return b, nil
}

// checksum adds the 16-bit words of what is written to it, with the carry
// added at the low end. A last odd byte counts as if a zero followed.
type checksum struct {
	sum uint64
	odd bool // the next byte is a word's upper one
}

// Write implements io.Writer; it never fails.
func (c *checksum) Write(p []byte) (int, error) {
	n := len(p)
	if c.odd && n > 0 {
		c.sum += uint64(p[0]) << 8
		p, c.odd = p[1:], false
	}
	// Four words at once: sums of 16 bits with the carry added are the same
	// whatever the width they are added in.
	for ; len(p) >= 4; p = p[4:] {
		c.sum += uint64(binary.LittleEndian.Uint32(p))
	}
	for ; len(p) >= 2; p = p[2:] {
		c.sum += uint64(binary.LittleEndian.Uint16(p))
	}
	if len(p) == 1 {
		c.sum += uint64(p[0])
		c.odd = true
	}
	return n, nil
}

func (c *checksum) result(size int64) uint32 {
	sum := c.sum
	for sum>>16 != 0 {
		sum = sum>>16 + sum&0xffff
	}
	return uint32(sum + uint64(size))
}
