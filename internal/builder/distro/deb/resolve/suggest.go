package resolve

import (
	"cmp"
	"slices"
	"strings"
)

// suggest gives names of real packages that are spelt much like text, as
// words to end a message with.
func (u *Universe) suggest(text string) string {
	type near struct {
		name     string
		distance int
	}
	limit := 1 + len(text)/5
	var found []near
	for i := range u.names {
		n := &u.names[i]
		if len(n.versions) == 0 {
			continue
		}
		d := limit + 1
		if len(n.text)-len(text) <= limit && len(text)-len(n.text) <= limit {
			d = distance(text, n.text, limit)
		}
		if d > limit && len(text) > 3 && strings.HasPrefix(n.text, text) {
			d = limit
		}
		if d <= limit {
			found = append(found, near{n.text, d})
		}
	}
	if len(found) == 0 {
		return ""
	}
	slices.SortFunc(found, func(a, b near) int {
		return cmp.Or(cmp.Compare(a.distance, b.distance), cmp.Compare(len(a.name), len(b.name)), cmp.Compare(a.name, b.name))
	})
	found = found[:min(len(found), 4)]
	names := make([]string, len(found))
	for i := range found {
		names[i] = found[i].name
	}
	return "; did you mean " + strings.Join(names, ", ") + "?"
}

// distance counts the changes from a to b: a byte added, left out or replaced,
// or two swapped. Above the limit any number above it may be given.
func distance(a, b string, limit int) int {
	before, last := make([]int, len(b)+1), make([]int, len(b)+1)
	row := make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		least := i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
			least = min(least, row[j])
		}
		if least > limit {
			return limit + 1
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
