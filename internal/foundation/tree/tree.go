// Package tree holds a file tree as a plain value: paths, modes, owners,
// extended attributes and where each file's content is to be read from.
//
// Vocabulary: an Entry is one inode under one path. A hard link is an entry
// of Kind HardLink that names, in Target, the path of the entry it shares the
// inode with. The root directory has the path ".".
//
// The package touches no file system and decides nothing about policy.
package tree

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"

	"ashlar/internal/foundation/digest"
)

// Kind is what an entry is.
type Kind uint8

// The kinds of entries.
const (
	File Kind = iota + 1
	Dir
	Symlink
	HardLink
	CharDevice
	BlockDevice
	Fifo
	Socket
)

var kindNames = [...]string{"", "file", "dir", "symlink", "hardlink", "chardev", "blockdev", "fifo", "socket"}

// String gives the kind's name, as listings show it.
func (k Kind) String() string {
	if int(k) < len(kindNames) && k != 0 {
		return kindNames[k]
	}
	return fmt.Sprintf("kind(%d)", uint8(k))
}

// Content gives a file's bytes. Open may be called many times, also at once
// from several goroutines; every reader gives exactly Entry.Size bytes.
type Content interface {
	Open() (io.ReadCloser, error)
}

// Xattr is one extended attribute; Name has its namespace ("security.capability").
type Xattr struct {
	Name  string
	Value []byte
}

// Entry is one path of a tree.
type Entry struct {
	Path   string // relative, slash-separated, clean; "." is the root
	Kind   Kind
	Mode   uint32 // permission bits with set-id and sticky bits: 07777
	UID    uint32
	GID    uint32
	MTime  int64         // seconds since 1970, UTC
	Size   int64         // File: bytes of content; else 0
	Digest digest.Digest // File: SHA-256 of content; zero when not yet known
	Source Content       // File: where the bytes are; nil only when Size is 0
	Target string        // Symlink: its text; HardLink: Path of the entry linked to
	Major  uint32        // devices
	Minor  uint32        // devices
	Xattrs []Xattr       // sorted by Name; belongs to the inode, so nil on a HardLink
}

// TypeBits is the kind as st_mode has it (inode(7)); a hard link is a file.
func (k Kind) TypeBits() uint32 {
	switch k {
	case Dir:
		return 0o040000
	case Symlink:
		return 0o120000
	case CharDevice:
		return 0o020000
	case BlockDevice:
		return 0o060000
	case Fifo:
		return 0o010000
	case Socket:
		return 0o140000
	}
	return 0o100000
}

// IsDir reports whether the entry is a directory.
func (e *Entry) IsDir() bool { return e.Kind == Dir }

// Open gives the content of a file.
func (e *Entry) Open() (io.ReadCloser, error) {
	if e.Kind != File {
		return nil, fmt.Errorf("open %s: is a %s, not a file", e.Path, e.Kind)
	}
	if e.Source == nil {
		return io.NopCloser(strings.NewReader("")), nil
	}
	return e.Source.Open()
}

// ReadAll gives the whole content of a file of at most limit bytes.
func (e *Entry) ReadAll(limit int64) ([]byte, error) {
	if e.Size > limit {
		return nil, fmt.Errorf("read %s: %d bytes, at most %d are expected", e.Path, e.Size, limit)
	}
	r, err := e.Open()
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err := errors.Join(err, r.Close()); err != nil {
		return nil, fmt.Errorf("read %s: %w", e.Path, err)
	}
	if int64(len(data)) != e.Size {
		return nil, fmt.Errorf("read %s: content has %d bytes, the entry says %d", e.Path, len(data), e.Size)
	}
	return data, nil
}

// Bytes is content held in memory.
type Bytes []byte

// Open implements Content.
func (b Bytes) Open() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b)), nil }

// HostFile is content in a file of the host, by path.
type HostFile string

// Open implements Content.
func (p HostFile) Open() (io.ReadCloser, error) { return os.Open(string(p)) }

// NewFile makes a file entry from bytes, owned by root, with the digest set.
func NewFile(name string, mode uint32, data []byte) Entry {
	return Entry{Path: name, Kind: File, Mode: mode, Size: int64(len(data)), Digest: digest.Of(data), Source: Bytes(data)}
}

// NewDir makes a directory entry owned by root.
func NewDir(name string, mode uint32) Entry { return Entry{Path: name, Kind: Dir, Mode: mode} }

// NewSymlink makes a symbolic link owned by root.
func NewSymlink(name, target string) Entry {
	return Entry{Path: name, Kind: Symlink, Mode: 0o777, Target: target}
}

// Tree is a set of entries by path. The zero value is an empty tree. It is
// not safe for concurrent writers.
type Tree struct {
	entries map[string]*Entry
	sorted  []string // nil when stale
}

// Clean turns a path as archives and people write it ("./usr/bin/", "/usr/bin")
// into the form of Entry.Path. Paths that leave the tree are refused.
func Clean(name string) (string, error) {
	if strings.ContainsRune(name, 0) {
		return "", fmt.Errorf("path %q: has a NUL byte", name)
	}
	trimmed := strings.TrimLeft(name, "/")
	if trimmed == "" {
		trimmed = "."
	}
	for _, part := range strings.Split(trimmed, "/") {
		if part == ".." {
			return "", fmt.Errorf("path %q: has a .. element", name)
		}
	}
	return path.Clean(trimmed), nil
}

// Put adds the entry or replaces the one at its path. It refuses a path that
// is not clean. Parents are not made: see AddParents.
func (t *Tree) Put(e Entry) error {
	if clean, err := Clean(e.Path); err != nil {
		return err
	} else if clean != e.Path {
		return fmt.Errorf("path %q: not clean, want %q", e.Path, clean)
	}
	if t.entries == nil {
		t.entries = make(map[string]*Entry)
	}
	if _, exists := t.entries[e.Path]; !exists {
		t.sorted = nil
	}
	t.entries[e.Path] = &e
	return nil
}

// Get returns the entry at a clean path, or nil. The entry may be changed in
// place, but for its Path.
func (t *Tree) Get(name string) *Entry { return t.entries[name] }

// Len is the number of entries.
func (t *Tree) Len() int { return len(t.entries) }

// Remove deletes the entry and all below it. When it takes the first name of
// an inode away while hard links to it stay, the first of those by path becomes
// the inode and the others point to it.
func (t *Tree) Remove(name string) {
	paths := t.Paths()
	from, to := below(paths, name)
	at, found := slices.BinarySearchFunc(paths[:from], name, comparePaths)
	kept, doomed := paths[:from], paths[from:to]
	if found {
		kept, doomed = slices.Concat(paths[:at], paths[at+1:from]), slices.Concat(paths[at:at+1], doomed)
	}
	if len(doomed) == 0 {
		return
	}
	gone := make(map[string]*Entry, len(doomed))
	inodes := false
	for _, p := range doomed {
		gone[p] = t.entries[p]
		inodes = inodes || gone[p].Kind != Dir && gone[p].Kind != HardLink
		delete(t.entries, p)
	}
	// Another slice: a Walk may be under way over this one.
	t.sorted = slices.Concat(kept, paths[to:])
	if inodes {
		t.promoteLinks(gone)
	}
}

// below gives the range of what lies below a path, all for the root: in byte
// order what begins with the path and a slash stands together.
func below(paths []string, name string) (from, to int) {
	if name == "." {
		return 0, len(paths)
	}
	from, _ = slices.BinarySearchFunc(paths, name+"/", comparePaths)
	to, _ = slices.BinarySearchFunc(paths, name+string(rune('/'+1)), comparePaths)
	return from, to
}

// promoteLinks makes files of hard links whose first name is gone.
func (t *Tree) promoteLinks(gone map[string]*Entry) {
	heirs := map[string]string{}
	for _, p := range t.sorted {
		e := t.entries[p]
		if e.Kind != HardLink {
			continue
		}
		owner := gone[e.Target]
		if owner == nil {
			continue
		}
		if heir, ok := heirs[e.Target]; ok {
			e.Target = heir
			continue
		}
		heirs[e.Target] = p
		promoted := *owner
		promoted.Path = p
		t.entries[p] = &promoted
	}
}

// Paths returns all paths in byte order; a directory stands before what it
// holds. The slice must not be changed.
func (t *Tree) Paths() []string {
	if t.sorted == nil {
		t.sorted = make([]string, 0, len(t.entries))
		for p := range t.entries {
			t.sorted = append(t.sorted, p)
		}
		slices.SortFunc(t.sorted, comparePaths)
	}
	return t.sorted
}

// comparePaths is byte order with the root first.
func comparePaths(a, b string) int {
	switch {
	case a == b:
		return 0
	case a == ".":
		return -1
	case b == ".":
		return 1
	}
	return strings.Compare(a, b)
}

// Walk calls visit for each entry in the order of Paths, until it fails.
// visit may change entries in place and remove the one it is given.
func (t *Tree) Walk(visit func(*Entry) error) error {
	for _, p := range t.Paths() {
		e := t.entries[p]
		if e == nil {
			continue
		}
		if err := visit(e); err != nil {
			return err
		}
	}
	return nil
}

// AddParents puts a root-owned directory of the mode and time at every missing
// parent of the path, the root included.
func (t *Tree) AddParents(name string, mode uint32, mtime int64) error {
	for dir := path.Dir(name); ; dir = path.Dir(dir) {
		if e := t.Get(dir); e == nil {
			d := NewDir(dir, mode)
			d.MTime = mtime
			if err := t.Put(d); err != nil {
				return err
			}
		} else if e.Kind != Dir {
			return fmt.Errorf("add %s: parent %s is a %s, not a directory", name, dir, e.Kind)
		}
		if dir == "." {
			return nil
		}
	}
}

// Resolve follows the symbolic links in the directory part of name as a
// process whose root is the tree would (usrmerge: "bin/sh" gives "usr/bin/sh");
// the last element is not followed. Elements that do not exist stay as written.
func (t *Tree) Resolve(name string) (string, error) {
	const maxLinks = 40
	parts := strings.Split(name, "/")
	done := "."
	for links := 0; len(parts) > 0; {
		part := parts[0]
		parts = parts[1:]
		switch part {
		case "", ".":
			continue
		case "..":
			done = path.Dir(done)
			continue
		}
		next := path.Join(done, part)
		e := t.Get(next)
		if e == nil || e.Kind != Symlink || len(parts) == 0 {
			done = next
			continue
		}
		if links++; links > maxLinks {
			return "", fmt.Errorf("resolve %s: more than %d symbolic links", name, maxLinks)
		}
		if strings.HasPrefix(e.Target, "/") {
			done = "."
		}
		parts = append(strings.Split(strings.Trim(e.Target, "/"), "/"), parts...)
	}
	return done, nil
}

// Lookup returns the entry at name with all symbolic links followed and hard
// links replaced by the inode's first entry, or nil.
func (t *Tree) Lookup(name string) *Entry {
	for range 40 {
		resolved, err := t.Resolve(name)
		if err != nil {
			return nil
		}
		e := t.Get(resolved)
		switch {
		case e == nil:
			return nil
		case e.Kind == HardLink:
			return t.Get(e.Target)
		case e.Kind != Symlink:
			return e
		case strings.HasPrefix(e.Target, "/"):
			name = strings.TrimLeft(e.Target, "/")
		default:
			name = path.Dir(resolved) + "/" + e.Target
		}
	}
	return nil
}

// Clone copies the tree; entries are copied, contents and attribute values shared.
func (t *Tree) Clone() *Tree {
	c := &Tree{entries: make(map[string]*Entry, len(t.entries))}
	for p, e := range t.entries {
		copied := *e
		c.entries[p] = &copied
	}
	return c
}
