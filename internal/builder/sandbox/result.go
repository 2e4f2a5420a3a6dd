package sandbox

import (
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"ashlar/internal/foundation/digest"
	"ashlar/internal/foundation/tree"
)

// Put stores content and says how it is found again.
type Put func(io.Reader) (digest.Digest, int64, tree.Content, error)

// Result gives the lower tree with the changes of the upper layer. New content
// goes through put; a file whose content is still the lower's keeps its digest
// and source. Modification times are those of the file system; the caller
// clamps them. A new file in a set-gid directory has the directory's group, as
// the kernel would have given it, unless a program set its owner.
func (s *Sandbox) Result(put Put) (*tree.Tree, error) {
	s.runMu.Lock() // not while a command runs
	defer s.runMu.Unlock()
	r, _, err := s.call(request{Op: "scan"})
	if err != nil {
		return nil, fmt.Errorf("read sandbox's changes: %w", err)
	}
	m := newMerge(s.lower, r.Entries)
	if err := m.keepLower(); err != nil {
		return nil, fmt.Errorf("read sandbox's changes: %w", err)
	}
	for i := range m.items {
		if err := m.addUpper(&m.items[i], s, put); err != nil {
			return nil, fmt.Errorf("read sandbox's changes: %s: %w", m.items[i].Path, err)
		}
	}
	return m.out, nil
}

// merge puts two layers together.
type merge struct {
	lower *tree.Tree
	items []upperItem // sorted by path
	gone  map[string]bool
	// hides are upper items that hide all below them in the lower tree.
	hides  map[string]bool
	inodes map[uint64]string // of hard links in the upper layer, their first path
	out    *tree.Tree
}

func newMerge(lower *tree.Tree, items []upperItem) *merge {
	m := &merge{lower: lower, items: items, gone: map[string]bool{}, hides: map[string]bool{}, inodes: map[uint64]string{}, out: &tree.Tree{}}
	slices.SortFunc(m.items, func(a, b upperItem) int {
		// The root stands before all, whatever its name's byte.
		if a.Path == "." || b.Path == "." {
			return btoi(b.Path == ".") - btoi(a.Path == ".")
		}
		return strings.Compare(a.Path, b.Path)
	})
	for _, it := range items {
		below := lower.Get(it.Path)
		if below != nil {
			m.gone[it.Path] = true
		}
		merges := it.isDir() && !it.Opaque && !it.Whiteout && (it.Path == "." || below != nil && below.Kind == tree.Dir)
		if !merges {
			m.hides[it.Path] = true
		}
	}
	return m
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

func (it *upperItem) isDir() bool { return it.Mode&unix.S_IFMT == unix.S_IFDIR }

// survives reports whether a lower path is seen in the merged root unchanged.
func (m *merge) survives(name string) bool {
	if m.gone[name] {
		return false
	}
	for p := name; p != "."; p = path.Dir(p) {
		if m.hides[p] {
			return false
		}
	}
	return !m.hides["."]
}

// keepLower takes over the lower entries that nothing replaced. Where a hard
// link's first name is gone, the next one becomes the file.
func (m *merge) keepLower() error {
	heirs := map[string]string{}
	return m.lower.Walk(func(e *tree.Entry) error {
		if !m.survives(e.Path) {
			return nil
		}
		kept := *e
		if e.Kind == tree.HardLink && !m.survives(e.Target) {
			heir, ok := heirs[e.Target]
			if !ok {
				first := m.lower.Get(e.Target)
				if first == nil {
					return fmt.Errorf("%s is a hard link to %s, which the tree lacks", e.Path, e.Target)
				}
				kept = *first
				kept.Path = e.Path
				heirs[e.Target] = e.Path
			} else {
				kept.Target = heir
			}
		}
		return m.out.Put(kept)
	})
}

// inode gives the lower entry that the path's content would come from.
func (m *merge) inode(name string) *tree.Entry {
	e := m.lower.Get(name)
	if e != nil && e.Kind == tree.HardLink {
		e = m.lower.Get(e.Target)
	}
	return e
}

var kinds = map[uint32]tree.Kind{
	unix.S_IFREG: tree.File, unix.S_IFDIR: tree.Dir, unix.S_IFLNK: tree.Symlink, unix.S_IFIFO: tree.Fifo, unix.S_IFSOCK: tree.Socket,
}

func (m *merge) addUpper(it *upperItem, s *Sandbox, put Put) error {
	if it.Whiteout {
		return nil
	}
	if first, ok := m.inodes[it.Ino]; ok && !it.isDir() {
		return m.out.Put(tree.Entry{Path: it.Path, Kind: tree.HardLink, Target: first})
	}
	if it.Links > 1 && !it.isDir() {
		m.inodes[it.Ino] = it.Path
	}
	kind, ok := kinds[it.Mode&unix.S_IFMT]
	if !ok {
		return fmt.Errorf("type of file %#o", it.Mode)
	}
	e := tree.Entry{Path: it.Path, Kind: kind, Mode: it.Mode & 0o7777, MTime: it.MTime, Target: it.Target, Xattrs: it.Xattrs}
	m.setOwner(&e, it)
	m.keepXattrs(&e)
	if d := it.Device; d != nil && kind == tree.File && it.Size == 0 {
		e.Kind, e.Major, e.Minor = tree.CharDevice, d.Major, d.Minor
		if d.Block {
			e.Kind = tree.BlockDevice
		}
	}
	if e.Kind == tree.File {
		if err := m.setContent(&e, it, s, put); err != nil {
			return err
		}
	}
	return m.out.Put(e)
}

// setOwner gives the recorded owner, or the group that a new file inherits.
// Parents come before what they hold, so theirs is known.
func (m *merge) setOwner(e *tree.Entry, it *upperItem) {
	if it.Owner != nil {
		e.UID, e.GID = it.Owner.UID, it.Owner.GID
		return
	}
	parent := m.out.Get(path.Dir(e.Path))
	if m.inode(e.Path) == nil && parent != nil && parent.Mode&unix.S_ISGID != 0 {
		e.GID = parent.GID
	}
}

// keepXattrs takes over the lower file's attributes that never were on disk.
func (m *merge) keepXattrs(e *tree.Entry) {
	below := m.inode(e.Path)
	if below == nil || below.Kind != e.Kind {
		return
	}
	for _, x := range below.Xattrs {
		has := func(have tree.Xattr) bool { return have.Name == x.Name }
		if !settable(x.Name) && !slices.ContainsFunc(e.Xattrs, has) {
			e.Xattrs = append(slices.Clone(e.Xattrs), x)
		}
	}
	slices.SortFunc(e.Xattrs, func(a, b tree.Xattr) int { return strings.Compare(a.Name, b.Name) })
}

// setContent takes the lower's content where it is the same, else stores it.
func (m *merge) setContent(e *tree.Entry, it *upperItem, s *Sandbox, put Put) error {
	e.Size = it.Size
	below := m.inode(e.Path)
	if below != nil && below.Kind == tree.File && below.Size == it.Size && !below.Digest.IsZero() {
		sum, _, _, err := s.readUpper(it.Path, func(r io.Reader) (digest.Digest, int64, tree.Content, error) {
			sum, n, err := digest.Reader(r)
			return sum, n, nil, err
		})
		if err != nil {
			return err
		}
		if sum == below.Digest {
			e.Digest, e.Source = below.Digest, below.Source
			return nil
		}
	}
	var err error
	e.Digest, e.Size, e.Source, err = s.readUpper(it.Path, put)
	if err == nil && e.Size != it.Size {
		err = fmt.Errorf("has %d bytes, was said to have %d", e.Size, it.Size)
	}
	return err
}

// readUpper hands a file of the upper layer to put.
func (s *Sandbox) readUpper(name string, put Put) (digest.Digest, int64, tree.Content, error) {
	f, err := s.open("upper", name)
	if err != nil {
		return digest.Digest{}, 0, nil, err
	}
	sum, n, content, err := put(f)
	return sum, n, content, errors.Join(err, f.Close())
}
