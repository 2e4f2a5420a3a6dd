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
)

// interest is one line of a package's triggers member that asks to be told.
type interest struct {
	owner   *pkg
	name    string // a path with a leading slash, or a plain word
	noawait bool
}

type interestList []interest

// parseTriggers reads a triggers member: lines of a directive and a trigger
// name (deb-triggers(5)). Activations are left to triggersActivatedBy.
func parseTriggers(p *pkg) interestList {
	var list interestList
	for _, fields := range triggerLines(p) {
		if strings.HasPrefix(fields[0], "interest") {
			list = append(list, interest{p, fields[1], fields[0] == "interest-noawait"})
		}
	}
	return list
}

// activatedAlways gives the triggers that p activates by its mere installation.
func activatedAlways(p *pkg) []string {
	var names []string
	for _, fields := range triggerLines(p) {
		if strings.HasPrefix(fields[0], "activate") {
			names = append(names, fields[1])
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

// pendingTriggers are, for each package, the names that it is to be told of.
type pendingTriggers map[*pkg]map[string]bool

// activate notes a trigger for the installed packages that the interest list
// says want it. Others will see for themselves when they are configured.
func (c *configurer) activate(wanted func(i interest) bool) {
	for _, i := range c.interests {
		if c.db.state[i.owner] != stateInstalled || !wanted(i) {
			continue
		}
		if c.pending[i.owner] == nil {
			c.pending[i.owner] = map[string]bool{}
		}
		c.pending[i.owner][i.name] = true
	}
}

// activateFor notes the triggers that p activates by being unpacked: those
// that it names, and those on its paths.
func (c *configurer) activateFor(p *pkg) {
	always := activatedAlways(p)
	sorted := slices.Sorted(slices.Values(p.paths))
	c.activate(func(i interest) bool {
		if !strings.HasPrefix(i.name, "/") {
			return slices.Contains(always, i.name)
		}
		return slices.Contains(always, i.name) || anyBelow(sorted, path.Clean(i.name))
	})
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
	names := parseUnincorp(data)
	c.activate(func(i interest) bool { return names[i.name] })
	return c.box.WriteFile(name, nil, 0o644)
}

// runTriggers tells packages of what the others brought, in the order of
// configuration, until nothing is due.
func (c *configurer) runTriggers(ctx context.Context) error {
	for range maxTriggerRounds {
		due := c.pending
		c.pending = pendingTriggers{}
		if len(due) == 0 {
			return nil
		}
		for _, p := range c.inOrder(due) {
			names := slices.Sorted(maps.Keys(due[p]))
			if err := c.postinst(ctx, p, "triggered", strings.Join(names, " ")); err != nil {
				return err
			}
		}
		if err := c.incorporate(); err != nil {
			return err
		}
	}
	if len(c.pending) == 0 {
		return nil
	}
	var list []string
	for _, p := range c.inOrder(c.pending) {
		list = append(list, p.name+" ("+strings.Join(slices.Sorted(maps.Keys(c.pending[p])), " ")+")")
	}
	return fmt.Errorf("process triggers: packages still activate each other's after %d rounds: %s", maxTriggerRounds, strings.Join(list, ", "))
}

// inOrder gives the packages that triggers are due for as they were configured.
func (c *configurer) inOrder(due pendingTriggers) []*pkg {
	position := map[*pkg]int{}
	for n, p := range c.order {
		position[p] = n + 1
	}
	return slices.SortedFunc(maps.Keys(due), func(a, b *pkg) int {
		return cmp.Or(cmp.Compare(position[a], position[b]), strings.Compare(a.dbName(), b.dbName()))
	})
}

// parseUnincorp reads triggers/Unincorp: a trigger name and the packages that
// await it, a line each.
func parseUnincorp(data []byte) map[string]bool {
	names := map[string]bool{}
	for _, line := range strings.Split(string(data), "\n") {
		if fields := strings.Fields(line); len(fields) > 0 {
			names[fields[0]] = true
		}
	}
	return names
}
