package resolve

import (
	"testing"

	"ashlar/internal/builder/distro/deb/pkginfo"
	"ashlar/internal/builder/distro/deb/relation"
)

// FuzzUniverse checks that the quick look at relation fields meets every name
// that the parser finds, and that any archive ends in an answer.
func FuzzUniverse(f *testing.F) {
	f.Add("b | c:any (>= 1), d:native [amd64]", "v (= 2), w:any", "a:amd64")
	f.Add("b(<<1)|c<!x>,\n d", "a:amd64", "b, v")
	f.Add("a,a", "b:i386", "")
	f.Add(" \r\n", "x:native", "x:any (= 1)")
	f.Fuzz(func(t *testing.T, depends, provides, conflicts string) {
		packages := []*pkginfo.Package{
			{Name: "a", Version: "1", Arch: "amd64", Depends: depends, Conflicts: conflicts, MultiArch: "allowed"},
			{Name: "b", Version: "1", Arch: "all", Provides: provides, Recommends: depends, Breaks: conflicts},
			{Name: "c", Version: "2", Arch: "amd64", PreDepends: depends, Provides: provides, MultiArch: "allowed"},
		}
		u, err := NewUniverse(packages, "amd64")
		if err != nil {
			return
		}
		for _, field := range []string{depends, conflicts} {
			list, err := relation.Parse(field)
			if err != nil {
				continue
			}
			for _, clause := range list {
				for _, r := range clause {
					if _, ok := u.ids[u.target(r)]; !ok {
						t.Fatalf("%q: %s is not known", field, r)
					}
				}
			}
		}
		for _, name := range []string{"a", "b", "c"} {
			result, err := Resolve(u, Request{Packages: []string{name}, Recommends: true})
			if err == nil && (len(result.Packages) == 0 || result.Why[name] == "") {
				t.Fatalf("%s: %+v", name, result)
			}
		}
	})
}
