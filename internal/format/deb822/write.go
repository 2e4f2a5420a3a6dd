package deb822

import (
	"fmt"
	"io"
	"strings"
)

// Writer writes paragraphs, with a blank line between two.
type Writer struct {
	w     io.Writer
	later bool // a paragraph has been written
}

// NewWriter writes to w.
func NewWriter(w io.Writer) *Writer { return &Writer{w: w} }

// Write appends a paragraph, fields in their order. It refuses what a Reader
// would not give back: bad or repeated names, blank continuation lines.
func (w *Writer) Write(p *Paragraph) error {
	if len(p.Fields) == 0 {
		return fmt.Errorf("write paragraph: it has no fields")
	}
	var b strings.Builder
	if w.later {
		b.WriteByte('\n')
	}
	for i, f := range p.Fields {
		if err := checkField(p.Fields[:i], f); err != nil {
			return fmt.Errorf("write paragraph: %w", err)
		}
		first, rest, more := strings.Cut(f.Value, "\n")
		b.WriteString(f.Name)
		b.WriteByte(':')
		if first != "" {
			b.WriteByte(' ')
			b.WriteString(first)
		}
		b.WriteByte('\n')
		if !more {
			continue
		}
		for _, line := range strings.Split(rest, "\n") {
			b.WriteByte(' ')
			b.WriteString(line)
			b.WriteByte('\n')
		}
	}
	w.later = true
	if _, err := io.WriteString(w.w, b.String()); err != nil {
		return fmt.Errorf("write paragraph: %w", err)
	}
	return nil
}

func checkField(before []Field, f Field) error {
	if msg := nameFault([]byte(f.Name)); msg != "" {
		return fmt.Errorf("%s", msg)
	}
	for _, other := range before {
		if strings.EqualFold(other.Name, f.Name) {
			return fmt.Errorf("field %s stands twice", f.Name)
		}
	}
	if strings.ContainsRune(f.Value, 0) {
		return fmt.Errorf("field %s: has a NUL byte", f.Name)
	}
	for i, line := range strings.Split(f.Value, "\n") {
		if i > 0 && strings.Trim(line, " \t\r") == "" {
			return fmt.Errorf("field %s: line %d of the value is blank; write \".\" instead", f.Name, i+1)
		}
	}
	return nil
}
