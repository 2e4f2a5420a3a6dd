package fat

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"path"

	"ashlar/internal/foundation/sparse"
	"ashlar/internal/foundation/tree"
)

// node is a file or directory on its way to the disk.
type node struct {
	entry    *tree.Entry // the inode's entry, behind hard links
	name     string
	short    [11]byte
	long     bool
	first    uint32 // cluster; 0 when it has none
	clusters uint32
	parent   *node
	children []*node // of a directory, in path order
	names    *names
}

// size is the node's length in bytes on disk, directories with all their entries.
func (n *node) size() int64 {
	if n.entry.Kind == tree.File {
		return n.entry.Size
	}
	entries := 2 // . and .., or in the root the label
	for _, c := range n.children {
		entries++
		if c.long {
			entries += len(longEntries(c.name, c.short)) / dirEntry
		}
	}
	return int64(entries) * dirEntry
}

// writer is one run of Write.
type writer struct {
	geometry
	opt   Options
	label [11]byte
	w     io.WriterAt
	nodes []*node // root first, then in path order
	table []byte  // the FAT
	next  uint32  // first free cluster
}

// Write makes a file system of the tree in w, which must be zero bytes up to
// the size of the file system: what is zero is not written. Nothing is written
// when the tree does not fit or holds what FAT cannot; when writing itself
// fails, w holds a part that the caller must throw away.
func Write(ctx context.Context, w io.WriterAt, t *tree.Tree, opt Options) error {
	if err := write(ctx, w, t, opt); err != nil {
		return fmt.Errorf("write FAT file system: %w", err)
	}
	return nil
}

func write(ctx context.Context, out io.WriterAt, t *tree.Tree, opt Options) error {
	g, err := plan(opt)
	if err != nil {
		return err
	}
	w := &writer{geometry: *g, opt: opt, w: out, next: 2}
	if w.label, err = label(opt.Label); err != nil {
		return err
	}
	if err := w.collect(t); err != nil {
		return err
	}
	if err := w.allocate(); err != nil {
		return err
	}
	for _, n := range w.nodes {
		if err := w.content(ctx, n); err != nil {
			return fmt.Errorf("%s: %w", n.entry.Path, err)
		}
	}
	for i := range w.fats {
		if err := sparse.WriteAt(out, w.table, int64(w.reserved+i*w.fatSectors)*sectorSize); err != nil {
			return err
		}
	}
	return w.boot()
}

// collect turns the tree into nodes and names them.
func (w *writer) collect(t *tree.Tree) error {
	dirs := map[string]*node{}
	root := tree.NewDir(".", 0o755)
	top := &node{entry: &root, names: newNames()}
	if e := t.Get("."); e != nil {
		top.entry = e
	}
	dirs["."], w.nodes = top, []*node{top}
	return t.Walk(func(e *tree.Entry) error {
		if e.Path == "." {
			return nil
		}
		n := &node{entry: e, name: path.Base(e.Path), parent: dirs[path.Dir(e.Path)]}
		if n.parent == nil {
			return fmt.Errorf("%s: its directory is not in the tree", e.Path)
		}
		for hops := 0; n.entry.Kind == tree.HardLink; hops++ {
			target := t.Get(n.entry.Target)
			if target == nil || hops > 8 {
				return fmt.Errorf("%s: hard link to %s, which is no file of the tree", e.Path, e.Target)
			}
			n.entry = target
		}
		switch {
		case n.entry.Kind == tree.Dir:
			n.names = newNames()
			dirs[e.Path] = n
		case n.entry.Kind != tree.File:
			return fmt.Errorf("%s: FAT cannot hold a %s", e.Path, n.entry.Kind)
		case n.entry.Size > 0xffffffff:
			return fmt.Errorf("%s: %d bytes, FAT holds files below 4 GiB", e.Path, n.entry.Size)
		}
		var err error
		if n.short, n.long, err = n.parent.names.add(n.name); err != nil {
			return fmt.Errorf("%s: %w", e.Path, err)
		}
		n.parent.children = append(n.parent.children, n)
		w.nodes = append(w.nodes, n)
		return nil
	})
}

// allocate gives every node one run of clusters and fills the FAT.
func (w *writer) allocate() error {
	w.table = make([]byte, w.fatSectors*sectorSize)
	w.link(0, 0x0ffffff8)
	w.link(1, 0x0fffffff)
	for _, n := range w.nodes {
		size := n.size()
		if n.parent == nil && w.kind == FAT16 {
			if size > int64(w.rootEntries)*dirEntry {
				return fmt.Errorf("root directory has more than %d entries", w.rootEntries)
			}
			continue
		}
		if size == 0 {
			continue
		}
		need := (size + w.clusterSize() - 1) / w.clusterSize()
		if free := int64(w.clusters) + 2 - int64(w.next); need > free {
			return fmt.Errorf("%s: needs %d clusters of %d bytes, %d are free; make the file system larger",
				n.entry.Path, need, w.clusterSize(), free)
		}
		n.first, n.clusters = w.next, uint32(need)
		for c := n.first; c < n.first+n.clusters-1; c++ {
			w.link(c, c+1)
		}
		w.link(n.first+n.clusters-1, 0x0fffffff)
		w.next += n.clusters
	}
	return nil
}

func (w *writer) link(cluster, value uint32) {
	if w.kind == FAT16 {
		binary.LittleEndian.PutUint16(w.table[2*cluster:], uint16(value))
		return
	}
	binary.LittleEndian.PutUint32(w.table[4*cluster:], value)
}

func (w *writer) content(ctx context.Context, n *node) error {
	if n.entry.Kind == tree.Dir {
		off := int64(w.rootStart()) * sectorSize
		if n.first != 0 {
			off = w.offset(n.first)
		}
		return sparse.WriteAt(w.w, w.directory(n), off)
	}
	r, err := n.entry.Open()
	if err != nil {
		return err
	}
	defer r.Close() // only read from
	if n.first != 0 {
		if err := sparse.Copy(ctx, w.w, w.offset(n.first), r, n.entry.Size); err != nil {
			return err
		}
	}
	return sparse.AtEnd(r)
}

// directory gives the bytes of a directory.
func (w *writer) directory(n *node) []byte {
	var out []byte
	if n.parent == nil {
		if w.opt.Label != "" {
			out = w.record(w.label, attrVolume, 0, 0, n.entry.MTime)
		}
	} else {
		up := n.parent.first
		if n.parent.parent == nil {
			up = 0 // the root is cluster 0 here, on FAT32 too
		}
		out = append(w.record(pack(".", ""), attrDir, n.first, 0, n.entry.MTime),
			w.record(pack("..", ""), attrDir, up, 0, n.entry.MTime)...)
	}
	for _, c := range n.children {
		if c.long {
			out = append(out, longEntries(c.name, c.short)...)
		}
		if c.entry.Kind == tree.Dir {
			out = append(out, w.record(c.short, attrDir, c.first, 0, c.entry.MTime)...)
		} else {
			out = append(out, w.record(c.short, attrArchive, c.first, uint32(c.entry.Size), c.entry.MTime)...)
		}
	}
	return out
}

// record gives one short directory entry.
func (w *writer) record(short [11]byte, attr byte, first, size uint32, mtime int64) []byte {
	le := binary.LittleEndian
	if w.opt.Epoch != 0 {
		mtime = min(mtime, w.opt.Epoch)
	}
	date, clock := stamp(mtime)
	b := make([]byte, dirEntry)
	copy(b, short[:])
	b[11] = attr
	if attr != attrVolume {
		le.PutUint16(b[14:], clock) // made
		le.PutUint16(b[16:], date)
		le.PutUint16(b[18:], date) // read
	}
	le.PutUint16(b[20:], uint16(first>>16))
	le.PutUint16(b[22:], clock) // changed
	le.PutUint16(b[24:], date)
	le.PutUint16(b[26:], uint16(first))
	le.PutUint32(b[28:], size)
	return b
}
