// Package initramfslist reads the file lists that the kernel's usr/gen_init_cpio
// makes initramfs archives from, and puts what they name into a tree. One
// line is one entry; modes are octal, owners and device numbers decimal:
//
//	# a comment, in the first column
//	dir NAME MODE UID GID
//	file NAME LOCATION MODE UID GID [HARD-LINK-NAMES…]
//	slink NAME TARGET MODE UID GID
//	nod NAME MODE UID GID b|c MAJOR MINOR
//	pipe NAME MODE UID GID
//	sock NAME MODE UID GID
//
// Words end at blanks: no name holds one. ${VARIABLE} in a LOCATION is
// replaced. The format is that of usr/gen_init_cpio.c in Linux 6.12; where that
// program passes over a mistake, Read names its line: an unknown type, words
// too many, an unset variable, a path that leaves the archive, a name that is
// taken (a directory may be named again).
//
// The package opens no file: Options.Locate does.
package initramfslist

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"ashlar/internal/foundation/tree"
)

const (
	maxPath    = 4096           // PATH_MAX
	maxLine    = 2*maxPath + 50 // the longest line that gen_init_cpio reads
	maxEntries = 1 << 20
)

// Options of Read.
type Options struct {
	// Locate gives the content of a LOCATION: an entry of which size, digest
	// and source count.
	Locate func(location string) (tree.Entry, error)
	// Variable gives the value of ${NAME}; nil: none is set.
	Variable func(name string) (string, bool)
	// MTime is the time of every entry, in seconds since 1970.
	MTime int64
}

// Item is what a line names; further names of a file are items of their own.
type Item struct {
	Line  int // from 1
	Entry tree.Entry
}

// Read reads a list. The error holds every line that is wrong, up to twenty.
func Read(r io.Reader, opt Options) ([]Item, error) {
	const most = 20
	rd := &reader{opt: opt, taken: map[string]tree.Kind{}, lineOf: map[string]int{}}
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, maxLine), maxLine)
	var wrong []error
	for n := 1; lines.Scan() && len(wrong) < most; n++ {
		if err := rd.line(n, lines.Bytes()); err != nil {
			wrong = append(wrong, fmt.Errorf("line %d: %w", n, err))
		}
		if len(rd.items) > maxEntries {
			return nil, fmt.Errorf("read file list: line %d: more than %d entries", n, maxEntries)
		}
		rd.lines = n
	}
	if err := lines.Err(); errors.Is(err, bufio.ErrTooLong) {
		wrong = append(wrong, fmt.Errorf("line %d: longer than %d bytes", rd.lines+1, maxLine))
	} else if err != nil {
		wrong = append(wrong, err)
	}
	if err := errors.Join(wrong...); err != nil {
		return nil, fmt.Errorf("read file list: %w", err)
	}
	return rd.items, nil
}

// Apply puts items into a tree in their order, as the kernel unpacks them:
// through the symbolic links that are there, in the place of what is there.
// Parents that nobody names are made.
func Apply(t *tree.Tree, items []Item) error {
	moved := map[string]string{} // names as the list has them → paths in the tree
	for _, item := range items {
		if err := apply(t, item.Entry, moved); err != nil {
			return fmt.Errorf("file list, line %d: %w", item.Line, err)
		}
	}
	return nil
}

func apply(t *tree.Tree, e tree.Entry, moved map[string]string) error {
	name := e.Path
	var err error
	if e.Path, err = t.Resolve(name); err != nil {
		return err
	}
	moved[name] = e.Path
	if e.Kind == tree.HardLink {
		e.Target = moved[e.Target]
		if file := t.Get(e.Target); file == nil || file.Kind != tree.File || e.Path == e.Target {
			return fmt.Errorf("%s is to be another name of %s, which is no other file", name, e.Target)
		}
	}
	switch old := t.Get(e.Path); {
	case old == nil:
	case old.IsDir() && e.IsDir():
		old.Mode, old.UID, old.GID, old.MTime = e.Mode, e.UID, e.GID, e.MTime
		return nil
	case old.IsDir() || e.IsDir():
		return fmt.Errorf("%s is a %s and was a %s", e.Path, e.Kind, old.Kind)
	default:
		t.Remove(e.Path)
	}
	if err := t.AddParents(e.Path, 0o755, e.MTime); err != nil {
		return err
	}
	return t.Put(e)
}

type reader struct {
	opt    Options
	items  []Item
	lines  int
	taken  map[string]tree.Kind
	lineOf map[string]int
}

// kinds is the table of a line's types: how many words follow the type at
// least and at most, and what reads them.
var kinds = map[string]struct {
	least, most int
	form        string
	read        func(*reader, []string) ([]tree.Entry, error)
}{
	"dir":   {4, 4, "dir NAME MODE UID GID", plain(tree.Dir)},
	"pipe":  {4, 4, "pipe NAME MODE UID GID", plain(tree.Fifo)},
	"sock":  {4, 4, "sock NAME MODE UID GID", plain(tree.Socket)},
	"slink": {5, 5, "slink NAME TARGET MODE UID GID", (*reader).link},
	"nod":   {7, 7, "nod NAME MODE UID GID b|c MAJOR MINOR", (*reader).device},
	"file":  {5, maxLine, "file NAME LOCATION MODE UID GID [NAMES]", (*reader).file},
}

func (rd *reader) line(n int, text []byte) error {
	if bytes.HasPrefix(text, []byte("#")) {
		return nil
	}
	if bytes.IndexByte(text, 0) >= 0 {
		return errors.New("has a NUL byte")
	}
	words := strings.FieldsFunc(string(text), isBlank)
	if len(words) == 0 {
		return nil
	}
	kind, ok := kinds[words[0]]
	if !ok {
		return fmt.Errorf("%q is none of dir, file, nod, pipe, slink, sock", clip(words[0]))
	}
	if args := len(words) - 1; args < kind.least || args > kind.most {
		return fmt.Errorf("%d words after %s: want %s", args, words[0], kind.form)
	}
	entries, err := kind.read(rd, words[1:])
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := rd.take(n, e); err != nil {
			return err
		}
	}
	return nil
}

// isBlank is C's isspace: other blanks of Unicode are part of a name.
func isBlank(r rune) bool { return strings.ContainsRune(" \t\n\v\f\r", r) }

// take notes an entry whose name must be free.
func (rd *reader) take(n int, e tree.Entry) error {
	kind, taken := rd.taken[e.Path]
	if taken && (kind != tree.Dir || e.Kind != tree.Dir) {
		return fmt.Errorf("%s is named already, in line %d", e.Path, rd.lineOf[e.Path])
	}
	if e.Path == "." && e.Kind != tree.Dir {
		return fmt.Errorf("the root is a directory, not a %s", e.Kind)
	}
	rd.taken[e.Path], rd.lineOf[e.Path] = e.Kind, n
	e.MTime = rd.opt.MTime
	rd.items = append(rd.items, Item{Line: n, Entry: e})
	return nil
}

// clip keeps a word short in a message.
func clip(word string) string {
	const most = 40
	if len(word) > most {
		return word[:most] + "…"
	}
	return word
}
