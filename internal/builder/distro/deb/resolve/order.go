package resolve

import (
	"cmp"
	"slices"

	"ashlar/internal/builder/distro/deb/pkginfo"
)

// node is a chosen package in the graph of what must be configured first.
type node struct {
	ver   verID
	rank  int   // 0 base-passwd, 1 base-files, 2 essential, 3 other
	pre   []int // indexes of what Pre-Depends need
	needs []int // indexes of what Depends need, pre included

	index, low int // of Tarjan's algorithm, 0: not visited
	onStack    bool
}

// order gives an order of configuration. It is a depth-first walk from what
// should come early, base-passwd, base-files and essential packages, over
// strongly connected components, so that everything comes after what it needs.
func (s *solver) order(chosen map[nameID]verID) []*pkginfo.Package {
	g := &graph{s: s, nodes: s.graph(chosen)}
	for i := range g.nodes {
		if g.nodes[i].index == 0 {
			g.visit(i)
		}
	}
	return g.out
}

// graph makes nodes sorted by rank and name, and their edges. Of several
// packages that satisfy a clause the first counts.
func (s *solver) graph(chosen map[nameID]verID) []node {
	nodes := make([]node, 0, len(chosen))
	for _, v := range chosen {
		nodes = append(nodes, node{ver: v, rank: rank(s.u.versions[v].info)})
	}
	slices.SortFunc(nodes, func(a, b node) int {
		return cmp.Or(cmp.Compare(a.rank, b.rank), s.u.compareNames(s.u.versions[a.ver].name, s.u.versions[b.ver].name))
	})
	at := make(map[verID]int, len(nodes))
	for i := range nodes {
		at[nodes[i].ver] = i
	}
	choose := func(n nameID) verID {
		if v, ok := chosen[n]; ok {
			return v
		}
		return none
	}
	for i := range nodes {
		list := s.clauses(nodes[i].ver)
		for k := range list {
			if c := &list[k]; c.kind <= depends {
				nodes[i].edge(c.kind, s.satisfier(c, choose, at))
			}
		}
	}
	return nodes
}

// satisfier picks, of what satisfies a clause, the first alternative's
// earliest node; -1 if there is none.
func (s *solver) satisfier(c *clause, choose func(nameID) verID, at map[verID]int) int {
	for _, a := range c.alts {
		best := -1
		s.matching(c, a, choose, func(v verID) bool {
			if best < 0 || at[v] < best {
				best = at[v]
			}
			return true
		})
		if best >= 0 {
			return best
		}
	}
	return -1
}

func (n *node) edge(k kind, to int) {
	if to < 0 {
		return
	}
	n.needs = append(n.needs, to)
	if k == preDepends {
		n.pre = append(n.pre, to)
	}
}

func rank(p *pkginfo.Package) int {
	switch {
	case p.Name == "base-passwd":
		return 0
	case p.Name == "base-files":
		return 1
	case p.Essential:
		return 2
	}
	return 3
}

// graph is Tarjan's algorithm, which closes components in the order wanted:
// what is needed first.
type graph struct {
	s     *solver
	nodes []node
	stack []int
	count int
	out   []*pkginfo.Package
}

func (g *graph) visit(i int) {
	g.count++
	n := &g.nodes[i]
	n.index, n.low, n.onStack = g.count, g.count, true
	g.stack = append(g.stack, i)
	for _, to := range n.needs {
		if g.nodes[to].index == 0 {
			g.visit(to)
			n.low = min(n.low, g.nodes[to].low)
		} else if g.nodes[to].onStack {
			n.low = min(n.low, g.nodes[to].index)
		}
	}
	if n.low != n.index {
		return
	}
	start := slices.Index(g.stack, i)
	members := slices.Clone(g.stack[start:])
	g.stack = g.stack[:start]
	for _, m := range members {
		g.nodes[m].onStack = false
	}
	g.emit(members)
}

// emit orders a cycle: again and again the package whose Pre-Depends are all
// there and that lacks fewest of its Depends; rank and name decide ties.
func (g *graph) emit(members []int) {
	slices.Sort(members)
	lacking := func(needs []int) int {
		count := 0
		for _, m := range members {
			if slices.Contains(needs, m) {
				count++
			}
		}
		return count
	}
	for len(members) > 0 {
		best := slices.MinFunc(members, func(a, b int) int {
			x, y := &g.nodes[a], &g.nodes[b]
			return cmp.Or(cmp.Compare(min(lacking(x.pre), 1), min(lacking(y.pre), 1)),
				cmp.Compare(lacking(x.needs), lacking(y.needs)), cmp.Compare(a, b))
		})
		members = slices.DeleteFunc(members, func(m int) bool { return m == best })
		g.out = append(g.out, g.s.u.versions[g.nodes[best].ver].info)
	}
}
