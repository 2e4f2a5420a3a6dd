package ext4

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"

	"ashlar/internal/foundation/sparse"
	"ashlar/internal/foundation/tree"
)

// writer is one run of Write.
type writer struct {
	opt     Options
	w       io.WriterAt
	l       *layout
	a       *allocator
	seed    uint32   // of all checksums: the UUID's
	nodes   []*inode // that paths name, by number
	journal *inode
	resize  *resizer
}

// Write makes a file system of the tree in w, which must be zero bytes up to
// the size of the file system: what is zero is not written. Nothing is written
// when the tree does not fit or holds what cannot be stored; when writing
// itself fails, w holds a part that the caller must throw away.
func Write(ctx context.Context, w io.WriterAt, t *tree.Tree, opt Options) error {
	if err := write(ctx, w, t, opt); err != nil {
		return fmt.Errorf("write ext4 file system: %w", err)
	}
	return nil
}

func write(ctx context.Context, out io.WriterAt, t *tree.Tree, opt Options) error {
	if err := check(opt); err != nil {
		return err
	}
	w := &writer{opt: opt, w: out, seed: crc(crcStart, opt.UUID[:])}
	if err := w.collect(t); err != nil {
		return err
	}
	var err error
	if w.l, err = newLayout(opt, w.inodes()); err != nil {
		return err
	}
	if err := w.allocate(); err != nil {
		return err
	}
	for _, n := range w.nodes {
		if err := w.content(ctx, n); err != nil {
			return fmt.Errorf("%s: %w", n.path, err)
		}
	}
	if err := w.specials(); err != nil {
		return err
	}
	if err := w.inodesOut(); err != nil {
		return err
	}
	return w.groupsOut()
}

func check(opt Options) error {
	switch {
	case len(opt.Label) > 16:
		return fmt.Errorf("label %q: longer than 16 bytes", opt.Label)
	case opt.ReservedPercent < 0 || opt.ReservedPercent > 50:
		return fmt.Errorf("%d percent reserved: must be 0 to 50", opt.ReservedPercent)
	case opt.InodeRatio != 0 && opt.InodeRatio < blockSize:
		return fmt.Errorf("an inode for %d bytes: at least %d bytes", opt.InodeRatio, blockSize)
	case opt.Epoch < 0 || opt.Epoch > 1<<32-1:
		return fmt.Errorf("epoch %d: out of range", opt.Epoch)
	}
	return nil
}

// inodes is the number of the last inode in use; all before it are too, or
// are reserved.
func (w *writer) inodes() uint64 { return uint64(w.nodes[len(w.nodes)-1].number) }

// collect turns the tree into inodes and numbers them in path order, behind
// the root and lost+found.
func (w *writer) collect(t *tree.Tree) error {
	root, lost := tree.NewDir(".", 0o755), tree.NewDir(lostFound, 0o700)
	root.MTime, lost.MTime = w.opt.Epoch, w.opt.Epoch
	if e := t.Get("."); e != nil {
		root = *e
	}
	if e := t.Get(lostFound); e != nil {
		lost = *e
	}
	if root.Kind != tree.Dir || lost.Kind != tree.Dir {
		return errors.New("the root and lost+found must be directories")
	}
	byPath := map[string]*inode{}
	add := func(e *tree.Entry, number uint32) error {
		n, err := newInode(e, number)
		if err != nil {
			return fmt.Errorf("%s: %w", e.Path, err)
		}
		w.nodes = append(w.nodes, n)
		byPath[e.Path] = n
		if e.Path == "." {
			n.parent = n.number
			n.links++ // its own ".."
			return nil
		}
		return adopt(byPath[path.Dir(e.Path)], n, e.Path)
	}
	if err := errors.Join(add(&root, inodeRoot), add(&lost, inodeLostFound)); err != nil {
		return err
	}
	err := t.Walk(func(e *tree.Entry) error {
		if e.Path == "." || e.Path == lostFound || e.Kind == tree.HardLink {
			return nil
		}
		return add(e, w.nodes[len(w.nodes)-1].number+1)
	})
	if err != nil {
		return err
	}
	return w.hardLinks(t, byPath)
}

func newInode(e *tree.Entry, number uint32) (*inode, error) {
	n := &inode{number: number, path: e.Path, entry: e, mode: uint16(e.Kind.TypeBits()) | uint16(e.Mode&0o7777)}
	switch e.Kind {
	case tree.Dir:
		n.links = 1 // its own "."
	case tree.File:
		n.size = uint64(e.Size)
	case tree.Symlink:
		n.size = uint64(len(e.Target))
		if n.size == 0 {
			return nil, errors.New("symbolic link without a text")
		}
	}
	list, err := xattrsOf(e.Xattrs)
	if err != nil {
		return nil, err
	}
	n.inInode, n.xattrBlock, err = encodeXattrs(list)
	return n, err
}

// adopt puts a name for the inode into its directory.
func adopt(dir, n *inode, full string) error {
	if dir == nil || dir.mode&modeMask != modeDir {
		return fmt.Errorf("%s: its directory is not in the tree", full)
	}
	dir.children = append(dir.children, child{path.Base(full), n})
	n.links++
	if n.mode&modeMask == modeDir {
		n.parent = dir.number
		dir.links++
	} else if n.links > 65000 {
		return fmt.Errorf("%s: more than 65000 hard links", full)
	}
	return nil
}

func (w *writer) hardLinks(t *tree.Tree, byPath map[string]*inode) error {
	return t.Walk(func(e *tree.Entry) error {
		if e.Kind != tree.HardLink {
			return nil
		}
		target := e
		for hops := 0; target != nil && target.Kind == tree.HardLink && hops < 8; hops++ {
			target = t.Get(target.Target)
		}
		if target == nil || target.Kind == tree.HardLink || target.Kind == tree.Dir {
			return fmt.Errorf("%s: hard link to %s, which is no file of the tree", e.Path, e.Target)
		}
		return adopt(byPath[path.Dir(e.Path)], byPath[target.Path], e.Path)
	})
}

// allocate places everything: the journal, then directories, then the rest.
func (w *writer) allocate() error {
	w.a = newAllocator(w.l)
	var err error
	if w.journal, err = makeJournal(w.a, w.l.journalBlocks(w.opt)); err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	if w.resize, err = makeResizer(w.a, w.l); err != nil {
		return fmt.Errorf("resize inode: %w", err)
	}
	for _, dirs := range []bool{true, false} {
		for _, n := range w.nodes {
			if (n.mode&modeMask == modeDir) != dirs {
				continue
			}
			if err := n.allocate(w.a); err != nil {
				return fmt.Errorf("%s: %w", n.path, err)
			}
		}
	}
	return nil
}

func (w *writer) block(number uint64, data []byte) error {
	return sparse.WriteAt(w.w, data, int64(number)*blockSize)
}

// content writes an inode's data and the blocks that belong to it.
func (w *writer) content(ctx context.Context, n *inode) error {
	if err := w.mapping(n); err != nil {
		return err
	}
	switch {
	case n.mode&modeMask == modeDir:
		return w.spread(n.runs, directory(n, n.size/blockSize, w.seed))
	case n.mode&modeMask == modeSymlink && len(n.runs) > 0:
		return w.block(n.runs[0].start, []byte(n.entry.Target))
	case n.mode&modeMask != modeFile:
		return nil
	}
	r, err := n.entry.Open()
	if err != nil {
		return err
	}
	defer r.Close() // only read from
	left := n.entry.Size
	for _, run := range n.runs {
		part := min(left, int64(run.length)*blockSize)
		if err := sparse.Copy(ctx, w.w, int64(run.start)*blockSize, r, part); err != nil {
			return err
		}
		left -= part
	}
	return sparse.AtEnd(r)
}

// mapping writes extent leaves and attributes.
func (w *writer) mapping(n *inode) error {
	for _, leaf := range n.leaves {
		sumLeaf(leaf.data, seedOf(w.seed, n.number, 0))
		if err := w.block(leaf.block, leaf.data); err != nil {
			return err
		}
	}
	if n.xattrBlock == nil {
		return nil
	}
	sumXattrBlock(w.seed, n.xattrBlock, n.xattrAt)
	return w.block(n.xattrAt, n.xattrBlock)
}

func (w *writer) spread(runs []run, data []byte) error {
	for _, r := range runs {
		if err := w.block(r.start, data[:r.length*blockSize]); err != nil {
			return err
		}
		data = data[r.length*blockSize:]
	}
	return nil
}

// specials writes the journal's first block and the resize inode's blocks.
func (w *writer) specials() error {
	if err := w.mapping(w.journal); err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	if err := w.block(w.journal.runs[0].start, journalSuper(w.journal.size/blockSize)); err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	for number, data := range w.resize.blocks(w.l) {
		if err := w.block(number, data); err != nil {
			return fmt.Errorf("resize inode: %w", err)
		}
	}
	return nil
}

// inodesOut writes the used parts of the inode tables.
func (w *writer) inodesOut() error {
	all := append([]*inode{w.journal, w.resize.node}, w.nodes...)
	tables := make([][]byte, w.l.groups)
	for _, n := range all {
		group, slot := uint64(n.number-1)/w.l.inodesPerGroup, uint64(n.number-1)%w.l.inodesPerGroup
		if tables[group] == nil {
			tables[group] = make([]byte, w.l.tableBlocks*blockSize)
		}
		copy(tables[group][slot*inodeSize:], n.encode(w.seed, w.opt.Epoch))
	}
	for g, table := range tables {
		if err := w.block(w.l.inodeTable[g], table); err != nil {
			return fmt.Errorf("inode table of group %d: %w", g, err)
		}
	}
	return nil
}
