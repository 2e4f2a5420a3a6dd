package rootfs

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"path"
	"slices"
	"sort"
	"strings"

	"ashlar/internal/builder/distro/deb/relation"
)

// interest is one line of a package's triggers member that asks to be told.
type interest struct {
	owner   *pkg
	name    string // a path with a leading slash, or a plain word
	noawait bool
}

type interestList []interest

// parseTriggers reads a triggers member: lines of a directive and a trigger
// name (deb-triggers(5)). Activations are left to activatedAlways.
func parseTriggers(p *pkg) interestList {
	var list interestList
	for _, fields := range triggerLines(p) {
		if strings.HasPrefix(fields[0], "interest") {
			list = append(list, interest{p, fields[1], fields[0] == "interest-noawait"})
		}
	}
	return list
}

// activatedAlways gives the triggers that p activates by its mere installation,
// and whether p awaits them.
func activatedAlways(p *pkg) map[string]bool {
	names := map[string]bool{}
	for _, fields := range triggerLines(p) {
		if strings.HasPrefix(fields[0], "activate") {
			names[fields[1]] = fields[0] != "activate-noawait"
		}
	}
	return names
}

func triggerLines(p *pkg) [][]string {
	var lines [][]string
	for _, line := range strings.Split(string(p.member("triggers")), "\n") {
		line, _, _ = strings.Cut(line, "#")
		if fields := strings.Fields(line); len(fields) == 2 {
			lines = append(lines, fields)
		}
	}
	return lines
}

func (i interest) indexOwner() string {
	if i.noawait {
		return i.owner.dbName() + "/noawait"
	}
	return i.owner.dbName()
}

// fileIndex is the content of triggers/File.
func (l interestList) fileIndex() []byte {
	var lines []string
	for _, i := range l {
		if strings.HasPrefix(i.name, "/") {
			lines = append(lines, fmt.Sprintf("%s %s\n", i.name, i.indexOwner()))
		}
	}
	sort.Strings(lines)
	return []byte(strings.Join(lines, ""))
}

// namedIndex is the content of one file for each named trigger.
func (l interestList) namedIndex() map[string][]byte {
	index := map[string][]byte{}
	for _, i := range l {
		if !strings.HasPrefix(i.name, "/") {
			index[i.name] = append(index[i.name], i.indexOwner()+"\n"...)
		}
	}
	return index
}

// maxTriggerRounds bounds triggers that activate triggers.
const maxTriggerRounds = 5

// triggerState is what is still to be done about triggers.
type triggerState struct {
	pending map[*pkg]map[string]bool // the names that a package is to be told of
	awaits  map[*pkg]map[*pkg]bool   // the packages that must be told before the first is taken for installed
}

func newTriggerState() triggerState {
	return triggerState{map[*pkg]map[string]bool{}, map[*pkg]map[*pkg]bool{}}
}

// activate notes a trigger for an interested package if that is installed:
// another will see for itself when it is configured.
func (c *configurer) activate(i interest, awaiting ...*pkg) {
	if c.db.state[i.owner] != stateInstalled {
		return
	}
	if c.triggers.pending[i.owner] == nil {
		c.triggers.pending[i.owner] = map[string]bool{}
	}
	c.triggers.pending[i.owner][i.name] = true
	for _, p := range awaiting {
		if i.noawait || p == i.owner {
			continue
		}
		if c.triggers.awaits[p] == nil {
			c.triggers.awaits[p] = map[*pkg]bool{}
		}
		c.triggers.awaits[p][i.owner] = true
	}
}

// activateFor notes the triggers that p activates by being unpacked: those
// that it names, and those on its paths.
func (c *configurer) activateFor(p *pkg) {
	always := activatedAlways(p)
	sorted := slices.Sorted(slices.Values(p.paths))
	for _, i := range c.interests {
		if await, named := always[i.name]; named && !await {
			c.activate(i)
		} else if named || strings.HasPrefix(i.name, "/") && anyBelow(sorted, path.Clean(i.name)) {
			c.activate(i, p)
		}
	}
}

// anyBelow reports whether one of the sorted paths is dir or lies below it.
func anyBelow(sorted []string, dir string) bool {
	at := sort.SearchStrings(sorted, dir)
	for _, name := range sorted[at:] {
		if !strings.HasPrefix(name, dir) {
			return false
		}
		if below(name, dir) {
			return true
		}
	}
	return false
}

// incorporate takes in the triggers that scripts have activated with
// dpkg-trigger.
func (c *configurer) incorporate() error {
	const name = adminDir + "/triggers/Unincorp"
	data, err := c.readOptional(name)
	if err != nil || len(data) == 0 {
		return err
	}
	activated := parseUnincorp(data)
	for _, i := range c.interests {
		names, ok := activated[i.name]
		if !ok {
			continue
		}
		var awaiting []*pkg
		for _, n := range names {
			n, _, _ = strings.Cut(n, ":") // the architecture
			awaiting = append(awaiting, c.known[n]...)
		}
		c.activate(i, awaiting...)
	}
	return c.box.WriteFile(name, nil, 0o644)
}

// process tells a package of the triggers that are due.
func (c *configurer) process(ctx context.Context, p *pkg) error {
	names := slices.Sorted(maps.Keys(c.triggers.pending[p]))
	delete(c.triggers.pending, p)
	for waiting, owners := range c.triggers.awaits {
		if delete(owners, p); len(owners) == 0 {
			delete(c.triggers.awaits, waiting)
		}
	}
	if err := c.postinst(ctx, p, "triggered", strings.Join(names, " ")); err != nil {
		return err
	}
	return c.incorporate()
}

// settle processes the triggers that are awaited by packages that p's fields
// name: until then these do not count as installed.
func (c *configurer) settle(ctx context.Context, p *pkg, fields ...string) error {
	for range maxTriggerRounds {
		owners := c.awaitedFor(p, fields)
		if len(owners) == 0 {
			return nil
		}
		for _, owner := range owners {
			if err := c.process(ctx, owner); err != nil {
				return err
			}
		}
	}
	return fmt.Errorf("configure %s: what it depends on still awaits triggers after %d rounds", p.name, maxTriggerRounds)
}

// awaitedFor gives the packages whose triggers must be processed before p's
// relations hold.
func (c *configurer) awaitedFor(p *pkg, fields []string) []*pkg {
	if len(c.triggers.awaits) == 0 {
		return nil
	}
	owners := map[*pkg]bool{}
	for _, field := range fields {
		list, err := relation.Parse(p.unpacked.Control.Get(field))
		if err != nil {
			continue // the resolver has refused such a field
		}
		for _, clause := range list {
			maps.Copy(owners, c.awaitedByAll(clause))
		}
	}
	return inOrder(c, owners)
}

// awaitedByAll gives what the first package of a clause awaits, if none of its
// packages is ready.
func (c *configurer) awaitedByAll(clause relation.Clause) map[*pkg]bool {
	var first map[*pkg]bool
	for _, r := range clause {
		for _, q := range c.known[r.Name] {
			switch awaits := c.triggers.awaits[q]; {
			case c.db.state[q] != stateInstalled:
			case len(awaits) == 0:
				return nil
			case first == nil:
				first = awaits
			}
		}
	}
	return first
}

// byName gives the packages of each name, real or provided.
func byName(packages []*pkg) map[string][]*pkg {
	known := map[string][]*pkg{}
	for _, p := range packages {
		known[p.name] = append(known[p.name], p)
		provides, err := relation.Parse(p.unpacked.Control.Get("Provides"))
		if err != nil {
			continue
		}
		for _, clause := range provides {
			known[clause[0].Name] = append(known[clause[0].Name], p)
		}
	}
	return known
}

// runTriggers tells packages of what the others brought, in the order of
// configuration, until nothing is due.
func (c *configurer) runTriggers(ctx context.Context) error {
	for range maxTriggerRounds {
		for _, p := range inOrder(c, c.triggers.pending) {
			if err := c.process(ctx, p); err != nil {
				return err
			}
		}
		if len(c.triggers.pending) == 0 {
			return nil
		}
	}
	var list []string
	for _, p := range inOrder(c, c.triggers.pending) {
		list = append(list, p.name+" ("+strings.Join(slices.Sorted(maps.Keys(c.triggers.pending[p])), " ")+")")
	}
	return fmt.Errorf("process triggers: packages still activate each other's after %d rounds: %s", maxTriggerRounds, strings.Join(list, ", "))
}

// inOrder gives the packages as they are configured.
func inOrder[V any](c *configurer, due map[*pkg]V) []*pkg {
	position := map[*pkg]int{}
	for n, p := range c.order {
		position[p] = n + 1
	}
	return slices.SortedFunc(maps.Keys(due), func(a, b *pkg) int {
		return cmp.Or(cmp.Compare(position[a], position[b]), strings.Compare(a.dbName(), b.dbName()))
	})
}

// parseUnincorp reads triggers/Unincorp: a line for each trigger, with its name
// and the packages that await it; "-" stands for one that does not.
func parseUnincorp(data []byte) map[string][]string {
	names := map[string][]string{}
	for _, line := range strings.Split(string(data), "\n") {
		if fields := strings.Fields(line); len(fields) > 0 {
			names[fields[0]] = fields[1:]
		}
	}
	return names
}
