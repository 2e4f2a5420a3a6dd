package resolve_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"ashlar/internal/builder/distro/deb/pkginfo"
	"ashlar/internal/builder/distro/deb/resolve"
)

// stanza writes a package as apt reads it.
func stanza(w *bytes.Buffer, p *pkginfo.Package) {
	for _, f := range [][2]string{
		{"Package", p.Name}, {"Version", p.Version}, {"Architecture", p.Arch}, {"Pre-Depends", p.PreDepends}, {"Depends", p.Depends},
		{"Recommends", p.Recommends}, {"Conflicts", p.Conflicts}, {"Breaks", p.Breaks}, {"Provides", p.Provides}, {"Priority", p.Priority},
		{"Multi-Arch", p.MultiArch}, {"Installed-Size", fmt.Sprint(p.InstalledSize)},
		{"Filename", fmt.Sprintf("%s_%s_%s_%d.deb", p.Name, p.Version, p.Arch, p.InstalledSize)}, {"Size", "1"},
		{"SHA256", strings.Repeat("0", 64)},
	} {
		if f[1] != "" {
			fmt.Fprintf(w, "%s: %s\n", f[0], f[1])
		}
	}
	w.WriteByte('\n')
}

// randomPin makes a pin on the packages of a prefix, and says it in apt's
// words.
func randomPin(rng *rand.Rand, prefix string) (resolve.Pin, string) {
	pin := resolve.Pin{Package: fmt.Sprintf("%sp%d", prefix, rng.IntN(10)), Priority: []int{-1, 50, 100, 500, 600, 1001}[rng.IntN(6)]}
	if rng.IntN(3) == 0 {
		pin.Package = prefix + "p*"
	}
	what := "release n=" + []string{"one", "two"}[rng.IntN(2)]
	if rng.IntN(2) == 0 {
		pin.Version = []string{"1", "2", "3*"}[rng.IntN(3)]
		what = "version " + pin.Version
	} else {
		pin.Archive = strings.TrimPrefix(what, "release n=")
	}
	return pin, fmt.Sprintf("Package: %s\nPin: %s\nPin-Priority: %d\n\n", pin.Package, what, pin.Priority)
}

// TestRandomArchivesAsApt compares with real apt on archives made for
// conflicts, in two suites, with pins and named versions. Where apt finds an
// installation it must be ours unless apt's problem resolver, which removes
// packages again by a score, had a hand in it: then we search, and our answer
// must be one that gives all that was asked for.
func TestRandomArchivesAsApt(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(3, 4))
	groups := 150
	if testing.Short() {
		groups = 40
	}
	origins := []*pkginfo.Origin{
		{Archive: "one", Suite: "one", Codename: "one", Priority: 500}, {Archive: "two", Suite: "two", Codename: "two", Priority: 500},
	}
	var indexes [2]bytes.Buffer
	bySuite := [2][]*pkginfo.Package{}
	var pins []resolve.Pin
	var preferences strings.Builder
	names := make([][]string, groups)
	for g := range groups {
		prefix := fmt.Sprintf("g%d-", g)
		for _, p := range randomArchive(rng, prefix) {
			i := rng.IntN(2)
			p.Origin = origins[i]
			if rng.IntN(3) == 0 {
				p.Recommends = fmt.Sprintf("%sp%d", prefix, rng.IntN(9))
			}
			stanza(&indexes[i], p)
			bySuite[i] = append(bySuite[i], p)
			names[g] = append(names[g], p.Name)
		}
		for range rng.IntN(3) {
			pin, words := randomPin(rng, prefix)
			pins = append(pins, pin)
			preferences.WriteString(words)
		}
	}
	all := slices.Concat(bySuite[0], bySuite[1])
	u, err := resolve.NewUniverse(all, "amd64")
	if err != nil {
		t.Fatal(err)
	}
	a := newApt(t, preferences.String(), suiteFile{"one", indexes[0].Bytes()}, suiteFile{"two", indexes[1].Bytes()})
	tally := make(map[string]int)
	for g := range groups {
		for range 3 {
			req := resolve.Request{Pins: pins, Recommends: rng.IntN(4) == 0}
			distinct := slices.Compact(slices.Sorted(slices.Values(names[g])))
			rng.Shuffle(len(distinct), func(i, j int) { distinct[i], distinct[j] = distinct[j], distinct[i] })
			for _, name := range distinct[:1+rng.IntN(3)] {
				switch rng.IntN(8) {
				case 0:
					name += []string{"=1", "=2", "=3"}[rng.IntN(3)]
				case 1:
					name += []string{"/one", "/two"}[rng.IntN(2)]
				}
				req.Packages = append(req.Packages, name)
			}
			verdict, detail := judge(u, a, req)
			tally[verdict]++
			if verdict == "different" || verdict == "invalid" || verdict == "we refuse" {
				t.Errorf("%v recommends %v: %s: %s", req.Packages, req.Recommends, verdict, detail)
			}
		}
	}
	t.Logf("%v", tally)
}

// judge compares one answer with apt's.
func judge(u *resolve.Universe, a *apt, req resolve.Request) (verdict, detail string) {
	result, err := resolve.Resolve(u, req)
	want, said := a.install(req.Recommends, req.Packages...)
	if err != nil {
		if want == nil {
			return "both refuse", ""
		}
		return "we refuse", fmt.Sprintf("%v; apt installs %q", err, want)
	}
	if err := checkInstallation(result.Packages, "amd64", true); err != nil {
		return "invalid", err.Error()
	}
	got := versions(result)
	switch {
	case slices.Equal(got, want):
		return "equal", ""
	case result.Searched && want == nil:
		return "apt gives up, search finds", ""
	case result.Searched:
		return "apt repairs, search differs", ""
	}
	return "different", fmt.Sprintf("%q, apt %q %s", got, want, said)
}
