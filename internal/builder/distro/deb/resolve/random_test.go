package resolve_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	gophersat "github.com/crillab/gophersat/solver"

	"ashlar/internal/builder/distro/deb/pkginfo"
	"ashlar/internal/builder/distro/deb/relation"
	"ashlar/internal/builder/distro/deb/resolve"
	"ashlar/internal/builder/distro/deb/version"
)

// randomArchive makes a small archive in which many requests conflict. All
// names start with the prefix.
func randomArchive(rng *rand.Rand, prefix string) []*pkginfo.Package {
	count := 4 + rng.IntN(16)
	pick := func() string {
		if rng.IntN(6) == 0 {
			return fmt.Sprintf("%svirtual%d", prefix, rng.IntN(3))
		}
		return fmt.Sprintf("%sp%d", prefix, rng.IntN(count))
	}
	atom := func() string {
		text := pick()
		switch rng.IntN(16) {
		case 0, 1:
			text += fmt.Sprintf(" (%s %d)", []string{"<<", "<=", "=", ">=", ">>"}[rng.IntN(5)], 1+rng.IntN(3))
		case 2:
			text += ":any"
		}
		return text
	}
	list := func(max, alternatives int) string {
		var clauses []string
		for range rng.IntN(max + 1) {
			var alts []string
			for range 1 + rng.IntN(alternatives) {
				alts = append(alts, atom())
			}
			clauses = append(clauses, strings.Join(alts, " | "))
		}
		return strings.Join(clauses, ", ")
	}
	sometimes := func() string {
		if rng.IntN(5) > 0 {
			return ""
		}
		return atom()
	}
	// Pre-Depends have no cycles in an archive that works.
	before := func(i int) string {
		if i == 0 || rng.IntN(3) > 0 {
			return ""
		}
		return fmt.Sprintf("%sp%d", prefix, rng.IntN(i))
	}
	var out []*pkginfo.Package
	for i := range count {
		for v := range 1 + rng.IntN(2) {
			p := &pkginfo.Package{
				Name: fmt.Sprintf("%sp%d", prefix, i), Version: fmt.Sprint(1 + v + rng.IntN(2)), Arch: []string{"amd64", "all"}[rng.IntN(2)],
				Depends: list(2, 3), PreDepends: before(i), Conflicts: sometimes(), Breaks: sometimes(),
				Priority: []string{"optional", "extra", "standard"}[rng.IntN(3)], MultiArch: []string{"", "allowed", "foreign"}[rng.IntN(3)],
				InstalledSize: int64(len(out)),
			}
			if rng.IntN(3) == 0 {
				p.Provides = fmt.Sprintf("%svirtual%d", prefix, rng.IntN(3))
				if rng.IntN(2) == 0 {
					p.Provides += " (= 2)"
				}
			}
			out = append(out, p)
		}
	}
	return out
}

// satisfiable asks gophersat, with a formula made from the control fields of
// the highest version of each package.
func satisfiable(packages []*pkginfo.Package, names []string) bool {
	best := make(map[string]*pkginfo.Package)
	for _, p := range packages {
		if o := best[p.Name]; o == nil || version.Compare(o.Version, p.Version) < 0 {
			best[p.Name] = p
		}
	}
	vars := make(map[string]int)
	var all []*pkginfo.Package
	for _, p := range packages {
		if best[p.Name] == p {
			all = append(all, p)
			vars[p.Name] = len(all)
		}
	}
	var cnf [][]int
	for _, name := range names {
		cnf = append(cnf, []int{vars[name]})
	}
	in := installation{arch: "amd64"}
	for _, p := range all {
		if err := in.add(p); err != nil {
			panic(err)
		}
	}
	for _, p := range all {
		cnf = append(cnf, []int{vars[p.Name], -vars[p.Name]})
		positive, _ := relation.Parse(strings.TrimLeft(p.PreDepends+","+p.Depends, ","))
		for _, clause := range positive {
			lits := []int{-vars[p.Name]}
			for _, r := range clause {
				for _, o := range in.meeting(r) {
					lits = append(lits, vars[o.Name])
				}
			}
			cnf = append(cnf, lits)
		}
		negative, _ := relation.Parse(strings.TrimLeft(p.Conflicts+","+p.Breaks, ","))
		for _, clause := range negative {
			for _, o := range in.meeting(clause[0]) {
				if o != p {
					cnf = append(cnf, []int{-vars[p.Name], -vars[o.Name]})
				}
			}
		}
	}
	return gophersat.New(gophersat.ParseSlice(cnf)).Solve() == gophersat.Sat
}

// TestSatisfiableIffGophersatSaysSo also judges every result, and that every
// refusal explains itself.
func TestSatisfiableIffGophersatSaysSo(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 7))
	rounds := 20000
	if testing.Short() {
		rounds = 3000
	}
	solved, searched, refused := 0, 0, 0
	for round := range rounds {
		packages := randomArchive(rng, "")
		u, err := resolve.NewUniverse(packages, "amd64")
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for range 1 + rng.IntN(4) {
			names = append(names, packages[rng.IntN(len(packages))].Name)
		}
		want := satisfiable(packages, names)
		result, err := resolve.Resolve(u, resolve.Request{Packages: names})
		var explained *resolve.Error
		switch {
		case (err == nil) != want:
			t.Fatalf("round %d: %v satisfiable: %v, we say %v\n%s", round, names, want, err, dump(packages))
		case err == nil:
			solved++
			if result.Searched {
				searched++
			}
			if err := checkResult(result, names); err != nil {
				t.Fatalf("round %d: %v: %v\n%s", round, names, err, dump(packages))
			}
		case !errors.As(err, &explained) || len(explained.Lines) < 2:
			t.Fatalf("round %d: %v: poor explanation %v", round, names, err)
		default:
			refused++
		}
	}
	t.Logf("%d solved, %d of them by search, %d refused", solved, searched, refused)
	if searched < rounds/200 || refused < rounds/100 {
		t.Error("the archives are too easy to prove anything")
	}
}

func checkResult(r *resolve.Result, names []string) error {
	installed := make(map[string]bool)
	for _, p := range r.Packages {
		installed[p.Name] = true
		if r.Why[p.Name] == "" {
			return fmt.Errorf("nothing says why %s is installed", p.Name)
		}
	}
	for _, name := range names {
		if !installed[name] {
			return fmt.Errorf("%s is not installed", name)
		}
	}
	return checkInstallation(r.Packages, "amd64", true)
}

func dump(packages []*pkginfo.Package) string {
	var b strings.Builder
	for _, p := range packages {
		fmt.Fprintf(&b, "%s %s MA:%s prio:%s Depends: %s; Conflicts: %s; Breaks: %s; Provides: %s\n",
			p.Name, p.Version, p.MultiArch, p.Priority, p.Depends, p.Conflicts, p.Breaks, p.Provides)
	}
	return b.String()
}
