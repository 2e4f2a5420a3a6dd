package deb822

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"strings"
)

// Limits of what a Reader takes. The zero value of a field means its default.
type Limits struct {
	Line      int // bytes of one line; default 4 MiB
	Paragraph int // bytes of one paragraph, fields that are not kept included; default 64 MiB
	Fields    int // fields of one paragraph; default 512
}

func (l Limits) orDefault() Limits {
	if l.Line <= 0 {
		l.Line = 4 << 20
	}
	if l.Paragraph <= 0 {
		l.Paragraph = 64 << 20
	}
	if l.Fields <= 0 {
		l.Fields = 512
	}
	return l
}

// Reader gives the paragraphs of a text one after the other.
type Reader struct {
	in    *bufio.Reader
	limit Limits
	keep  map[string]bool   // lower-case names of fields to keep; nil keeps all
	names map[string]string // one string a name, however often it occurs
	line  int               // number of the line read last
	long  []byte            // holds lines that do not fit into in's buffer
	err   error
}

// NewReader reads from r.
func NewReader(r io.Reader, limit Limits) *Reader {
	return &Reader{in: bufio.NewReaderSize(r, 64<<10), limit: limit.orDefault(), names: map[string]string{}}
}

// Keep makes the reader keep the named fields only. The others are checked
// all the same. Large indexes are mostly fields that nobody asks for.
func (r *Reader) Keep(names ...string) {
	r.keep = make(map[string]bool, len(names))
	for _, n := range names {
		r.keep[strings.ToLower(n)] = true
	}
}

// Line is the number of the line read last.
func (r *Reader) Line() int { return r.line }

// Next gives the next paragraph, or io.EOF after the last. Every fault of the
// text is an *Error; after it, the reader gives the same error for ever.
func (r *Reader) Next() (*Paragraph, error) {
	if r.err != nil {
		return nil, r.err
	}
	p, err := r.paragraph()
	if err != nil {
		r.err = err
		return nil, err
	}
	return p, nil
}

// building is a paragraph being read: seen holds every field, kept or not.
type building struct {
	seen  []string // names
	out   Paragraph
	size  int
	value []byte // of the last field, when it is kept
	kept  bool
}

func (b *building) flush() {
	if b.kept {
		b.out.Fields[len(b.out.Fields)-1].Value = string(b.value)
	}
	b.kept = false
}

func (r *Reader) paragraph() (*Paragraph, error) {
	var b building
	for {
		line, err := r.readLine()
		if err == io.EOF {
			if len(b.seen) == 0 {
				return nil, io.EOF
			}
			b.flush()
			return &b.out, nil
		}
		if err != nil {
			return nil, err
		}
		if len(line) > 0 && line[0] == '#' {
			continue
		}
		text := bytes.TrimRight(line, " \t\r")
		if len(text) == 0 {
			if len(b.seen) == 0 {
				continue
			}
			b.flush()
			return &b.out, nil
		}
		if b.size += len(line) + 1; b.size > r.limit.Paragraph {
			return nil, r.fault("paragraph has more than %d bytes", r.limit.Paragraph)
		}
		if err := r.addLine(&b, text); err != nil {
			return nil, err
		}
	}
}

func (r *Reader) addLine(b *building, text []byte) error {
	if bytes.IndexByte(text, 0) >= 0 {
		return r.fault("has a NUL byte")
	}
	if text[0] == ' ' || text[0] == '\t' {
		if len(b.seen) == 0 {
			return r.fault("a continuation line without a field before it")
		}
		if b.kept {
			b.value = append(append(b.value, '\n'), text[1:]...)
		}
		return nil
	}
	b.flush()
	colon := bytes.IndexByte(text, ':')
	if colon < 0 {
		return r.fault("no colon in %.60q", text)
	}
	if msg := nameFault(text[:colon]); msg != "" {
		return r.fault("%s", msg)
	}
	name := r.intern(text[:colon])
	for _, other := range b.seen {
		if len(other) == len(name) && strings.EqualFold(other, name) {
			return r.fault("field %s stands twice", name)
		}
	}
	if len(b.seen) == r.limit.Fields {
		return r.fault("paragraph has more than %d fields", r.limit.Fields)
	}
	b.seen = append(b.seen, name)
	if r.keep == nil || r.keep[strings.ToLower(name)] {
		b.kept = true
		b.value = append(b.value[:0], bytes.TrimLeft(text[colon+1:], " \t")...)
		b.out.Fields = append(b.out.Fields, Field{Name: name, Line: r.line})
	}
	return nil
}

// intern bounds itself: a hostile text cannot make the table grow for ever.
func (r *Reader) intern(name []byte) string {
	if known, ok := r.names[string(name)]; ok {
		return known
	}
	text := string(name)
	if len(r.names) < 4096 {
		r.names[text] = text
	}
	return text
}

// readLine gives a line without its '\n'; the bytes hold until the next call.
func (r *Reader) readLine() ([]byte, error) {
	part, err := r.in.ReadSlice('\n')
	r.line++
	if err == bufio.ErrBufferFull {
		r.long = append(r.long[:0], part...)
		for err == bufio.ErrBufferFull && len(r.long) <= r.limit.Line {
			part, err = r.in.ReadSlice('\n')
			r.long = append(r.long, part...)
		}
		part = r.long
	}
	if len(part) > r.limit.Line+1 {
		return nil, r.fault("has more than %d bytes", r.limit.Line)
	}
	if err == io.EOF {
		if len(part) == 0 {
			return nil, io.EOF
		}
		return part, nil
	}
	if err != nil {
		return nil, fmt.Errorf("line %d: %w", r.line, err)
	}
	return part[:len(part)-1], nil
}

func (r *Reader) fault(format string, args ...any) error {
	return &Error{Line: r.line, Msg: fmt.Sprintf(format, args...)}
}

// ReadOne gives the paragraph of a text that must hold just one.
func ReadOne(r io.Reader, limit Limits) (*Paragraph, error) {
	in := NewReader(r, limit)
	p, err := in.Next()
	if err == io.EOF {
		return nil, &Error{Line: in.line, Msg: "no paragraph"}
	}
	if err != nil {
		return nil, err
	}
	_, err = in.Next()
	if err == nil {
		return nil, &Error{Line: in.line, Msg: "more than one paragraph"}
	}
	if err != io.EOF {
		return nil, err
	}
	return p, nil
}

// ReadAll gives all paragraphs.
func ReadAll(r io.Reader, limit Limits) ([]*Paragraph, error) {
	in := NewReader(r, limit)
	var all []*Paragraph
	for {
		p, err := in.Next()
		if err == io.EOF {
			return all, nil
		}
		if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
}
