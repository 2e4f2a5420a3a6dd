package cpio

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"

	"ashlar/internal/foundation/tree"
)

// Limits bound what Read takes into memory. A zero field means its default.
type Limits struct {
	Entries int   // members; default 1,000,000
	Bytes   int64 // names and bodies in all; default 1 GiB
}

func (l Limits) withDefaults() Limits {
	if l.Entries == 0 {
		l.Entries = 1_000_000
	}
	if l.Bytes == 0 {
		l.Bytes = 1 << 30
	}
	return l
}

// Read reads one archive up to its trailer; contents are held in memory. Of
// the names of one inode the first by path becomes the file, the others hard links
// to it. Parents that the archive does not name are not made.
func Read(r io.Reader, limit Limits) (*tree.Tree, error) {
	ar := &reader{r: bufio.NewReaderSize(r, 64<<10), limit: limit.withDefaults(), seen: map[string]bool{}, inodes: map[inodeKey]*inode{}}
	for {
		more, err := ar.next()
		if err != nil {
			return nil, fmt.Errorf("read cpio archive at byte %d: %w", ar.at, err)
		}
		if !more {
			break
		}
	}
	t, err := ar.tree()
	if err != nil {
		return nil, fmt.Errorf("read cpio archive: %w", err)
	}
	return t, nil
}

type inodeKey struct{ devMajor, devMinor, ino uint32 }

// inode collects the names of a file with more than one of them.
type inode struct {
	names []string
	kind  tree.Kind
	body  []byte // the last body that was not empty
}

type reader struct {
	r       *bufio.Reader
	at      int64
	limit   Limits
	taken   int64
	entries []tree.Entry
	seen    map[string]bool
	inodes  map[inodeKey]*inode
	linked  []*inode // in order of appearance
}

// next reads one member; false after the trailer.
func (ar *reader) next() (bool, error) {
	var raw [headerSize]byte
	if err := ar.full(raw[:]); err != nil {
		return false, err
	}
	h, err := parseHeader(raw[:])
	if err != nil {
		return false, err
	}
	rawName, err := ar.name(h)
	if err != nil || rawName == trailer {
		return false, err
	}
	name, err := tree.Clean(rawName)
	if err != nil {
		return false, err
	}
	if ar.seen[name] {
		return false, fmt.Errorf("member %s stands in the archive twice", name)
	}
	ar.seen[name] = true
	if len(ar.entries) >= ar.limit.Entries {
		return false, fmt.Errorf("more than %d members", ar.limit.Entries)
	}
	body, err := ar.bytes(int64(h.size))
	if err != nil {
		return false, err
	}
	e, err := entryOf(h, name, body)
	if err != nil {
		return false, fmt.Errorf("member %s: %w", name, err)
	}
	ar.entries = append(ar.entries, e)
	return true, ar.link(h, e, body)
}

// link notes a name of an inode that has several.
func (ar *reader) link(h header, e tree.Entry, body []byte) error {
	if h.nlink < 2 || e.Kind == tree.Dir {
		return nil
	}
	key := inodeKey{h.devMajor, h.devMinor, h.ino}
	in := ar.inodes[key]
	if in == nil {
		in = &inode{kind: e.Kind}
		ar.inodes[key] = in
		ar.linked = append(ar.linked, in)
	}
	if in.kind != e.Kind {
		return fmt.Errorf("member %s: shares its inode number with a %s", e.Path, in.kind)
	}
	in.names = append(in.names, e.Path)
	if len(body) > 0 {
		in.body = body
	}
	return nil
}

// tree puts the entries together and turns further names into hard links.
func (ar *reader) tree() (*tree.Tree, error) {
	t := &tree.Tree{}
	for _, e := range ar.entries {
		if err := t.Put(e); err != nil {
			return nil, err
		}
	}
	for _, in := range ar.linked {
		owner := in.names[0]
		for _, name := range in.names {
			owner = min(owner, name)
		}
		e := t.Get(owner)
		if e.Kind == tree.File {
			e.Size, e.Source = int64(len(in.body)), tree.Bytes(in.body)
		}
		for _, name := range in.names {
			if name != owner {
				if err := t.Put(tree.Entry{Path: name, Kind: tree.HardLink, Target: owner}); err != nil {
					return nil, err
				}
			}
		}
	}
	return t, nil
}

func entryOf(h header, name string, body []byte) (tree.Entry, error) {
	e := tree.Entry{Path: name, Mode: h.mode & modePerm, UID: h.uid, GID: h.gid, MTime: int64(h.mtime)}
	if h.mode&^(modeType|modePerm) != 0 {
		return e, fmt.Errorf("mode %#o is not one of inode(7)", h.mode)
	}
	switch h.mode & modeType {
	case modeFile:
		e.Kind, e.Size, e.Source = tree.File, int64(len(body)), tree.Bytes(body)
		return e, nil
	case modeSymlink:
		if len(body) == 0 || len(body) >= maxTarget {
			return e, fmt.Errorf("symbolic link of %d bytes, want 1 to %d", len(body), maxTarget-1)
		}
		e.Kind, e.Target = tree.Symlink, string(body)
		return e, nil
	case modeDir:
		e.Kind = tree.Dir
	case modeChar:
		e.Kind, e.Major, e.Minor = tree.CharDevice, h.major, h.minor
	case modeBlock:
		e.Kind, e.Major, e.Minor = tree.BlockDevice, h.major, h.minor
	case modeFifo:
		e.Kind = tree.Fifo
	case modeSocket:
		e.Kind = tree.Socket
	default:
		return e, fmt.Errorf("mode %#o has no known file type", h.mode)
	}
	if len(body) > 0 {
		return e, fmt.Errorf("a %s has a body of %d bytes", e.Kind, len(body))
	}
	return e, nil
}

// name reads the member's name and the padding after it.
func (ar *reader) name(h header) (string, error) {
	if h.nameSize < 2 || h.nameSize > maxName {
		return "", fmt.Errorf("name of %d bytes, want 2 to %d", h.nameSize, maxName)
	}
	ar.taken += int64(h.nameSize)
	raw := make([]byte, int64(h.nameSize)+pad4(headerSize+int64(h.nameSize)))
	if err := ar.full(raw); err != nil {
		return "", err
	}
	if raw[h.nameSize-1] != 0 {
		return "", errors.New("name does not end with NUL")
	}
	return strings.TrimRight(string(raw[:h.nameSize-1]), "\x00"), nil // more of them align the body
}

// bytes reads a body and its padding. Memory grows with what is really there,
// not with what the header claims.
func (ar *reader) bytes(n int64) ([]byte, error) {
	if ar.taken += n; ar.taken > ar.limit.Bytes {
		return nil, fmt.Errorf("more than %d bytes in all", ar.limit.Bytes)
	}
	body, err := io.ReadAll(io.LimitReader(ar.r, n))
	ar.at += int64(len(body))
	if err != nil {
		return nil, err
	}
	if int64(len(body)) < n {
		return nil, io.ErrUnexpectedEOF
	}
	var padding [3]byte
	return body, ar.full(padding[:pad4(n)])
}

func (ar *reader) full(p []byte) error {
	n, err := io.ReadFull(ar.r, p)
	ar.at += int64(n)
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
