package ext4

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"ashlar/internal/foundation/tree"
)

// Bounds of what the reader takes from a file system it does not trust.
const (
	maxEntries  = 1_000_000
	maxDirBytes = 64 << 20
	maxAllDirs  = 512 << 20 // bytes of all directories together
	maxDepth    = 256
	maxFileSize = 1 << 44 // 16 TiB
)

// Tree lists the file system. Contents are read when they are opened, so r must
// stay open. Digests are not reckoned.
func (fs *FS) Tree() (*tree.Tree, error) {
	l := lister{fs: fs, t: &tree.Tree{}, first: map[uint32]string{}}
	root, err := fs.inode(inodeRoot)
	if err == nil && root.mode&modeMask != modeDir {
		err = errors.New("the root is not a directory")
	}
	if err == nil {
		err = l.add(".", root, 0)
	}
	if err != nil {
		return nil, fmt.Errorf("list ext4 file system: %w", err)
	}
	return l.t, nil
}

type lister struct {
	fs    *FS
	t     *tree.Tree
	first map[uint32]string // path of an inode that was met
	bytes int64             // of directories read
}

// add puts the inode into the tree, and what is below it.
func (l *lister) add(full string, n *node, depth int) error {
	if l.t.Len() >= maxEntries || depth > maxDepth {
		return fmt.Errorf("more than %d entries or deeper than %d", maxEntries, maxDepth)
	}
	if known, ok := l.first[n.number]; ok {
		if n.mode&modeMask == modeDir {
			return fmt.Errorf("%s: is the same directory as %s", full, known)
		}
		e := tree.Entry{Path: full, Kind: tree.HardLink, Target: known}
		return l.t.Put(e)
	}
	l.first[n.number] = full
	e, err := l.fs.entry(full, n)
	if err != nil {
		return fmt.Errorf("%s: %w", full, err)
	}
	if err := l.t.Put(*e); err != nil {
		return err
	}
	if e.Kind != tree.Dir {
		return nil
	}
	return l.list(full, n, depth)
}

func (l *lister) list(dir string, n *node, depth int) error {
	children, err := l.children(n)
	if err != nil {
		return fmt.Errorf("%s: %w", dir, err)
	}
	for _, c := range children {
		full := path.Join(dir, c.name)
		if l.t.Get(full) != nil {
			return fmt.Errorf("%s: the name is there twice", full)
		}
		below, err := l.fs.inode(c.number)
		if err != nil {
			return fmt.Errorf("%s: %w", full, err)
		}
		if err := l.add(full, below, depth+1); err != nil {
			return err
		}
	}
	return nil
}

type name struct {
	name   string
	number uint32
}

// children reads a directory, also a hashed one: its index blocks look like
// blocks with an unused entry. Sorted, so that the same inode of several names
// gets the same first name whatever the order on disk.
func (l *lister) children(n *node) ([]name, error) {
	if n.size > maxDirBytes || l.bytes+int64(n.size) > maxAllDirs {
		return nil, fmt.Errorf("directory of %d bytes is too long", n.size)
	}
	l.bytes += int64(n.size)
	r, err := (&content{l.fs, n}).Open()
	if err != nil {
		return nil, err
	}
	var out []name
	block := make([]byte, l.fs.BlockSize)
	for range n.size / uint64(l.fs.BlockSize) {
		if _, err := io.ReadFull(r, block); err != nil {
			return nil, err
		}
		if out, err = names(out, block); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(out, func(a, b name) int { return cmp.Compare(a.name, b.name) })
	return out, nil
}

func names(out []name, block []byte) ([]name, error) {
	le := binary.LittleEndian
	for len(block) > 0 {
		if len(block) < direntHead {
			return nil, errors.New("directory entry crosses its block")
		}
		number, size, length := le.Uint32(block), int(le.Uint16(block[4:])), int(block[6])
		if size == 0xffff || size == 0 && len(block) == 1<<16 {
			size = 1 << 16 // blocks of 64 KiB
		}
		if size < direntHead || size%4 != 0 || size > len(block) || direntHead+length > size {
			return nil, fmt.Errorf("directory entry of %d bytes is damaged", size)
		}
		text := string(block[direntHead : direntHead+length])
		block = block[size:]
		if number == 0 || text == "." || text == ".." {
			continue
		}
		if text == "" || strings.ContainsAny(text, "/\x00") {
			return nil, fmt.Errorf("name %q is not usable", text)
		}
		out = append(out, name{text, number})
	}
	return out, nil
}

// entry describes an inode.
func (fs *FS) entry(full string, n *node) (*tree.Entry, error) {
	e := &tree.Entry{Path: full, Mode: uint32(n.mode & 0o7777), UID: n.uid, GID: n.gid, MTime: n.mtime}
	le := binary.LittleEndian
	switch n.mode & modeMask {
	case modeDir:
		e.Kind = tree.Dir
	case modeFile:
		if n.size > maxFileSize {
			return nil, fmt.Errorf("file of %d bytes", n.size)
		}
		e.Kind, e.Size, e.Source = tree.File, int64(n.size), &content{fs, n}
	case modeSymlink:
		e.Kind = tree.Symlink
		text, err := fs.linkText(n)
		if err != nil {
			return nil, err
		}
		e.Target = text
	case modeChar, modeBlock:
		e.Kind = tree.CharDevice
		if n.mode&modeMask == modeBlock {
			e.Kind = tree.BlockDevice
		}
		if old := le.Uint32(n.area); old != 0 {
			e.Major, e.Minor = old>>8&0xff, old&0xff
		} else {
			number := le.Uint32(n.area[4:])
			e.Major, e.Minor = number>>8&0xfff, number&0xff|number>>12&^0xff
		}
	case modeFifo:
		e.Kind = tree.Fifo
	case modeSocket:
		e.Kind = tree.Socket
	default:
		return nil, fmt.Errorf("mode %#o is of no known kind", n.mode)
	}
	var err error
	e.Xattrs, err = fs.xattrs(n)
	return e, err
}

func (fs *FS) linkText(n *node) (string, error) {
	if n.size == 0 || n.size >= uint64(fs.BlockSize) {
		return "", fmt.Errorf("link text of %d bytes", n.size)
	}
	if n.flags&flagExtents == 0 && n.size < blockAreaSize {
		return string(n.area[:n.size]), nil
	}
	r, err := (&content{fs, n}).Open()
	if err != nil {
		return "", err
	}
	text, err := io.ReadAll(r)
	return string(text), err
}

// xattrs reads attributes from the inode and from its block.
func (fs *FS) xattrs(n *node) ([]tree.Xattr, error) {
	var out []tree.Xattr
	var err error
	if len(n.inInode) >= 4 && binary.LittleEndian.Uint32(n.inInode) == xattrMagic {
		if out, err = unpackXattrs(out, n.inInode[4:], n.inInode[4:]); err != nil {
			return nil, err
		}
	}
	if n.xattrBlock != 0 {
		b, err := fs.block(n.xattrBlock)
		if err != nil {
			return nil, err
		}
		if binary.LittleEndian.Uint32(b) != xattrMagic {
			return nil, errors.New("block of attributes is damaged")
		}
		if out, err = unpackXattrs(out, b[xattrHeader:], b); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(out, func(a, b tree.Xattr) int { return cmp.Compare(a.Name, b.Name) })
	return out, nil
}

// unpackXattrs reads entries from b; values are at offsets into values.
// Attributes of namespaces that have no name here (access lists) are left out.
func unpackXattrs(out []tree.Xattr, b, values []byte) ([]tree.Xattr, error) {
	le := binary.LittleEndian
	damaged := errors.New("extended attributes are damaged")
	for len(b) >= 4 && le.Uint32(b) != 0 {
		if len(b) < xattrEntry || len(b) < pad4(xattrEntry+int(b[0])) {
			return nil, damaged
		}
		length, index := int(b[0]), b[1]
		offset, elsewhere, size := uint64(le.Uint16(b[2:])), le.Uint32(b[4:]), uint64(le.Uint32(b[8:]))
		text := string(b[xattrEntry : xattrEntry+length])
		b = b[pad4(xattrEntry+length):]
		if elsewhere != 0 || offset+size > uint64(len(values)) {
			return nil, damaged
		}
		for _, p := range xattrPrefixes() {
			if p.index == index {
				value := values[offset : offset+size : offset+size]
				out = append(out, tree.Xattr{Name: p.text + text, Value: value})
			}
		}
	}
	return out, nil
}
