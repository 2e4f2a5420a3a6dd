package definition

import (
	"fmt"
	"sort"
	"strings"
	"unicode/utf8"
)

// Position is a place in a definition file. Line and column count from 1, the
// column in characters; a zero line means the file as a whole.
type Position struct {
	File   string `json:"file"`
	Line   int    `json:"line"`
	Column int    `json:"column"`
}

// String gives file:line:column.
func (p Position) String() string {
	if p.Line == 0 {
		return p.File
	}
	return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column)
}

// Error is one thing that is wrong with a definition.
type Error struct {
	Position Position `json:"position"`
	Key      string   `json:"key,omitempty"` // services.web.exec, state[0].path
	Message  string   `json:"message"`
	Hint     string   `json:"hint,omitempty"`
	Source   string   `json:"source,omitempty"` // the line; empty where it may hold a secret
	Width    int      `json:"-"`                // characters that the mark below the line covers
}

// Error gives the one-line form: file:line:column: key: message; hint.
func (e Error) Error() string {
	text := e.Position.String() + ": "
	if e.Key != "" {
		text += e.Key + ": "
	}
	text += e.Message
	if e.Hint != "" {
		text += "; " + e.Hint
	}
	return text
}

// Text gives the one-line form and below it the source line with a mark under
// what is meant.
func (e Error) Text() string {
	if e.Source == "" || e.Position.Line == 0 {
		return e.Error() + "\n"
	}
	number := fmt.Sprintf("%5d | ", e.Position.Line)
	margin := strings.Repeat(" ", len(number)-2) + "| "
	var indent strings.Builder
	column := 1
	for _, r := range e.Source {
		if column >= e.Position.Column {
			break
		}
		if r != '\t' {
			r = ' '
		}
		indent.WriteRune(r)
		column++
	}
	width := min(e.Width, utf8.RuneCountInString(e.Source)-column+1)
	mark := strings.Repeat("^", max(width, 1))
	return e.Error() + "\n" + number + e.Source + "\n" + margin + indent.String() + mark + "\n"
}

// Errors is everything that is wrong with a definition, sorted by position. It
// is what Parse and Load return as their error.
type Errors []Error

// Error gives one line for each error.
func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i := range e {
		lines[i] = e[i].Error()
	}
	return strings.Join(lines, "\n")
}

// Text gives each error with its source line.
func (e Errors) Text() string {
	var text strings.Builder
	for i := range e {
		text.WriteString(e[i].Text())
	}
	return text.String()
}

// Unwrap lets errors.As find a single Error.
func (e Errors) Unwrap() []error {
	list := make([]error, len(e))
	for i := range e {
		list[i] = e[i]
	}
	return list
}

// span is a range of bytes in the source.
type span struct{ start, length int }

// source is the text of a definition and what was found wrong with it.
type source struct {
	file   string
	data   []byte
	lines  []int // offset of each line's first byte
	errors Errors
}

func newSource(file string, data []byte) *source {
	s := &source{file: file, data: data, lines: []int{0}}
	for i, c := range data {
		if c == '\n' {
			s.lines = append(s.lines, i+1)
		}
	}
	return s
}

// line gives the number of the line, from 1, that holds the offset.
func (s *source) line(offset int) int {
	return sort.SearchInts(s.lines, offset+1)
}

// text gives a line without its end.
func (s *source) text(line int) string {
	start, end := s.lines[line-1], len(s.data)
	if line < len(s.lines) {
		end = s.lines[line] - 1
	}
	return strings.TrimSuffix(strings.ToValidUTF8(string(s.data[start:end]), "\uFFFD"), "\r")
}

func (s *source) position(offset int) Position {
	line := s.line(offset)
	column := utf8.RuneCount(s.data[s.lines[line-1]:offset]) + 1
	return Position{File: s.file, Line: line, Column: column}
}

// The bounds of what is reported of one file.
const (
	maxErrors = 100
	maxSource = 400 // bytes of a source line that is shown
)

// report adds an error at a place in the source.
func (s *source) report(at span, key, message, hint string) {
	switch {
	case len(s.errors) > maxErrors:
		return
	case len(s.errors) == maxErrors:
		key, message, hint = "", fmt.Sprintf("more than %d errors; the others are not shown", maxErrors), ""
	}
	s.errors = append(s.errors, s.at(at, key, message, hint))
}

func (s *source) at(at span, key, message, hint string) Error {
	start := min(max(at.start, 0), len(s.data))
	end := min(start+max(at.length, 0), len(s.data))
	pos := s.position(start)
	e := Error{Position: pos, Key: key, Message: message, Hint: hint, Source: s.text(pos.Line), Width: utf8.RuneCount(s.data[start:end])}
	if len(e.Source) > maxSource {
		e.Source = ""
	}
	return e
}

// result sorts the errors by position and returns them, nil if there are none.
func (s *source) result() error {
	if len(s.errors) == 0 {
		return nil
	}
	sort.SliceStable(s.errors, func(i, j int) bool {
		a, b := s.errors[i], s.errors[j]
		if a.Position.Line != b.Position.Line {
			return a.Position.Line < b.Position.Line
		}
		if a.Position.Column != b.Position.Column {
			return a.Position.Column < b.Position.Column
		}
		return a.Key < b.Key
	})
	return s.errors
}

// quote shows a value in a message, cut to a length that fits a line.
func quote(text string) string {
	const limit = 60
	if utf8.RuneCountInString(text) > limit {
		text = string([]rune(text)[:limit]) + "…"
	}
	return fmt.Sprintf("%q", text)
}
