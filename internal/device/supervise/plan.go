package supervise

import (
	"fmt"
	"slices"
	"sort"
	"strings"

	"ashlar/internal/contract/machine"
)

// Plan is the order in which services start.
type Plan struct {
	Services []machine.Service   // each once, by name
	Wait     map[string][]string // service → what must be settled before it starts (After and Requires)
	Need     map[string][]string // service → what must be ready (Requires)
	Broken   map[string]string   // service → why it cannot start at all
	Problems []string            // for the administrator
}

// MakePlan reads After and Requires; milestones names what is no service and
// may stand there too. What is wrong is reported and costs as little as can be:
// an unknown name in After is passed over, one in Requires breaks its service,
// and a cycle is opened at one edge.
func MakePlan(services []machine.Service, milestones []string) Plan {
	p := Plan{Wait: map[string][]string{}, Need: map[string][]string{}, Broken: map[string]string{}}
	known := map[string]bool{}
	for _, m := range milestones {
		known[m] = true
	}
	for _, s := range services {
		if known[s.Name] || s.Name == "" {
			p.Problems = append(p.Problems, fmt.Sprintf("service %q: the name is taken; this one is left out", s.Name))
			continue
		}
		known[s.Name] = true
		p.Services = append(p.Services, s)
	}
	sort.SliceStable(p.Services, func(i, j int) bool { return p.Services[i].Name < p.Services[j].Name })
	for _, s := range p.Services {
		p.addEdges(s, known)
	}
	p.openCycles()
	return p
}

func (p *Plan) addEdges(s machine.Service, known map[string]bool) {
	for _, name := range s.Requires {
		if !known[name] {
			p.Broken[s.Name] = fmt.Sprintf("requires %q, which is no service of this machine", name)
			p.Problems = append(p.Problems, fmt.Sprintf("service %s %s", s.Name, p.Broken[s.Name]))
			continue
		}
		p.Need[s.Name] = addName(p.Need[s.Name], name)
		p.Wait[s.Name] = addName(p.Wait[s.Name], name)
	}
	for _, name := range s.After {
		if !known[name] {
			p.Problems = append(p.Problems, fmt.Sprintf("service %s is after %q, which is no service of this machine: not waited for", s.Name, name))
			continue
		}
		p.Wait[s.Name] = addName(p.Wait[s.Name], name)
	}
}

func addName(names []string, name string) []string {
	if slices.Contains(names, name) {
		return names
	}
	return append(names, name)
}

func removeEdge(edges map[string][]string, from, to string) {
	edges[from] = slices.DeleteFunc(edges[from], func(name string) bool { return name == to })
	if len(edges[from]) == 0 {
		delete(edges, from)
	}
}

// openCycles walks depth first by name; an edge back into the path that is
// walked closes a cycle and is taken out.
func (p *Plan) openCycles() {
	const (
		onPath = 1
		done   = 2
	)
	mark := map[string]int{}
	var path []string
	var visit func(name string)
	visit = func(name string) {
		mark[name] = onPath
		path = append(path, name)
		for _, next := range slices.Clone(p.Wait[name]) {
			switch mark[next] {
			case onPath:
				p.Problems = append(p.Problems, cycleText(path, next))
				removeEdge(p.Wait, name, next)
				removeEdge(p.Need, name, next)
			case 0:
				visit(next)
			}
		}
		path = path[:len(path)-1]
		mark[name] = done
	}
	for _, s := range p.Services {
		if mark[s.Name] == 0 {
			visit(s.Name)
		}
	}
}

func cycleText(path []string, closing string) string {
	for i, name := range path {
		if name == closing {
			path = path[i:]
			break
		}
	}
	last := path[len(path)-1]
	return fmt.Sprintf("services wait in a circle: %s → %s; %s does not wait for %s",
		strings.Join(path, " → "), closing, last, closing)
}

// Dependents gives the services that wait for each service.
func (p *Plan) Dependents() map[string][]string {
	out := map[string][]string{}
	for _, s := range p.Services {
		for _, name := range p.Wait[s.Name] {
			out[name] = append(out[name], s.Name)
		}
	}
	return out
}
