package container

import (
	"cmp"
	"path"
	"slices"
	"strings"

	"ashlar/internal/contract/layout"
	"ashlar/internal/foundation/digest"
	"ashlar/internal/foundation/tree"
)

// buckets is how many layers packages are divided into. With those of the device
// program and of the definition an image has at most MaxLayers.
const (
	buckets   = 32
	MaxLayers = buckets + 2
)

// Owner is a package and what it brought.
type Owner struct {
	Name    string
	Entries []tree.Entry
}

// Group is what goes into one layer.
type Group struct {
	By    string     // what it holds, for people
	Tree  *tree.Tree // to write the paths from
	Paths []string   // parents included
}

// Split divides a tree into layers, the lowest first. Packages go into a layer
// each by a digest of their name, so a package that changes, comes or goes changes
// its own layer and the last. The program of the device is a layer too; the last has
// what the definition and maintainer scripts made, and every directory as it is.
//
// A path is a package's if the package brought it and it is as large as it was. In
// the layers of packages directories have no time: it would be that of the build.
func Split(t *tree.Tree, owners []Owner, own func(path string) bool) []Group {
	where := bucketsOf(t, owners)
	members := make([][]string, buckets+2)
	const program, rest = buckets, buckets + 1
	place := func(p string, e *tree.Entry) int {
		n, brought := where[key{p, e.Kind, e.Size}]
		switch {
		case p == layout.InitBinary:
			return program
		case !brought || own(p):
			return rest
		}
		return n
	}
	names := linkNames(t)
	for _, p := range t.Paths() {
		e := t.Get(p)
		switch {
		case e.Kind == tree.Dir:
			members[rest] = append(members[rest], p)
			continue
		case e.Kind == tree.HardLink:
			continue // with its file
		}
		all := append([]string{p}, names[p]...)
		n := place(slices.Min(all), e)
		members[n] = append(members[n], all...)
	}
	timeless := t.Clone()
	for _, p := range timeless.Paths() {
		if e := timeless.Get(p); e.Kind == tree.Dir {
			e.MTime = 0
		}
	}
	return groups(t, timeless, members, bucketNames(owners))
}

// groups leaves out what is empty and adds parents.
func groups(t, timeless *tree.Tree, members [][]string, names []string) []Group {
	var out []Group
	for n, paths := range members {
		if len(paths) == 0 {
			continue
		}
		g := Group{Tree: timeless, Paths: withParents(paths)}
		switch n {
		case buckets:
			g.By = "ashlar-init"
		case buckets + 1:
			g.By, g.Tree = "the definition and what packages made when they were configured", t
		default:
			g.By = "packages: " + names[n]
		}
		out = append(out, g)
	}
	return out
}

// key tells what a package brought from what replaced it.
type key struct {
	path string
	kind tree.Kind
	size int64
}

func bucketOf(name string) int { return int(digest.Of([]byte(name))[0]) % buckets }

func bucketsOf(t *tree.Tree, owners []Owner) map[key]int {
	where := map[key]int{}
	for _, o := range sorted(owners) {
		n := bucketOf(o.Name)
		for _, e := range o.Entries {
			name, err := t.Resolve(e.Path) // packages may write /bin for /usr/bin
			if err != nil {
				continue
			}
			k := key{name, e.Kind, e.Size}
			if e.Kind == tree.HardLink {
				inode := t.Get(name)
				if inode != nil && inode.Kind == tree.HardLink {
					inode = t.Get(inode.Target)
				}
				if inode != nil {
					k.kind, k.size = inode.Kind, inode.Size
				}
			}
			where[k] = n
		}
	}
	return where
}

func bucketNames(owners []Owner) []string {
	lists := make([][]string, buckets)
	for _, o := range sorted(owners) {
		n := bucketOf(o.Name)
		lists[n] = append(lists[n], o.Name)
	}
	names := make([]string, buckets)
	for n, list := range lists {
		names[n] = strings.Join(list, " ")
	}
	return names
}

func sorted(owners []Owner) []Owner {
	return slices.SortedFunc(slices.Values(owners), func(a, b Owner) int { return cmp.Compare(a.Name, b.Name) })
}

// linkNames gives the further names of inodes, by the path of their entry.
func linkNames(t *tree.Tree) map[string][]string {
	names := map[string][]string{}
	for _, p := range t.Paths() {
		if e := t.Get(p); e.Kind == tree.HardLink {
			names[e.Target] = append(names[e.Target], p)
		}
	}
	return names
}

func withParents(paths []string) []string {
	set := make(map[string]bool, len(paths))
	for _, p := range paths {
		for ; !set[p]; p = path.Dir(p) {
			set[p] = true
		}
	}
	out := make([]string, 0, len(set))
	for p := range set {
		out = append(out, p)
	}
	slices.Sort(out)
	return out
}
