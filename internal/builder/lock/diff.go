package lock

import (
	"fmt"
	"sort"
	"strconv"
)

// Diff is what changed from one lock to another: plain data, for JSON. It is
// empty when the locks are the same but for their definition's digest.
type Diff struct {
	Encoder  *Change         `json:"encoder,omitempty"`
	Releases []ReleaseChange `json:"releases"`
	Packages []PackageChange `json:"packages"` // sorted by architecture, set, name
	Orders   []string        `json:"orders"`   // "amd64 packages": the same packages in another order
	Bytes    int64           `json:"bytes"`    // change of the sum of all packages' sizes
}

// Change is an old and a new value; one that is not there is empty.
type Change struct {
	Old string `json:"old"`
	New string `json:"new"`
}

// ReleaseChange is a signed index that came, went or moved.
type ReleaseChange struct {
	Archive string `json:"archive"`
	Suite   string `json:"suite"`
	Date    Change `json:"date"`
}

// PackageChange is a package that came (Old is nil), went (New is nil) or changed.
type PackageChange struct {
	Arch  string   `json:"arch"` // key of Lock.Arches
	Set   string   `json:"set"`  // "packages", "kernel", "boot", "tools"
	Name  string   `json:"name"`
	Old   *Package `json:"old"`
	New   *Package `json:"new"`
	Bytes int64    `json:"bytes"` // change of size
}

// DiffLocks compares two locks.
func DiffLocks(a, b *Lock) Diff {
	d := Diff{Releases: diffReleases(a.Releases, b.Releases), Packages: []PackageChange{}, Orders: []string{}}
	if a.Encoder != b.Encoder {
		d.Encoder = &Change{Old: a.Encoder, New: b.Encoder}
	}
	arches := map[string]bool{}
	for _, l := range []*Lock{a, b} {
		for name := range l.Arches {
			arches[name] = true
		}
	}
	for _, arch := range sorted(arches) {
		newSets := b.Arches[arch].sets()
		for i, old := range a.Arches[arch].sets() {
			d.addSet(arch, old.name, old.packages, newSets[i].packages)
		}
	}
	for _, p := range d.Packages {
		d.Bytes += p.Bytes
	}
	return d
}

// addSet compares two lists of packages.
func (d *Diff) addSet(arch, name string, a, b []Package) {
	old, now, keys := byKey(a), byKey(b), map[string]bool{}
	for _, list := range []map[string]*Package{old, now} {
		for key := range list {
			keys[key] = true
		}
	}
	changed := false
	for _, key := range sorted(keys) {
		c := PackageChange{Arch: arch, Set: name, Old: old[key], New: now[key]}
		if c.Old != nil && c.New != nil && *c.Old == *c.New {
			continue
		}
		if c.Old != nil {
			c.Name, c.Bytes = c.Old.Name, -c.Old.Size
		}
		if c.New != nil {
			c.Name, c.Bytes = c.New.Name, c.Bytes+c.New.Size
		}
		changed = true
		d.Packages = append(d.Packages, c)
	}
	if changed || len(a) != len(b) {
		return
	}
	for i := range a {
		if a[i] != b[i] {
			d.Orders = append(d.Orders, arch+" "+name)
			return
		}
	}
}

func byKey(list []Package) map[string]*Package {
	table := map[string]*Package{}
	for i := range list {
		p := &list[i]
		key := p.Name
		if p.Arch != "all" {
			key += ":" + p.Arch
		}
		table[key] = p
	}
	return pairAll(table)
}

// pairAll drops the architecture from names that have only one, so that a
// package that becomes, or ceases to be, "all" counts as changed.
func pairAll(table map[string]*Package) map[string]*Package {
	count := map[string]int{}
	for _, p := range table {
		count[p.Name]++
	}
	paired := map[string]*Package{}
	for key, p := range table {
		if count[p.Name] == 1 {
			key = p.Name
		}
		paired[key] = p
	}
	return paired
}

func diffReleases(a, b []Release) []ReleaseChange {
	table := map[string]*ReleaseChange{}
	digests := map[string][2]Release{}
	for side, list := range [][]Release{a, b} {
		for _, r := range list {
			key := r.Archive + " " + r.Suite
			if table[key] == nil {
				table[key] = &ReleaseChange{Archive: r.Archive, Suite: r.Suite}
			}
			pair := digests[key]
			pair[side] = r
			digests[key] = pair
			if side == 0 {
				table[key].Date.Old = r.Date
			} else {
				table[key].Date.New = r.Date
			}
		}
	}
	changes := []ReleaseChange{}
	for _, key := range sorted(table) {
		if digests[key][0].Digest != digests[key][1].Digest {
			changes = append(changes, *table[key])
		}
	}
	return changes
}

// Lines tells the difference to people, a change a line; nothing when there is
// none. Where nothing was locked before it counts what came.
func (d Diff) Lines() []string {
	var lines []string
	if d.Encoder != nil {
		lines = append(lines, "encoder "+arrow(d.Encoder.Old, d.Encoder.New))
	}
	for _, r := range d.Releases {
		lines = append(lines, mark(r.Date.Old != "", r.Date.New != "")+" release "+r.Archive+" "+r.Suite+" "+arrow(r.Date.Old, r.Date.New))
	}
	if d.fresh() {
		return append(lines, d.counts()...)
	}
	arch := ""
	for _, p := range d.Packages {
		if p.Arch != arch {
			arch = p.Arch
			lines = append(lines, arch+":")
		}
		lines = append(lines, p.line())
	}
	for _, o := range d.Orders {
		lines = append(lines, o+": the same in another order")
	}
	if len(d.Packages) > 0 {
		lines = append(lines, fmt.Sprintf("%d packages changed, %s bytes", len(d.Packages), signed(d.Bytes)))
	}
	return lines
}

// fresh tells that there was no lock before: each package came.
func (d Diff) fresh() bool { return d.Encoder != nil && d.Encoder.Old == "" }

// counts says of each set how many packages it has, and their size.
func (d Diff) counts() []string {
	type set struct{ arch, name string }
	var sets []set
	count, size := map[set]int{}, map[set]int64{}
	for _, p := range d.Packages {
		s := set{p.Arch, p.Set}
		if count[s] == 0 {
			sets = append(sets, s)
		}
		count[s]++
		size[s] += p.Bytes
	}
	var lines []string
	for _, s := range sets {
		lines = append(lines, fmt.Sprintf("%s %s: %d of %s bytes", s.arch, s.name, count[s], signed(size[s])[1:]))
	}
	return lines
}

func (p PackageChange) line() string {
	var old, now string
	if p.Old != nil {
		old = p.Old.Version
	}
	if p.New != nil {
		now = p.New.Version
	}
	what := arrow(old, now)
	if old == now {
		what = old + " with other content"
	}
	text := mark(p.Old != nil, p.New != nil) + " " + p.Name + " " + what + " (" + signed(p.Bytes) + ")"
	if p.Set != "packages" {
		text += " [" + p.Set + "]"
	}
	return text
}

// mark is "+" for what came, "-" for what went, "~" for what changed.
func mark(old, now bool) string {
	switch {
	case !old:
		return "+"
	case !now:
		return "-"
	}
	return "~"
}

func arrow(old, now string) string {
	switch {
	case old == "":
		return now
	case now == "" || old == now:
		return old
	}
	return old + " → " + now
}

// signed writes a number with its sign and a space between thousands.
func signed(n int64) string {
	if n == 0 {
		return "±0"
	}
	digits := strconv.FormatInt(n, 10)
	sign := "+"
	if n < 0 {
		sign, digits = "-", digits[1:]
	}
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + " " + digits[i:]
	}
	return sign + digits
}

func sorted[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	sort.Strings(keys)
	return keys
}
