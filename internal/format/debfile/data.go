package debfile

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"unicode/utf8"

	"ashlar/internal/foundation/tree"
)

// data reads the entries of data.tar.
func (p *reader) data(t *tar.Reader) error {
	seen := seenPaths{}
	for {
		h, err := t.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if len(seen) == p.limits.Entries {
			return fmt.Errorf("more than %d entries", p.limits.Entries)
		}
		if err := p.entry(h, t, seen); err != nil {
			return fmt.Errorf("entry %q: %w", h.Name, err)
		}
	}
}

func (p *reader) entry(h *tar.Header, content io.Reader, seen seenPaths) error {
	e, err := newEntry(h)
	if err != nil {
		return err
	}
	if e.Kind == tree.HardLink {
		if e.Target, err = seen.file(h.Linkname); err != nil {
			return err
		}
	}
	if err := seen.add(e.Path, e.Kind, e.Target); err != nil {
		return err
	}
	if e.Kind != tree.File {
		content = strings.NewReader("")
	}
	return p.visit.Entry(e, content)
}

var kinds = map[byte]tree.Kind{
	tar.TypeReg: tree.File, tar.TypeDir: tree.Dir, tar.TypeSymlink: tree.Symlink, tar.TypeLink: tree.HardLink,
	tar.TypeChar: tree.CharDevice, tar.TypeBlock: tree.BlockDevice, tar.TypeFifo: tree.Fifo,
}

// newEntry turns a tar header into an entry, but for the target of a hard link.
func newEntry(h *tar.Header) (Entry, error) {
	kind, ok := kinds[h.Typeflag]
	if !ok {
		return Entry{}, fmt.Errorf("tar type %q has no place in a package", h.Typeflag)
	}
	path, err := cleanName(h.Name)
	if err != nil {
		return Entry{}, err
	}
	if path == "." && kind != tree.Dir {
		return Entry{}, errors.New("the root must be a directory")
	}
	for _, n := range []int64{int64(h.Uid), int64(h.Gid), h.Devmajor, h.Devminor} {
		if n < 0 || n > math.MaxUint32 {
			return Entry{}, fmt.Errorf("number %d is out of range", n)
		}
	}
	e := Entry{User: h.Uname, Group: h.Gname, Entry: tree.Entry{
		Path: path, Kind: kind, Mode: uint32(h.Mode) & 0o7777, UID: uint32(h.Uid), GID: uint32(h.Gid), MTime: h.ModTime.Unix(),
	}}
	switch kind {
	case tree.File:
		e.Size = h.Size
	case tree.Symlink:
		if h.Linkname == "" || strings.ContainsRune(h.Linkname, 0) || !utf8.ValidString(h.Linkname) {
			return Entry{}, fmt.Errorf("symbolic link to %q", h.Linkname)
		}
		e.Target, e.Mode = h.Linkname, 0o777
	case tree.CharDevice, tree.BlockDevice:
		e.Major, e.Minor = uint32(h.Devmajor), uint32(h.Devminor)
	}
	return e, nil
}

// maxName bounds paths, in bytes, as the kernel does.
const maxName = 4096

// cleanName takes names as dpkg-deb writes them, "./usr/bin/", and refuses
// those that only a forged package has.
func cleanName(name string) (string, error) {
	switch {
	case name == "":
		return "", errors.New("name is empty")
	case len(name) > maxName:
		return "", fmt.Errorf("name has %d bytes, more than %d", len(name), maxName)
	case name[0] == '/':
		return "", errors.New("name is absolute")
	case !utf8.ValidString(name):
		return "", errors.New("name is not UTF-8, as Debian Policy 10.10 wants it")
	}
	return tree.Clean(name)
}

// seenPaths tells of each path so far what it is and, for a hard link, the
// file that it leads to.
type seenPaths map[string]struct {
	kind tree.Kind
	file string
}

func (s seenPaths) add(path string, kind tree.Kind, target string) error {
	if old, twice := s[path]; twice && (old.kind != tree.Dir || kind != tree.Dir) {
		return errors.New("stands twice")
	}
	v := s[path]
	v.kind = kind
	switch kind {
	case tree.File:
		v.file = path
	case tree.HardLink:
		v.file = target
	}
	s[path] = v
	return nil
}

// file gives the regular file that a hard link leads to.
func (s seenPaths) file(name string) (string, error) {
	path, err := cleanName(name)
	if err != nil {
		return "", fmt.Errorf("hard link to %q: %w", name, err)
	}
	if s[path].file == "" {
		return "", fmt.Errorf("hard link to %q: no such file before it", name)
	}
	return s[path].file, nil
}
