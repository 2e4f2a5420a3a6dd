package iso9660

import (
	"errors"
	"fmt"
	"path"
	"slices"

	"ashlar/internal/format/imagetree"
	"ashlar/internal/foundation/tree"
)

// node is an inode on its way to the image.
type node struct {
	entry  *tree.Entry
	serial uint32 // PX's file serial number
	links  uint32
	data   Extent // of a file; the listing of a directory

	parent   *node
	number   int // of a directory in the path table
	id       identifier
	children []child
	records  []*record
}

type child struct {
	name string
	id   identifier
	node *node
}

// section gives the part of a file that one record names; all of a directory.
func (n *node) section(part int) Extent {
	at := int64(part) * maxSection
	return Extent{n.data.Offset + at, min(n.data.Size-at, maxSection)}
}

// Plan says where everything goes. It is made by NewPlan.
type Plan struct {
	Size int64  // bytes of the image
	BIOS Extent // of the boot image for the BIOS; zero when there is none
	UEFI Extent // of the EFI system partition; zero when there is none

	opt     Options
	dirs    []*node // in the order of the path table
	files   []*node // by path
	areaLen int64   // bytes of the continuation area

	catalog, pathL, pathM, area int64 // first blocks
	pathSize                    int64 // bytes of a path table
}

// NewPlan checks the tree and the options and places everything.
func NewPlan(t *tree.Tree, opt Options) (*Plan, error) {
	p := &Plan{opt: opt}
	err := opt.check()
	if err == nil {
		err = p.collect(t)
	}
	if err == nil {
		err = p.sort()
	}
	if err == nil {
		p.list()
		err = p.place()
	}
	if err != nil {
		return nil, fmt.Errorf("plan ISO 9660 image: %w", err)
	}
	return p, nil
}

func (o Options) check() error {
	for i := range len(o.VolumeID) {
		if !isDCharacter(o.VolumeID[i]) {
			return fmt.Errorf("volume id %q: want A to Z, 0 to 9 and _", o.VolumeID)
		}
	}
	if len(o.VolumeID) > maxVolumeID {
		return fmt.Errorf("volume id %q: longer than %d bytes", o.VolumeID, maxVolumeID)
	}
	if o.BIOS < 0 || o.UEFI < 0 || o.Spare < 0 {
		return errors.New("a size is negative")
	}
	if o.BIOS != 0 && o.BIOS < BlockSize {
		return fmt.Errorf("boot image of %d bytes: the BIOS loads %d", o.BIOS, BlockSize)
	}
	return nil
}

// collect makes the nodes.
func (p *Plan) collect(t *tree.Tree) error {
	names, err := imagetree.Names(t)
	if err != nil {
		return err
	}
	nodes := map[*tree.Entry]*node{}
	of := func(e *tree.Entry) *node {
		n := nodes[e]
		if n == nil {
			n = &node{entry: e, serial: uint32(len(nodes) + 1)}
			nodes[e] = n
		}
		return n
	}
	root := of(t.Get("."))
	root.parent, root.links = root, 2
	p.dirs = []*node{root}
	for _, name := range names {
		if len(name.Name) > maxName {
			return fmt.Errorf("%s: name of %d bytes: Linux cuts those of more than %d on ISO 9660", path.Join(name.Dir.Path, name.Name), len(name.Name), maxName)
		}
		dir, n := of(name.Dir), of(name.Inode)
		dir.children = append(dir.children, child{name: name.Name, node: n})
		n.links++
		if n.entry.IsDir() {
			n.parent, n.links = dir, 2
			dir.links++
		}
	}
	return t.Walk(func(e *tree.Entry) error {
		if len(e.Xattrs) > 0 {
			return fmt.Errorf("%s: has extended attributes, for which ISO 9660 has no place", e.Path)
		}
		if e.Major == 0 && e.Minor > 0xff {
			return fmt.Errorf("%s: device 0,%d: Linux takes it for another on ISO 9660", e.Path, e.Minor)
		}
		if e.Kind == tree.File {
			n := of(e)
			n.data.Size = e.Size
			p.files = append(p.files, n)
		}
		return nil
	})
}

// sort names the entries and lists the directories level by level, as the path
// table wants them (6.9.1): by parent, then by identifier.
func (p *Plan) sort() error {
	for i := 0; i < len(p.dirs); i++ {
		dir := p.dirs[i]
		if dir.number = i + 1; dir.number > maxDirs {
			return fmt.Errorf("more than %d directories", maxDirs)
		}
		var ids identifiers
		for c := range dir.children {
			of := &dir.children[c]
			of.id = ids.add(of.name, of.node.entry.IsDir())
		}
		slices.SortFunc(dir.children, func(a, b child) int { return a.id.compare(b.id) })
		for _, c := range dir.children {
			if c.node.entry.IsDir() {
				c.node.id = c.id
				p.dirs = append(p.dirs, c.node)
			}
		}
	}
	return nil
}

// room takes a place in the continuation area, within one block.
func (p *Plan) room(size int) int64 {
	if p.areaLen%BlockSize+int64(size) > BlockSize {
		p.areaLen = alignUp(p.areaLen, BlockSize)
	}
	at := p.areaLen
	p.areaLen += int64(size)
	return at
}

// list makes the records of all directories and sizes their listings, in which
// no record crosses the end of a block (6.8.1.1).
func (p *Plan) list() {
	for _, dir := range p.dirs {
		self := dir.attributes(p.opt.Epoch)
		if dir.number == 1 {
			self = append(append([][]byte{sharing()}, self...), reference())
		}
		dir.records = append(dir.records,
			newRecord([]byte{0}, dir, self, p.room),
			newRecord([]byte{1}, dir.parent, dir.parent.attributes(p.opt.Epoch), p.room))
		for _, c := range dir.children {
			dir.records = append(dir.records, p.recordsOf(c)...)
		}
		for _, r := range dir.records {
			if dir.data.Size%BlockSize+int64(r.size) > BlockSize {
				dir.data.Size = alignUp(dir.data.Size, BlockSize)
			}
			dir.data.Size += int64(r.size)
		}
		dir.data.Size = alignUp(dir.data.Size, BlockSize)
	}
}

// recordsOf gives the records of one name: one for each section of the file.
func (p *Plan) recordsOf(c child) []*record {
	e := c.node.entry
	use := append(c.node.attributes(p.opt.Epoch), nameEntries(c.name)...)
	if e.Kind == tree.Symlink {
		use = append(use, linkEntries(e.Target)...)
	}
	var out []*record
	for at := int64(0); ; at += maxSection {
		r := newRecord(c.id.bytes(e.IsDir()), c.node, use, p.room)
		r.part = len(out)
		r.more = e.Kind == tree.File && e.Size-at > maxSection
		if out = append(out, r); !r.more {
			return out
		}
	}
}

// place gives everything its blocks.
func (p *Plan) place() error {
	next := int64(SystemArea/BlockSize) + 2 // two descriptors
	take := func(size int64) int64 {
		at := next
		next += blocks(size)
		return at
	}
	if p.boots() {
		next++
		p.catalog = take(BlockSize)
	}
	for _, dir := range p.dirs {
		p.pathSize += int64(len(pathEntry(dir, nil)))
	}
	p.pathL, p.pathM = take(p.pathSize), take(p.pathSize)
	for _, dir := range p.dirs {
		dir.data.Offset = take(dir.data.Size) * BlockSize
	}
	p.area = take(p.areaLen)
	if p.opt.BIOS > 0 {
		p.BIOS = Extent{take(p.opt.BIOS) * BlockSize, p.opt.BIOS}
	}
	for _, f := range p.files {
		if f.data.Size > 0 {
			f.data.Offset = take(f.data.Size) * BlockSize
		}
	}
	if p.opt.UEFI > 0 {
		next = alignUp(next*BlockSize, efiAlign) / BlockSize
		p.UEFI = Extent{take(p.opt.UEFI) * BlockSize, p.opt.UEFI}
	}
	take(p.opt.Spare)
	if p.Size = next * BlockSize; next > 1<<32-1 {
		return fmt.Errorf("%d bytes: the format counts blocks in 32 bits", p.Size)
	}
	return nil
}

func (p *Plan) boots() bool { return p.opt.BIOS > 0 || p.opt.UEFI > 0 }
