package definition

import (
	"fmt"
	"reflect"
	"regexp"
	"strings"
)

// kind reports a value of the wrong type and says how the right one is written.
func (d *decoder) kind(n *node, f field, path string, want nodeKind) bool {
	if n.kind == want {
		return true
	}
	d.refuse(n.at, f, path, fmt.Sprintf("is %s, want %s", n.describe(), describeType(f)), mismatchHint(n, f, path))
	return false
}

// indices are the numbers in a path, which a table's header does not have.
var indices = regexp.MustCompile(`\[[0-9]+\]`)

func (n *node) describe() string {
	switch n.kind {
	case tableNode:
		return "a table"
	case listNode:
		if n.origin == byHeader {
			return "a list of tables"
		}
		return "a list"
	case stringNode:
		return "a string"
	case integerNode:
		return "an integer"
	case floatNode:
		return "a number with a fraction"
	case boolNode:
		return "a boolean"
	case dateNode:
		return "a date or time"
	}
	return "no value"
}

// describeType names the type of a field for people: "a list of strings".
func describeType(f field) string {
	switch t := f.typ; t.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.Int:
		return "an integer"
	case reflect.Pointer:
		inner := f
		inner.typ = t.Elem()
		return describeType(inner)
	case reflect.Slice:
		switch t.Elem().Kind() {
		case reflect.Struct:
			return "a list of tables"
		case reflect.Slice:
			return "a list of lists of strings"
		}
		return "a list of strings"
	case reflect.Map:
		if t.Elem().Kind() == reflect.Struct {
			return "a table of tables"
		}
		return "a table of strings"
	case reflect.Struct:
		return "a table"
	}
	return "a string"
}

func mismatchHint(n *node, f field, path string) string {
	header := indices.ReplaceAllString(path, "")
	t := f.typ
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	scalar := n.kind != tableNode && n.kind != listNode
	switch {
	case t.Kind() == reflect.String && scalar:
		return fmt.Sprintf("put it in quotes: %q", n.text)
	case t.Kind() == reflect.Bool && n.kind == stringNode && (n.text == "true" || n.text == "false"):
		return "write " + n.text + " without quotes"
	case t.Kind() == reflect.Int && n.kind == stringNode:
		return "write the number without quotes"
	case t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Struct:
		return fmt.Sprintf("begin each element with [[%s]]", header)
	case t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Slice:
		return `write [["/bin/program", "argument"]]`
	case t.Kind() == reflect.Slice && n.kind == stringNode:
		return "write [" + quoteWords(n.text) + "]"
	case t.Kind() == reflect.Map && t.Elem().Kind() == reflect.Struct:
		return fmt.Sprintf("begin each element with [%s.NAME]", header)
	case t.Kind() == reflect.Map, t.Kind() == reflect.Struct:
		return fmt.Sprintf("begin it with [%s]", header)
	}
	return ""
}

// quoteWords turns "a b" into `"a", "b"`: what somebody who wrote a string where
// a list is wanted most likely means.
func quoteWords(text string) string {
	const limit = 6
	words := strings.Fields(text)
	if len(words) == 0 || len(words) > limit {
		return quote(text)
	}
	for i, word := range words {
		words[i] = quote(word)
	}
	return strings.Join(words, ", ")
}

// didYouMean gives `did you mean "x"? ` for the candidate nearest to name, or
// nothing when none is near.
func didYouMean(name string, candidates []string) string {
	best, distance := "", min(1+len(name)/4, len(name)-1)
	for _, c := range candidates {
		if n := editDistance(strings.ToLower(name), c); n <= distance && (best == "" || n < distance) {
			best, distance = c, n
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf("did you mean %q? ", best)
}

// editDistance counts the insertions, deletions, replacements and swaps of
// neighbours that turn a into b. Long words are not compared.
func editDistance(a, b string) int {
	const limit = 64
	if len(a) > limit || len(b) > limit {
		return limit
	}
	var before, last, row [limit + 1]int
	for j := range len(b) + 1 {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last = last, row
	}
	return last[len(b)]
}
