// Package glob matches slash-separated paths against shell patterns in which
// a "**" element stands for any number of elements, none included.
package glob

import (
	"fmt"
	"path"
	"strings"
)

// Pattern is a checked pattern.
type Pattern struct{ elements []string }

// Compile checks a pattern. A leading slash does not count: patterns and paths
// are relative to the same root. Elements are those of path.Match, or "**".
func Compile(pattern string) (Pattern, error) {
	elements := strings.Split(strings.Trim(pattern, "/"), "/")
	for _, e := range elements {
		if _, err := path.Match(e, ""); err != nil {
			return Pattern{}, fmt.Errorf("compile pattern %q: %w", pattern, err)
		}
	}
	return Pattern{elements}, nil
}

// Match reports whether the pattern matches the whole path.
func (p Pattern) Match(name string) bool {
	return match(p.elements, strings.Split(strings.Trim(name, "/"), "/"))
}

// match tries a "**" at each length; only the last one met needs to be tried
// again, so the work is bounded by len(elements) × len(parts).
func match(elements, parts []string) bool {
	e, n := 0, 0
	star, mark := -1, 0
	for n < len(parts) {
		switch {
		case e < len(elements) && elements[e] == "**":
			star, mark = e, n
			e++
		case e < len(elements) && matchElement(elements[e], parts[n]):
			e++
			n++
		case star >= 0:
			mark++
			e, n = star+1, mark
		default:
			return false
		}
	}
	for e < len(elements) && elements[e] == "**" {
		e++
	}
	return e == len(elements)
}

func matchElement(pattern, part string) bool {
	ok, err := path.Match(pattern, part)
	return err == nil && ok
}
