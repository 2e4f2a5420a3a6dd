package pe

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"

	"ashlar/internal/foundation/tree"
)

// NewSection is a section to be added: data that is read, never executed.
type NewSection struct {
	Name    string     // of at most 8 bytes, not that of another section
	Content tree.Entry // a file of at least one byte
}

// Program is a program with sections added. It is made by Add.
type Program struct {
	Size int64 // bytes of the file

	head     []byte // the program before, with new headers, padded
	sections []Section
	contents []tree.Entry
	checksum int64 // place of the checksum
}

// Add plans a program with sections behind its own: the rows of the section
// table where the headers have room for them, the contents at the end of the
// file, in the order given. A signed program is refused, for the signature
// would not hold.
func Add(program []byte, sections []NewSection) (*Program, error) {
	f, err := Open(bytes.NewReader(program), int64(len(program)))
	if err != nil {
		return nil, err
	}
	p := &Program{checksum: f.optional + optChecksum}
	if err := p.plan(f, program, sections); err != nil {
		return nil, fmt.Errorf("add sections to PE program: %w", err)
	}
	return p, nil
}

func (p *Program) plan(f *File, program []byte, sections []NewSection) error {
	if f.Signed {
		return errors.New("it is signed: take the unsigned one")
	}
	room := f.free(program)
	if len(f.Sections)+len(sections) > maxSections || len(sections)*sectionSize > room {
		return fmt.Errorf("%d sections do not fit: the headers have room for %d", len(sections), room/sectionSize)
	}
	last := f.Sections[len(f.Sections)-1]
	address := roundUp(uint64(last.VirtualAddress)+uint64(max(last.VirtualSize, 1)), f.SectionAlignment)
	offset := roundUp(uint64(len(program)), f.FileAlignment)
	p.head = append(slices.Clone(program), make([]byte, offset-uint64(len(program)))...)
	var total uint64
	for _, s := range sections {
		if err := f.checkNew(p.sections, s); err != nil {
			return err
		}
		raw := roundUp(uint64(s.Content.Size), f.FileAlignment)
		row := Section{
			Name: s.Name, VirtualAddress: uint32(address), VirtualSize: uint32(s.Content.Size),
			Offset: uint32(offset), RawSize: uint32(raw), Flags: FlagData | FlagRead,
		}
		address = roundUp(address+uint64(s.Content.Size), f.SectionAlignment)
		offset += raw
		total += raw
		if address > math.MaxUint32 || offset > math.MaxUint32 {
			return fmt.Errorf("section %s of %d bytes: a program has at most 4 GiB", s.Name, s.Content.Size)
		}
		p.sections, p.contents = append(p.sections, row), append(p.contents, s.Content)
	}
	p.Size = int64(offset)
	p.rewrite(f, uint32(address), uint32(total))
	return nil
}

// free gives the bytes behind the section table that belong to nobody.
func (f *File) free(program []byte) int {
	start := f.table + int64(len(f.Sections))*sectionSize
	rest := program[start:f.SizeOfHeaders]
	return len(rest) - len(bytes.TrimLeft(rest, "\x00"))
}

func (f *File) checkNew(added []Section, s NewSection) error {
	taken := func(row Section) bool { return row.Name == s.Name }
	switch {
	case s.Name == "" || len(s.Name) > nameSize:
		return fmt.Errorf("section name %q: want 1 to %d bytes", s.Name, nameSize)
	case f.Section(s.Name) != nil || slices.ContainsFunc(added, taken):
		return fmt.Errorf("section %s is there already", s.Name)
	case s.Content.Kind != tree.File || s.Content.Size <= 0 || s.Content.Size > math.MaxUint32:
		return fmt.Errorf("section %s of %d bytes: want 1 byte to 4 GiB", s.Name, s.Content.Size)
	}
	return nil
}

// rewrite puts the new rows and sizes into the headers, the checksum as zero.
func (p *Program) rewrite(f *File, imageSize, added uint32) {
	le := binary.LittleEndian
	count := len(f.Sections) + len(p.sections)
	le.PutUint16(p.head[f.optional-coffSize+6:], uint16(count))
	opt := p.head[f.optional:]
	le.PutUint32(opt[optDataSize:], le.Uint32(opt[optDataSize:])+added)
	le.PutUint32(opt[optImageSize:], max(imageSize, f.SizeOfImage))
	le.PutUint32(opt[optChecksum:], 0)
	at := f.table + int64(len(f.Sections))*sectionSize
	for _, s := range p.sections {
		row := p.head[at : at+sectionSize]
		copy(row, s.Name)
		le.PutUint32(row[8:], s.VirtualSize)
		le.PutUint32(row[12:], s.VirtualAddress)
		le.PutUint32(row[16:], s.RawSize)
		le.PutUint32(row[20:], s.Offset)
		le.PutUint32(row[36:], s.Flags)
		at += sectionSize
	}
}

// Write writes the whole file; the checksum goes in last, when all is summed.
func (p *Program) Write(w io.WriterAt) error {
	var sum checksum
	out := io.MultiWriter(io.NewOffsetWriter(w, 0), &sum)
	if _, err := out.Write(p.head); err != nil {
		return fmt.Errorf("write PE program: %w", err)
	}
	for n, s := range p.sections {
		if err := copyPadded(out, &p.contents[n], int64(s.RawSize)); err != nil {
			return fmt.Errorf("write section %s: %w", s.Name, err)
		}
	}
	word := binary.LittleEndian.AppendUint32(nil, sum.result(p.Size))
	if _, err := w.WriteAt(word, p.checksum); err != nil {
		return fmt.Errorf("write PE program: %w", err)
	}
	return nil
}

// copyPadded copies a file's content, which must have the bytes the entry says.
func copyPadded(w io.Writer, e *tree.Entry, size int64) error {
	r, err := e.Open()
	if err != nil {
		return err
	}
	n, err := io.Copy(w, io.LimitReader(r, e.Size+1))
	if err := errors.Join(err, r.Close()); err != nil {
		return err
	}
	if n != e.Size {
		return fmt.Errorf("content gave %d bytes or more, the entry says %d", n, e.Size)
	}
	_, err = w.Write(make([]byte, size-n))
	return err
}

func roundUp(n uint64, to uint32) uint64 {
	step := uint64(to)
	return (n + step - 1) / step * step
}
