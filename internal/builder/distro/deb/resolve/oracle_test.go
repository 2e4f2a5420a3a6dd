package resolve

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestAsApt(t *testing.T) {
	x := needTrixie(t)
	a := newApt(t, "", suiteFile{"trixie", x.raw})
	var essential []string
	for _, p := range x.packages {
		if p.Essential {
			essential = append(essential, p.Name)
		}
	}
	var names []string
	for _, p := range x.packages {
		names = append(names, p.Name)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	var spent, spentApt time.Duration
	equal, total := 0, 60
	for range total {
		var set []string
		for range 1 + rng.IntN(6) {
			set = append(set, names[rng.IntN(len(names))])
		}
		start := time.Now()
		result, err := Resolve(x.universe, Request{Packages: set, Essential: true})
		spent += time.Since(start)
		start = time.Now()
		want, words := a.install(false, append(slices.Clone(essential), set...)...)
		spentApt += time.Since(start)
		switch {
		case err != nil && want == nil:
			equal++
			t.Logf("%v: both refuse: %v\n%s", set, err, words[max(0, len(words)-600):])
		case err != nil:
			t.Errorf("%v: we refuse: %v", set, err)
		case want == nil:
			t.Errorf("%v: apt refuses: %s", set, words)
		default:
			got := versions(result)
			if slices.Equal(got, want) {
				equal++
				continue
			}
			t.Errorf("%v (searched %v): +%v -%v", set, result.Searched, minus(got, want), minus(want, got))
		}
	}
	t.Logf("equal %d of %d; %v ours, %v apt", equal, total, spent, spentApt)
}

func minus(a, b []string) string {
	var out []string
	for _, x := range a {
		if !slices.Contains(b, x) {
			out = append(out, x)
		}
	}
	return strings.Join(out, " ")
}
