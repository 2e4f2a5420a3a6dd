package rootfs

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"ashlar/internal/builder/distro/deb/pkginfo"
	"ashlar/internal/builder/distro/deb/resolve"
)

// orderSet is packages whose postinsts note their turn.
type orderSet struct {
	name   string
	fields map[string]string // relations by package
	before [][2]string       // what must be configured before what
}

var orderSets = []orderSet{
	{"chain", map[string]string{"oa": "Depends: ob\n", "ob": "Depends: oc\n", "oc": ""}, [][2]string{{"oc", "ob"}, {"ob", "oa"}}},
	{"diamond", map[string]string{"oa": "Depends: ob, oc\n", "ob": "Depends: od\n", "oc": "Depends: od\n", "od": ""}, [][2]string{{"od", "ob"}, {"od", "oc"}, {"ob", "oa"}, {"oc", "oa"}}},
	{"alternatives and virtual", map[string]string{"oa": "Depends: absent | ov\n", "ob": "Provides: ov\n"}, [][2]string{{"ob", "oa"}}},
	{"cycle of two", map[string]string{"oa": "Depends: ob\n", "ob": "Depends: oa\n", "oc": "Depends: oa\n"}, [][2]string{{"oa", "oc"}}},
	{"two cycles", map[string]string{"oa": "Depends: ob\n", "ob": "Depends: oa, oc\n", "oc": "Depends: od\n", "od": "Depends: oc\n"}, [][2]string{{"oc", "oa"}, {"od", "ob"}}},
}

// run resolves the set, and looks at the order in which its scripts run, and
// at what dpkg does when it gets the packages all at once.
func (set orderSet) run(t *testing.T, b *base) {
	var infos []*pkginfo.Package
	byName := map[string]testDeb{}
	for _, name := range slices.Sorted(maps.Keys(set.fields)) {
		byName[name] = testDeb{name: name, fields: set.fields[name], members: map[string]string{"postinst": script("echo " + name + " >> /opt/order")}}
		infos = append(infos, infoOf(name, set.fields[name]))
	}
	u, err := resolve.NewUniverse(infos, arch)
	if err != nil {
		t.Fatal(err)
	}
	r, err := resolve.Resolve(u, resolve.Request{Packages: slices.Sorted(maps.Keys(set.fields))})
	if err != nil {
		t.Fatal(err)
	}
	var debs []testDeb
	for _, p := range r.Packages {
		debs = append(debs, byName[p.Name])
	}
	result, said, err := b.ours(t, debs)
	if err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	upper, _, out, err := b.theirs(t, debs, true, "")
	if err != nil {
		t.Fatalf("dpkg: %v\n%s", err, out)
	}
	checkOrder(t, "ours", textOf(t, result, "opt/order"), set.before)
	checkOrder(t, "dpkg's", string(upper["opt/order"].content), set.before)
}

func infoOf(name, fields string) *pkginfo.Package {
	p := &pkginfo.Package{Name: name, Version: "1", Arch: "all", Priority: "optional", Origin: &pkginfo.Origin{Archive: "test", Suite: "test", Priority: 500}}
	for _, line := range strings.Split(fields, "\n") {
		field, value, _ := strings.Cut(line, ": ")
		switch field {
		case "Depends":
			p.Depends = value
		case "Pre-Depends":
			p.PreDepends = value
		case "Provides":
			p.Provides = value
		}
	}
	return p
}

// checkOrder wants each package once, and each pair in its order.
func checkOrder(t *testing.T, whose, log string, before [][2]string) {
	t.Helper()
	turns := strings.Fields(log)
	for n, name := range turns {
		if slices.Index(turns, name) != n {
			t.Errorf("%s: %q: %s is configured twice", whose, turns, name)
		}
	}
	for _, pair := range before {
		first, second := slices.Index(turns, pair[0]), slices.Index(turns, pair[1])
		if first < 0 || second < 0 || first > second {
			t.Errorf("%s: %q: want %s before %s", whose, turns, pair[0], pair[1])
		}
	}
}
