package rootfs

import (
	"fmt"
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

// pending gives for each package the trigger names that it still has to be
// told of: named ones in activated, and file triggers that the files of a
// package configured after it touch.
func (l interestList) pending(activated map[string]bool, touched func(i interest) bool) map[*pkg][]string {
	due := map[*pkg][]string{}
	for _, i := range l {
		if activated[i.name] || strings.HasPrefix(i.name, "/") && touched(i) {
			due[i.owner] = append(due[i.owner], i.name)
		}
	}
	for _, names := range due {
		sort.Strings(names)
	}
	return due
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
