package supervise

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ashlar/internal/contract/machine"
)

func edges(name, after, requires string) machine.Service {
	return machine.Service{Name: name, After: strings.Fields(after), Requires: strings.Fields(requires)}
}

func TestMakePlan(t *testing.T) {
	p := MakePlan([]machine.Service{
		edges("web", "network db", "db"),
		edges("db", "", ""),
		edges("a", "b", ""),
		edges("b", "", "c"),
		edges("c", "a", ""),
		edges("lost", "gone", "never"),
		edges("db", "", "web"),
		edges("self", "self", ""),
	}, []string{"network"})
	wantWait := map[string][]string{"web": {"db", "network"}, "a": {"b"}, "b": {"c"}}
	if diff := cmp.Diff(wantWait, p.Wait); diff != "" {
		t.Errorf("waits (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string][]string{"web": {"db"}, "b": {"c"}}, p.Need); diff != "" {
		t.Errorf("needs (-want +got):\n%s", diff)
	}
	if p.Broken["lost"] == "" || len(p.Broken) != 1 {
		t.Errorf("broken: %v, want lost alone", p.Broken)
	}
	all := strings.Join(p.Problems, "\n")
	for _, want := range []string{"a → b → c → a", "self → self", `"never"`, `"gone"`, `"db"`} {
		if !strings.Contains(all, want) {
			t.Errorf("problems do not tell of %s:\n%s", want, all)
		}
	}
	if len(p.Services) != 7 {
		t.Errorf("%d services, want 7", len(p.Services))
	}
}

// FuzzPlan: whatever the edges are, what is left has no cycle.
func FuzzPlan(f *testing.F) {
	f.Add([]byte{0, 1, 1, 2, 2, 0})
	f.Add([]byte{0, 0})
	f.Add([]byte{3, 1, 1, 3, 9, 4})
	f.Fuzz(func(t *testing.T, pairs []byte) {
		const n = 8
		services := make([]machine.Service, n)
		for i := range services {
			services[i].Name = string(rune('a' + i))
		}
		for i := 0; i+1 < len(pairs); i += 2 {
			s := &services[pairs[i]%n]
			other := string(rune('a' + pairs[i+1]%(n+1))) // one name is unknown
			if pairs[i] >= 128 {
				s.Requires = append(s.Requires, other)
			} else {
				s.After = append(s.After, other)
			}
		}
		p := MakePlan(services, nil)
		placed := map[string]bool{}
		for range services {
			for _, s := range p.Services {
				ready := true
				for _, w := range p.Wait[s.Name] {
					ready = ready && placed[w]
				}
				placed[s.Name] = placed[s.Name] || ready
			}
		}
		if len(placed) != n {
			t.Fatalf("%d of %d services can start", len(placed), n)
		}
		for name, ok := range placed {
			if !ok {
				t.Errorf("%s never starts: waits for %v", name, p.Wait[name])
			}
		}
	})
}
