package squashfs

import (
	"fmt"
	"math"
	"slices"

	"ashlar/internal/format/imagetree"
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
	nodes    map[*tree.Entry]*node
	inodes   []*node
	contents []*content
	packs    int // fragment blocks
	stats    Stats
}

// inodesOf makes the nodes of a tree and links children to parents.
func inodesOf(t *tree.Tree, opt Options) (*plan, error) {
	names, err := imagetree.Names(t)
	if err != nil {
		return nil, err
	}
	nodes := make(map[*tree.Entry]*node, t.Len())
	if err := t.Walk(func(e *tree.Entry) error { return addNode(nodes, e, opt) }); err != nil {
		return nil, err
	}
	p := &plan{root: nodes[t.Get(".")], nodes: nodes}
	for _, name := range names {
		adopt(nodes, name)
	}
	p.number(p.root, map[*node]bool{})
	p.root.number = uint32(len(p.inodes) + 1)
	p.inodes = append(p.inodes, p.root)
	if uint64(len(p.inodes)) >= math.MaxUint32 {
		return nil, fmt.Errorf("%d inodes are more than the format counts", len(p.inodes))
	}
	return p, nil
}

func addNode(nodes map[*tree.Entry]*node, e *tree.Entry, opt Options) error {
	if e.Kind == tree.HardLink {
		return nil
	}
	n := &node{entry: e, xattr: noXattr}
	if e.Kind == tree.Dir {
		n.links = 2
	}
	mtime := e.MTime
	if opt.Epoch != 0 {
		mtime = min(mtime, opt.Epoch)
	}
	if mtime < 0 || mtime > math.MaxUint32 {
		return fmt.Errorf("%s: time %d is not between 1970 and 2106", e.Path, mtime)
	}
	n.mtime = uint32(mtime)
	nodes[e] = n
	return nil
}

// adopt puts a name into its directory. Siblings come in byte order.
func adopt(nodes map[*tree.Entry]*node, name imagetree.Name) {
	dir, n := nodes[name.Dir], nodes[name.Inode]
	if n.entry.Kind == tree.Dir {
		n.parent = dir
		dir.links++
	} else {
		n.links++
	}
	dir.children = append(dir.children, child{name.Name, n})
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
func (p *plan) layOut(files []imagetree.File, blockSize int) {
	for _, f := range files {
		n := p.nodes[f.Entry]
		p.stats.Files++
		p.stats.ContentBytes += f.Entry.Size
		if f.First != f.Entry {
			n.content = p.nodes[f.First].content
			p.stats.Duplicates++
			p.stats.DuplicateBytes += f.Entry.Size
			continue
		}
		n.content = &content{entry: f.Entry, fragment: noFragment}
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
	starts := packTails(tails, blockSize)
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
