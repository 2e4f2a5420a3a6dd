// Package sizes says where the bytes of an image go: by directory and by
// package, as they are stored and as programs see them.
//
// Vocabulary: a Part is one file of an image, as root.img. Stored bytes
// are those in the part, mostly compressed; a file's size is what stat says.
// Stored bytes are counted once: a block that several files have in common
// belongs to the first of them by path, a fragment block to all files with a
// tail in it, each by its share of the plain bytes. What a part has besides
// contents (inodes, directories, tables, padding) is its overhead. So the
// stored bytes of everything are the sizes of the parts, to the byte.
//
// It opens nothing: pipeline brings paths, extents and owners.
package sizes

import (
	"cmp"
	"slices"
	"strings"
)

// Names of what no package has brought.
const (
	OwnerDefinition = "(definition)" // files of the overlay
	OwnerAshlar     = "(ashlar)"     // its program on the machine and what it tells it
	OwnerMade       = "(build)"      // by maintainer scripts, or from the definition's settings
	OwnerOverhead   = "(overhead)"
	OwnerHash       = "(hash tree)" // of dm-verity
	OwnerUnknown    = "(unknown)"   // nobody has said what packages there are
)

// Part is a file of an image.
type Part struct {
	Name  string
	Size  int64 // of the file; what its Files do not store is overhead
	Hash  int64 // of that, the hash tree behind its file system
	Files []File
}

// File is one path of a part.
type File struct {
	Path    string // "." if the part is the file
	Size    int64
	Stored  int64 // filled in by New where there are Extents
	Owner   string
	Extents []Extent // nil: Stored is what the caller says
}

// Extent is where a part of a file is stored; see imagetree.Extent.
type Extent struct {
	Place, Stored int64
	Plain         int64
	Tail          bool
	Offset        int64
}

// Sum is a number of files with their bytes.
type Sum struct {
	Files  int   `json:"files"`
	Stored int64 `json:"stored"`
	Size   int64 `json:"size"`
}

func (s *Sum) add(o Sum) {
	s.Files += o.Files
	s.Stored += o.Stored
	s.Size += o.Size
}

// Row is a sum with a name.
type Row struct {
	Name string `json:"name"`
	Sum
}

// Report is where the bytes go.
type Report struct {
	Name string `json:"name"`
	Sum
	Parts       []Row  `json:"parts"`
	Packages    []Row  `json:"packages"`    // by stored bytes, most first; null: no packages are known
	Directories []Row  `json:"directories"` // PART/PATH with all below it, by path
	Owners      string `json:"owners"`      // how packages were found: "lock", "dpkg", "" for not at all
	byDir       *node
	byOwner     *node
}

// New adds up the parts. owners says how owners were found; "" if not at all.
func New(name string, parts []Part, owners string) *Report {
	r := &Report{Name: name, Owners: owners, byDir: &node{name: name}, byOwner: &node{name: name}}
	for _, p := range parts {
		r.addPart(p)
	}
	r.byDir.finish()
	r.byOwner.finish()
	r.Sum = r.byDir.sum
	for _, c := range r.byDir.children {
		r.Parts = append(r.Parts, Row{c.name, c.sum})
		r.Directories = append(r.Directories, c.directories("")...)
	}
	if owners != "" {
		for _, c := range r.byOwner.children {
			r.Packages = append(r.Packages, Row{c.name, c.sum})
		}
	}
	slices.SortFunc(r.Parts, func(a, b Row) int { return strings.Compare(a.Name, b.Name) })
	slices.SortFunc(r.Directories, func(a, b Row) int { return comparePaths(a.Name, b.Name) })
	return r
}

func (r *Report) addPart(p Part) {
	files := slices.Clone(p.Files)
	slices.SortFunc(files, func(a, b File) int { return strings.Compare(a.Path, b.Path) })
	attribute(files)
	overhead := p.Size - p.Hash
	for _, f := range files {
		sum := Sum{1, f.Stored, f.Size}
		overhead -= f.Stored
		way := []string{f.Owner, p.Name}
		if f.Path != "." {
			way = append(way, strings.Split(f.Path, "/")...)
		}
		r.byDir.put(sum, way[1:])
		r.byOwner.put(sum, way)
	}
	for _, rest := range []Row{{OwnerOverhead, Sum{Stored: overhead}}, {OwnerHash, Sum{Stored: p.Hash}}} {
		if rest.Stored > 0 {
			r.byDir.put(rest.Sum, []string{p.Name, rest.Name})
			r.byOwner.put(rest.Sum, []string{rest.Name, p.Name})
		}
	}
}

// attribute gives each file, in the order of paths, its stored bytes.
func attribute(files []File) {
	seen := map[int64]bool{}   // blocks that have an owner
	tails := map[int64]*pack{} // fragment blocks
	var order []*pack
	for i := range files {
		if files[i].Extents != nil {
			files[i].Stored = 0
		}
		for _, x := range files[i].Extents {
			if !x.Tail {
				if !seen[x.Place] {
					seen[x.Place] = true
					files[i].Stored += x.Stored
				}
				continue
			}
			p := tails[x.Place]
			if p == nil {
				p = &pack{stored: x.Stored, owners: map[int64]int{}}
				tails[x.Place] = p
				order = append(order, p)
			}
			p.add(i, x)
		}
	}
	for _, p := range order {
		p.share(files)
	}
}

// pack is a fragment block in the making: its tails in the order of paths.
type pack struct {
	stored int64
	owners map[int64]int // by offset: index of the first file
	list   []tail
}

type tail struct {
	file  int
	plain int64
}

func (p *pack) add(file int, x Extent) {
	if _, ok := p.owners[x.Offset]; ok {
		return // the same content as a file before
	}
	p.owners[x.Offset] = file
	p.list = append(p.list, tail{file, x.Plain})
}

// share splits the block by plain bytes; what rounding leaves goes where the
// next share begins, so that the shares are the block.
func (p *pack) share(files []File) {
	var all, done int64
	for _, t := range p.list {
		all += t.plain
	}
	if all == 0 {
		return
	}
	for _, t := range p.list {
		from := p.stored * done / all
		done += t.plain
		files[t.file].Stored += p.stored*done/all - from
	}
}

// node is a directory, a file, an owner.
type node struct {
	name     string
	sum      Sum
	children []*node
	index    map[string]*node
}

// put adds a sum to what stands at the end of a way of names.
func (n *node) put(s Sum, way []string) {
	for _, name := range way {
		if n.index == nil {
			n.index = map[string]*node{}
		}
		c := n.index[name]
		if c == nil {
			c = &node{name: name}
			n.index[name] = c
			n.children = append(n.children, c)
		}
		n = c
	}
	n.sum.add(s)
}

// finish adds up and sorts by stored bytes, then by size and name.
func (n *node) finish() {
	for _, c := range n.children {
		c.finish()
		n.sum.add(c.sum)
	}
	n.index = nil
	slices.SortFunc(n.children, func(a, b *node) int {
		return cmp.Or(cmp.Compare(b.sum.Stored, a.sum.Stored), cmp.Compare(b.sum.Size, a.sum.Size), strings.Compare(a.name, b.name))
	})
}

// directories lists all that have children.
func (n *node) directories(above string) []Row {
	if len(n.children) == 0 {
		return nil
	}
	name := above + n.name
	rows := []Row{{name, n.sum}}
	for _, c := range n.children {
		rows = append(rows, c.directories(name+"/")...)
	}
	return rows
}

// comparePaths orders a directory before what is in it, and that before its
// neighbours.
func comparePaths(a, b string) int {
	return slices.Compare(strings.Split(a, "/"), strings.Split(b, "/"))
}

// Largest gives the n rows of Directories that store most (n 0: all of them), by
// path. A directory that holds nothing but another is left out for that one.
func Largest(list []Row, n int) []Row {
	var rows []Row
	for i, row := range list {
		if i+1 == len(list) || list[i+1].Sum != row.Sum || !strings.HasPrefix(list[i+1].Name, row.Name+"/") {
			rows = append(rows, row)
		}
	}
	if n <= 0 || len(rows) <= n {
		return rows
	}
	slices.SortStableFunc(rows, func(a, b Row) int { return cmp.Compare(b.Stored, a.Stored) })
	rows = rows[:n]
	slices.SortFunc(rows, func(a, b Row) int { return comparePaths(a.Name, b.Name) })
	return rows
}
