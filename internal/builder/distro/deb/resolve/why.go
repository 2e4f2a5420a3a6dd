package resolve

import "fmt"

// why walks from the roots along the relations of what is chosen, and notes
// for each package the first relation that leads to it.
func (s *solver) why(roots []root, chosen map[nameID]verID) map[string]string {
	why := make(map[string]string, len(chosen))
	var queue []verID
	reach := func(v verID, text string) {
		name := s.u.versions[v].info.Name
		if _, seen := why[name]; !seen {
			why[name] = text
			queue = append(queue, v)
		}
	}
	for _, r := range roots {
		reach(chosen[r.name], r.why)
	}
	choose := func(n nameID) verID {
		if v, ok := chosen[n]; ok {
			return v
		}
		return none
	}
	for len(queue) > 0 {
		from := queue[0]
		queue = queue[1:]
		list := s.clauses(from)
		for i := range list {
			c := &list[i]
			if c.kind.negative() {
				continue
			}
			text := fmt.Sprintf("%s %s: %s", s.u.versions[from].info.Name, c.kind, c.text)
			for _, a := range c.alts {
				s.matching(c, a, choose, func(v verID) bool { reach(v, text); return true })
			}
		}
	}
	return why
}
