package definition

import (
	"fmt"
	"sort"
	"strings"
)

func (d *decoder) checkServices(def *Definition) {
	for _, name := range sortedKeys(def.Services) {
		s := def.Services[name]
		key := joinKey("services", name)
		if name == network {
			d.fail(key, `"network" is what services are after, not a service`, "choose another name")
		}
		d.checkWhatRuns(def, key, s)
		d.checkProgram(key+".exec", s.Exec)
		d.checkProgram(key+".exec_reload", s.ExecReload)
		for i, command := range s.ExecPre {
			preKey := fmt.Sprintf("%s.exec_pre[%d]", key, i)
			d.checkProgram(preKey, command)
		}
		if s.Type == "oneshot" && s.Restart == "always" {
			d.fail(key+".restart", "a oneshot cannot be restarted always", `it would never be done; leave restart out or write "on-failure"`)
		}
	}
}

// checkWhatRuns reports a service with nothing to run, or with what the
// definition's init cannot run.
func (d *decoder) checkWhatRuns(def *Definition, key string, s Service) {
	exec, unit := d.given(key+".exec"), d.given(key+".unit")
	switch {
	case d.bad["init"], d.bad[key]:
	case strings.HasPrefix(def.Init, "/"):
		d.fail(key, fmt.Sprintf("nothing would start it: init is %s", quote(def.Init)), `services need init = "ashlar" or "systemd"`)
	case unit && def.Init != "systemd":
		d.fail(key+".unit", `works with init = "systemd" only`, "declare exec instead")
	case exec && unit:
		d.fail(key+".unit", "cannot stand beside exec", "leave one of them out")
	case !exec && !unit && d.whole && def.Init == "systemd":
		d.fail(key, "has neither exec nor unit", `add unit = "nginx.service" or exec = ["/usr/sbin/nginx"]`)
	case !exec && d.whole && def.Init != "systemd":
		d.fail(key, "has no exec", `add exec = ["/usr/sbin/nginx", "-g", "daemon off;"]`)
	}
}

// checkOrder reports names in after and requires that nothing has, and
// services that wait for each other.
func (d *decoder) checkOrder(def *Definition) {
	if !d.whole {
		return
	}
	names := sortedKeys(def.Services)
	edges := map[string][]edge{}
	for _, name := range names {
		s := def.Services[name]
		key := joinKey("services", name)
		for i, other := range s.After {
			d.edge(def, edges, name, other, fmt.Sprintf("%s.after[%d]", key, i))
		}
		for i, other := range s.Requires {
			d.edge(def, edges, name, other, fmt.Sprintf("%s.requires[%d]", key, i))
		}
	}
	w := &walker{d: d, edges: edges, state: map[string]int{}}
	for _, name := range names {
		w.visit(name)
	}
}

// edge says that a service waits for another, and the key that says so.
type edge struct{ to, key string }

func (d *decoder) edge(def *Definition, edges map[string][]edge, from, to, key string) {
	_, declared := def.Services[to]
	switch {
	case d.bad[key] || to == network:
	case !declared:
		known := append(sortedKeys(def.Services), network)
		sort.Strings(known)
		d.fail(key, quote(to)+" is not a declared service", didYouMean(to, known)+"allowed: "+strings.Join(known, ", "))
	case from == to:
		d.fail(key, "a service cannot wait for itself", "")
	default:
		edges[from] = append(edges[from], edge{to: to, key: key})
	}
}

// walker looks for cycles, depth first. A cycle is reported once, at the edge
// that closes it.
type walker struct {
	d     *decoder
	edges map[string][]edge
	state map[string]int // 0 new, 1 on the path, 2 done
	path  []string
}

func (w *walker) visit(name string) {
	if w.state[name] != 0 {
		return
	}
	w.state[name] = 1
	w.path = append(w.path, name)
	for _, e := range w.edges[name] {
		if w.state[e.to] == 1 {
			start := len(w.path) - 1
			for w.path[start] != e.to {
				start--
			}
			ring := append(append([]string{}, w.path[start:]...), e.to)
			w.d.fail(e.key, "services wait for each other: "+showRing(ring), "take one of these out of after or requires")
			continue
		}
		w.visit(e.to)
	}
	w.path = w.path[:len(w.path)-1]
	w.state[name] = 2
}

// showRing joins the names of a cycle; of a long one the middle is left out.
func showRing(names []string) string {
	const limit = 10
	if len(names) > limit {
		names = append(append(append([]string{}, names[:limit/2]...), "…"), names[len(names)-limit/2:]...)
	}
	return strings.Join(names, " → ")
}
