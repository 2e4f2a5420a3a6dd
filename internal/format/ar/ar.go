// Package ar reads the subset of the Unix ar format that Debian packages use
// (deb(5)): the common header, names of at most 15 characters with or without
// the slash that GNU ar appends, no symbol tables, no long names.
//
// It streams: nothing of a member is held in memory.
package ar

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
)

const (
	magic      = "!<arch>\n"
	headerSize = 60
	headerEnd  = "`\n"
)

// Header describes one member. Sizes are in bytes; numbers in the file are
// decimal, the mode octal, all padded with spaces.
type Header struct {
	Name  string
	MTime int64 // seconds since 1970
	Mode  uint32
	Size  int64 // at most 9,999,999,999: the field has ten digits
}

// Reader gives the members one after the other, and the content of the current
// one by Read.
type Reader struct {
	r    io.Reader
	left int64 // bytes of the current member not yet read
	pad  int64 // 1 when a padding byte follows the member
	err  error // first failure; every later call gives it again
}

// NewReader checks the magic line.
func NewReader(r io.Reader) (*Reader, error) {
	var got [len(magic)]byte
	if _, err := io.ReadFull(r, got[:]); err != nil {
		return nil, fmt.Errorf("read ar magic: %w", truncated(err))
	}
	if string(got[:]) != magic {
		return nil, fmt.Errorf("read ar magic: got %q, want %q", got[:], magic)
	}
	return &Reader{r: r}, nil
}

// Next skips what is left of the current member and gives the next one's
// header, or io.EOF after the last.
func (r *Reader) Next() (*Header, error) {
	if r.err != nil {
		return nil, r.err
	}
	h, err := r.next()
	r.err = err
	return h, err
}

func (r *Reader) next() (*Header, error) {
	if _, err := io.CopyN(io.Discard, r.r, r.left); err != nil {
		return nil, fmt.Errorf("skip ar member: %w", truncated(err))
	}
	r.left = 0
	// The padding after the last member is missing in some files.
	if _, err := io.CopyN(io.Discard, r.r, r.pad); err != nil {
		return nil, err
	}
	r.pad = 0
	var raw [headerSize]byte
	if n, err := io.ReadFull(r.r, raw[:]); err != nil {
		if n == 0 && err == io.EOF {
			return nil, io.EOF
		}
		return nil, fmt.Errorf("read ar header: %w", truncated(err))
	}
	h, err := parseHeader(raw[:])
	if err != nil {
		return nil, fmt.Errorf("read ar header: %w", err)
	}
	r.left, r.pad = h.Size, h.Size&1
	return h, nil
}

// Read gives the content of the current member and io.EOF at its end.
func (r *Reader) Read(p []byte) (int, error) {
	if r.err != nil {
		return 0, r.err
	}
	if r.left == 0 {
		return 0, io.EOF
	}
	if int64(len(p)) > r.left {
		p = p[:r.left]
	}
	n, err := r.r.Read(p)
	r.left -= int64(n)
	if err == io.EOF {
		err = nil
		if r.left > 0 {
			r.err = fmt.Errorf("read ar member: %w, %d bytes are missing", io.ErrUnexpectedEOF, r.left)
			err = r.err
		}
	}
	return n, err
}

// Left is the number of bytes of the current member that were not yet read.
func (r *Reader) Left() int64 { return r.left }

func parseHeader(raw []byte) (*Header, error) {
	if string(raw[58:60]) != headerEnd {
		return nil, fmt.Errorf("ends in %q, want %q", raw[58:60], headerEnd)
	}
	name := string(bytes.TrimRight(raw[0:16], " "))
	if len(name) > 1 && name[len(name)-1] == '/' {
		name = name[:len(name)-1]
	}
	if err := checkName(name); err != nil {
		return nil, err
	}
	mtime, err := number("time", raw[16:28], 10)
	if err != nil {
		return nil, err
	}
	mode, err := number("mode", raw[40:48], 8)
	if err != nil {
		return nil, err
	}
	if len(bytes.TrimRight(raw[48:58], " ")) == 0 {
		return nil, errors.New("size is empty")
	}
	size, err := number("size", raw[48:58], 10)
	if err != nil {
		return nil, err
	}
	return &Header{Name: name, MTime: mtime, Mode: uint32(mode), Size: size}, nil
}

// checkName refuses what only other kinds of ar files hold: "/" and "//" are
// tables, "/123" and "#1/20" are references to long names.
func checkName(name string) error {
	if name == "" {
		return errors.New("name is empty")
	}
	if name[0] == '/' || name[0] == '#' {
		return fmt.Errorf("name %q: tables and long names have no place in a package", name)
	}
	for _, c := range []byte(name) {
		if c <= ' ' || c > '~' || c == '/' {
			return fmt.Errorf("name %q: has a character other than printable ASCII", name)
		}
	}
	return nil
}

func number(what string, field []byte, base int) (int64, error) {
	text := bytes.TrimRight(field, " ")
	if len(text) == 0 {
		return 0, nil
	}
	n, err := strconv.ParseUint(string(text), base, 63)
	if err != nil {
		return 0, fmt.Errorf("%s %q: not a number of base %d", what, text, base)
	}
	return int64(n), nil
}

func truncated(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
