// Package deb822 reads and writes the paragraphs of fields that Debian's
// control files, indexes and Release files are made of (deb822(5)).
//
// Vocabulary: a paragraph is a run of fields ended by a blank line; a field is
// "Name: value", its value goes on in the following lines that begin with a
// space or tab. Lines that begin with '#' are comments.
//
// The reader streams, bounds everything it holds, and refuses a field that
// stands twice in a paragraph. It knows nothing of what fields mean.
package deb822

import (
	"fmt"
	"strings"
)

// Field is one field. Value has its lines joined with '\n'; of each line after
// the first the one leading space or tab is taken off, and trailing blanks are
// dropped. "Conffiles:\n /etc/a x\n" has the value "\n/etc/a x".
type Field struct {
	Name  string
	Value string
	Line  int // where it was read, from 1; 0 when it was made
}

// Lines gives the lines of a multi-line value without the first when that is empty.
func (f Field) Lines() []string {
	text := strings.TrimPrefix(f.Value, "\n")
	if text == "" {
		return nil
	}
	return strings.Split(text, "\n")
}

// Paragraph is a list of fields in order. Names differ when case is ignored.
type Paragraph struct {
	Fields []Field
}

// Lookup gives the field of the name in any case.
func (p *Paragraph) Lookup(name string) (Field, bool) {
	for _, f := range p.Fields {
		if len(f.Name) == len(name) && strings.EqualFold(f.Name, name) {
			return f, true
		}
	}
	return Field{}, false
}

// Get gives the value of the field, or "".
func (p *Paragraph) Get(name string) string {
	f, _ := p.Lookup(name)
	return f.Value
}

// Set replaces the field's value in its place, or adds the field at the end.
func (p *Paragraph) Set(name, value string) {
	for i := range p.Fields {
		if strings.EqualFold(p.Fields[i].Name, name) {
			p.Fields[i].Value = value
			return
		}
	}
	p.Fields = append(p.Fields, Field{Name: name, Value: value})
}

// Delete takes the field away.
func (p *Paragraph) Delete(name string) {
	kept := p.Fields[:0]
	for _, f := range p.Fields {
		if !strings.EqualFold(f.Name, name) {
			kept = append(kept, f)
		}
	}
	p.Fields = kept
}

// Error is a fault at a line.
type Error struct {
	Line int // from 1
	Msg  string
}

// Error implements error.
func (e *Error) Error() string { return fmt.Sprintf("line %d: %s", e.Line, e.Msg) }

// nameFault says what is wrong with a field's name, or "". Names are of
// printable ASCII without space and colon, and do not begin with '#' or '-'.
func nameFault(name []byte) string {
	if len(name) == 0 {
		return "a field has no name"
	}
	if name[0] == '#' || name[0] == '-' {
		return fmt.Sprintf("field name %.40q begins with %q", name, name[0])
	}
	for _, c := range name {
		if c <= ' ' || c > '~' || c == ':' {
			return fmt.Sprintf("field name %.40q has a character that names may not have", name)
		}
	}
	return ""
}
