package erofs

import (
	"errors"
	"fmt"
	"math"
	"path"

	"ashlar/internal/foundation/tree"
)

// node is an inode on its way into the image.
type node struct {
	entry    *tree.Entry
	number   uint32 // from 1, in the order of metadata
	links    uint32 // names; for a directory 2 and its subdirectories
	mtime    int64
	parent   *node // of a directory; the root is its own
	children []child
	content  *content // of a file that is not empty
	xattrs   xattrSet
	listing  *listing // of a directory
	at       int64    // in the metadata area
}

type child struct {
	name string
	node *node
}

// content is the data of one or more files with equal bytes.
type content struct {
	entry   *tree.Entry // the first file by path, which is read
	layout  int
	start   uint32   // address of the first block
	blocks  uint32   // stored
	extents []extent // of a compressed content
	chunks  []uint32 // addresses, of a chunked content
	bits    int      // of its chunks: 2^bits bytes
	tail    []byte   // stands behind the inode
	whole   int64    // bytes that are stored by themselves

	isFragment bool       // the rest is in the packed file
	fragment   int64      // where
	fragments  *fragments // of the packed file
}

// plan is all that is known before a byte is read: the inodes in the order
// of metadata, the contents in the order they are read.
type plan struct {
	root     *node
	inodes   []*node
	contents []*content
	shared   []xattr // stored once
	packed   *node   // the file of fragments, if there is one
	named    int     // inodes but for it
	stats    Stats
}

// inodesOf makes the nodes of a tree and links children to parents.
func inodesOf(t *tree.Tree, opt Options) (*plan, error) {
	nodes := make(map[string]*node, t.Len())
	p := &plan{}
	if err := t.Walk(func(e *tree.Entry) error { return addNode(nodes, e, opt) }); err != nil {
		return nil, err
	}
	if p.root = nodes["."]; p.root == nil {
		return nil, errors.New("the tree has no root directory")
	}
	p.root.parent = p.root
	err := t.Walk(func(e *tree.Entry) error {
		if e.Path == "." {
			return nil
		}
		return adopt(nodes, e)
	})
	if err != nil {
		return nil, err
	}
	p.number(p.root)
	if uint64(len(p.inodes)) > math.MaxUint32 {
		return nil, fmt.Errorf("%d inodes are more than the format counts", len(p.inodes))
	}
	p.shareXattrs()
	return p, nil
}

func addNode(nodes map[string]*node, e *tree.Entry, opt Options) error {
	if e.Kind == tree.HardLink {
		return nil
	}
	if err := checkEntry(e); err != nil {
		return fmt.Errorf("%s: %w", e.Path, err)
	}
	n := &node{entry: e, links: 1, mtime: e.MTime}
	if e.Kind == tree.Dir {
		n.links = 2
	}
	if opt.Epoch != 0 {
		n.mtime = min(n.mtime, opt.Epoch)
	}
	if n.mtime < 0 {
		return fmt.Errorf("%s: time %d is before 1970", e.Path, n.mtime)
	}
	nodes[e.Path] = n
	return nil
}

// checkEntry refuses what the format or the kernel cannot hold.
func checkEntry(e *tree.Entry) error {
	if len(path.Base(e.Path)) > maxName {
		return fmt.Errorf("name of %d bytes, at most %d", len(path.Base(e.Path)), maxName)
	}
	if e.Mode&^0o7777 != 0 {
		return fmt.Errorf("mode %#o has bits beyond 07777", e.Mode)
	}
	switch e.Kind {
	case tree.File:
		if e.Size < 0 || e.Size > 0 && e.Source == nil {
			return fmt.Errorf("a file of %d bytes without content", e.Size)
		}
		if blocksOf(e.Size) > maxBlocks {
			return fmt.Errorf("a file of %d bytes is more than the format holds", e.Size)
		}
	case tree.Symlink:
		if len(e.Target) == 0 || len(e.Target) > maxTarget {
			return fmt.Errorf("symbolic link of %d bytes, want 1 to %d", len(e.Target), maxTarget)
		}
	case tree.CharDevice, tree.BlockDevice:
		if e.Major >= 1<<12 || e.Minor >= 1<<20 {
			return fmt.Errorf("device %d,%d is beyond 4095,1048575", e.Major, e.Minor)
		}
	}
	if typeOfKind(e.Kind) == 0 {
		return fmt.Errorf("cannot write a %s", e.Kind)
	}
	if e.Path == "." && e.Kind != tree.Dir {
		return fmt.Errorf("the root is a %s, not a directory", e.Kind)
	}
	return checkXattrs(e.Xattrs)
}

// adopt puts an entry into its parent's children. Siblings come in byte order.
func adopt(nodes map[string]*node, e *tree.Entry) error {
	dir := nodes[path.Dir(e.Path)]
	if dir == nil || dir.entry.Kind != tree.Dir {
		return fmt.Errorf("%s: parent directory is missing", e.Path)
	}
	n := nodes[e.Path]
	if e.Kind == tree.HardLink {
		n = nodes[e.Target]
		if n == nil || n.entry.Kind == tree.Dir {
			return fmt.Errorf("%s: hard link to %s, which is no file of the tree", e.Path, e.Target)
		}
		n.links++
	}
	if n.entry.Kind == tree.Dir {
		n.parent = dir
		dir.links++
	}
	dir.children = append(dir.children, child{path.Base(e.Path), n})
	return nil
}

// number puts a directory, then its children in one run, then what is below
// its subdirectories: so "ls -l" finds the inodes of a directory in few blocks.
func (p *plan) number(root *node) {
	done := map[*node]bool{root: true}
	p.inodes = append(p.inodes, root)
	dirs := []*node{root}
	for len(dirs) > 0 {
		dir := dirs[len(dirs)-1]
		dirs = dirs[:len(dirs)-1]
		for _, c := range dir.children {
			if !done[c.node] {
				done[c.node] = true
				p.inodes = append(p.inodes, c.node)
			}
		}
		for i := len(dir.children) - 1; i >= 0; i-- {
			if n := dir.children[i].node; n.entry.Kind == tree.Dir {
				dirs = append(dirs, n)
			}
		}
	}
	for i, n := range p.inodes {
		n.number = uint32(i + 1)
	}
	p.named = len(p.inodes)
}

// layOut decides which contents are stored.
func (p *plan) layOut(t *tree.Tree, sums map[*tree.Entry]contentKey) {
	files := make(map[*tree.Entry]*node)
	for _, n := range p.inodes {
		if n.entry.Kind == tree.File {
			files[n.entry] = n
		}
	}
	stored := map[contentKey]*content{}
	for _, name := range t.Paths() {
		e := t.Get(name)
		n := files[e]
		if n == nil {
			continue
		}
		p.stats.Files++
		p.stats.ContentBytes += e.Size
		if e.Size == 0 {
			continue
		}
		key, known := sums[e]
		if c := stored[key]; known && c != nil {
			n.content = c
			p.stats.Duplicates++
			p.stats.DuplicateBytes += e.Size
			continue
		}
		n.content = &content{entry: e, whole: e.Size}
		if known {
			stored[key] = n.content
		}
		p.contents = append(p.contents, n.content)
	}
}
