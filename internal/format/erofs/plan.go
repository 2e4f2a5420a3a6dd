package erofs

import (
	"fmt"
	"math"

	"ashlar/internal/format/imagetree"
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
	nodes    map[*tree.Entry]*node
	inodes   []*node
	contents []*content
	shared   []xattr // stored once
	packed   *node   // the file of fragments, if there is one
	named    int     // inodes but for it
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
	p.root.parent = p.root
	for _, name := range names {
		adopt(nodes, name)
	}
	p.number(p.root)
	if uint64(len(p.inodes)) > math.MaxUint32 {
		return nil, fmt.Errorf("%d inodes are more than the format counts", len(p.inodes))
	}
	p.shareXattrs()
	return p, nil
}

func addNode(nodes map[*tree.Entry]*node, e *tree.Entry, opt Options) error {
	if e.Kind == tree.HardLink {
		return nil
	}
	if err := checkEntry(e); err != nil {
		return fmt.Errorf("%s: %w", e.Path, err)
	}
	n := &node{entry: e, mtime: e.MTime}
	if e.Kind == tree.Dir {
		n.links = 2
	}
	if opt.Epoch != 0 {
		n.mtime = min(n.mtime, opt.Epoch)
	}
	if n.mtime < 0 {
		return fmt.Errorf("%s: time %d is before 1970", e.Path, n.mtime)
	}
	nodes[e] = n
	return nil
}

// checkEntry refuses what the format cannot hold.
func checkEntry(e *tree.Entry) error {
	if e.Kind == tree.File && blocksOf(e.Size) > maxBlocks {
		return fmt.Errorf("a file of %d bytes is more than the format holds", e.Size)
	}
	return checkXattrs(e.Xattrs)
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
func (p *plan) layOut(files []imagetree.File) {
	for _, f := range files {
		e, n := f.Entry, p.nodes[f.Entry]
		p.stats.Files++
		p.stats.ContentBytes += e.Size
		switch {
		case e.Size == 0:
		case f.First != e:
			n.content = p.nodes[f.First].content
			p.stats.Duplicates++
			p.stats.DuplicateBytes += e.Size
		default:
			n.content = &content{entry: e, whole: e.Size}
			p.contents = append(p.contents, n.content)
		}
	}
}
