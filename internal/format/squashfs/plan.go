package squashfs

import (
	"errors"
	"fmt"
	"math"
	"path"
	"slices"

	"ashlar/internal/foundation/tree"
)

// node is an inode on its way into the image.
type node struct {
	entry    *tree.Entry
	number   uint32 // inode number, from 1
	links    uint32 // names; for a directory 2 and its subdirectories
	mtime    uint32
	xattr    uint32
	ref      uint64 // where the inode stands; known once it is written
	parent   *node  // of a directory; nil for the root
	children []child
	content  *content // of a file
}

type child struct {
	name string
	node *node
}

// content is the data of one or more files with equal bytes.
type content struct {
	entry    *tree.Entry // the first file by path, which is read
	start    uint64      // of the first block in the image
	words    []uint32    // size word of each block; 0 is a block of zeros that is not stored
	sparse   uint64      // bytes in such blocks
	fragment uint32      // index of the fragment block that has the tail, or noFragment
	offset   uint32      // of the tail in that block
}

// plan is all that is known before a byte is read: the inodes in the order
// they are written, the contents in the order they are read.
type plan struct {
	root     *node
	inodes   []*node
	contents []*content
	packs    int // fragment blocks
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
	err := t.Walk(func(e *tree.Entry) error {
		if e.Path == "." {
			return nil
		}
		return adopt(nodes, e)
	})
	if err != nil {
		return nil, err
	}
	p.number(p.root, map[*node]bool{})
	p.root.number = uint32(len(p.inodes) + 1)
	p.inodes = append(p.inodes, p.root)
	if uint64(len(p.inodes)) >= math.MaxUint32 {
		return nil, fmt.Errorf("%d inodes are more than the format counts", len(p.inodes))
	}
	return p, nil
}

func addNode(nodes map[string]*node, e *tree.Entry, opt Options) error {
	if e.Kind == tree.HardLink {
		return nil
	}
	n := &node{entry: e, links: 1, xattr: noXattr}
	if e.Kind == tree.Dir {
		n.links = 2
	}
	if err := checkEntry(e); err != nil {
		return fmt.Errorf("%s: %w", e.Path, err)
	}
	mtime := e.MTime
	if opt.Epoch != 0 {
		mtime = min(mtime, opt.Epoch)
	}
	if mtime < 0 || mtime > math.MaxUint32 {
		return fmt.Errorf("%s: time %d is not between 1970 and 2106", e.Path, mtime)
	}
	n.mtime = uint32(mtime)
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
	return nil
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

// number gives numbers to all below a directory: first to what is below its
// subdirectories, then to its own children in one run. So an inode is written before
// the directory that names it, and the inodes of a directory stand together, which
// keeps listings short and "ls -l" in few metadata blocks.
func (p *plan) number(dir *node, done map[*node]bool) {
	for _, c := range dir.children {
		if c.node.entry.Kind == tree.Dir {
			p.number(c.node, done)
		}
	}
	for _, c := range dir.children {
		if !done[c.node] {
			done[c.node] = true
			p.inodes = append(p.inodes, c.node)
			c.node.number = uint32(len(p.inodes))
		}
	}
}

// layOut decides which contents are stored and which tails share a fragment block.
func (p *plan) layOut(t *tree.Tree, sums map[*tree.Entry]contentKey, blockSize int) {
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
		key, known := sums[e]
		if c := stored[key]; known && c != nil {
			n.content = c
			p.stats.Duplicates++
			p.stats.DuplicateBytes += e.Size
			continue
		}
		n.content = &content{entry: e, fragment: noFragment}
		if known {
			stored[key] = n.content
		}
		p.contents = append(p.contents, n.content)
	}
	p.packTails(blockSize)
}

func (p *plan) packTails(blockSize int) {
	var tails []tail
	var owners []*content
	for _, c := range p.contents {
		size := c.entry.Size
		if rest := int(size % int64(blockSize)); rest > 0 {
			tails = append(tails, tail{c.entry.Path, rest})
			owners = append(owners, c)
		}
		c.words = make([]uint32, size/int64(blockSize))
	}
	starts := packTails(tails, blockSize, blockSize*fillNumerator/fillDenominator)
	p.packs = len(starts)
	var offset uint32
	for i, c := range owners {
		pack, isStart := slices.BinarySearch(starts, i)
		if isStart {
			offset = 0
		} else {
			pack--
		}
		c.fragment, c.offset = uint32(pack), offset
		offset += uint32(tails[i].size)
	}
}
