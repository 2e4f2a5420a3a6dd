package kmod

import (
	"fmt"
	"slices"
	"strings"
)

// Graph is a kernel's modules with the dependencies that their symbols make.
type Graph struct {
	nodes  []*node // in depmod's order
	byName map[string]*node
	owners map[string]*node // of exported symbols
}

type node struct {
	*Module
	priority int     // place in depmod's order, which is that of modules.order
	needs    []*node // directly, in the order of the symbols that are needed
	users    int     // how many need it directly
	rank     int     // place in the order that has users before what they use
}

// NewGraph joins modules. Order is the file modules.order of their kernel: the
// uncompressed paths, a line each; modules that it does not name come after
// those it does, by path. Of modules with one name that below updates/ counts,
// else the first by path.
func NewGraph(modules []*Module, order []byte) (*Graph, error) {
	g := &Graph{byName: map[string]*node{}, owners: map[string]*node{}}
	g.nodes = sortNodes(choose(modules), order)
	for n, m := range g.nodes {
		m.priority = n
		g.byName[m.Name] = m
		for _, symbol := range m.Exports {
			g.owners[symbol] = m // the last one has it
		}
	}
	for _, m := range g.nodes {
		g.connect(m)
	}
	return g, g.rank()
}

// choose keeps one module of each name, by path.
func choose(modules []*Module) []*Module {
	sorted := slices.SortedFunc(slices.Values(modules), func(a, b *Module) int {
		return strings.Compare(a.Path, b.Path)
	})
	at := map[string]int{}
	var chosen []*Module
	for _, m := range sorted {
		n, there := at[m.Name]
		switch {
		case !there:
			at[m.Name] = len(chosen)
			chosen = append(chosen, m)
		case isUpdate(m) && !isUpdate(chosen[n]):
			chosen[n] = m
		}
	}
	return chosen
}

func isUpdate(m *Module) bool { return strings.HasPrefix(m.Path, "updates/") }

func sortNodes(modules []*Module, order []byte) []*node {
	place := map[string]int{}
	lines := strings.Split(string(order), "\n")
	for n, line := range lines {
		place[line] = n
	}
	nodes := make([]*node, len(modules))
	for n, m := range modules {
		nodes[n] = &node{Module: m}
		if at, ok := place[Uncompressed(m.Path)]; ok {
			nodes[n].priority = at
		} else {
			nodes[n].priority = len(lines) + n
		}
	}
	slices.SortFunc(nodes, func(a, b *node) int { return a.priority - b.priority })
	return nodes
}

// connect finds the modules that export what one needs.
func (g *Graph) connect(m *node) {
	for _, symbol := range m.Needs {
		symbol = strings.TrimPrefix(symbol, ".") // functions on 64-bit PowerPC
		owner := g.owners[symbol]
		if owner == nil || slices.Contains(m.needs, owner) {
			continue // the kernel has it
		}
		m.needs = append(m.needs, owner)
		owner.users++
	}
}

// rank orders all so that a module comes before those that it needs. Among the
// modules whose users are all placed the one found last is next, as with
// depmod, since modules.dep shows the order.
func (g *Graph) rank() error {
	users := make([]int, len(g.nodes))
	var free []*node
	for n, m := range g.nodes {
		if users[n] = m.users; users[n] == 0 {
			free = append(free, m)
		}
	}
	placed := 0
	for len(free) > 0 {
		m := free[len(free)-1]
		free = free[:len(free)-1]
		m.rank = placed
		placed++
		for _, other := range m.needs {
			if users[other.priority]--; users[other.priority] == 0 {
				free = append(free, other)
			}
		}
	}
	if placed == len(g.nodes) {
		return nil
	}
	var names []string
	for n, m := range g.nodes {
		if users[n] > 0 {
			names = append(names, m.Name)
		}
	}
	return fmt.Errorf("sort modules: %s need each other", strings.Join(names, ", "))
}

// all gives what a module needs, directly or not: users before what they use.
func (m *node) all() []*node {
	seen := map[*node]bool{}
	var found []*node
	var add func(*node)
	add = func(m *node) {
		for _, other := range m.needs {
			if !seen[other] {
				seen[other] = true
				found = append(found, other)
				add(other)
			}
		}
	}
	add(m)
	slices.SortFunc(found, func(a, b *node) int { return a.rank - b.rank })
	return found
}

// Depends gives the paths of all modules that must be loaded before the named
// one, the last first, as modules.dep has them; ok tells whether there is such
// a module.
func (g *Graph) Depends(name string) (paths []string, ok bool) {
	m := g.byName[Normalise(name)]
	if m == nil {
		return nil, false
	}
	for _, other := range m.all() {
		paths = append(paths, other.Path)
	}
	return paths, true
}
