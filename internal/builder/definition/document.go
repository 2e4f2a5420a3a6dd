package definition

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2/unstable"
)

// nodeKind is what a TOML value is.
type nodeKind uint8

const (
	tableNode nodeKind = iota + 1
	listNode
	stringNode
	integerNode
	floatNode
	boolNode
	dateNode
)

// origin says how a table or list came to be, which decides who may add to it.
type origin uint8

const (
	byPath   origin = iota // [a.b] makes a
	byHeader               // [a], [[a]]
	byDots                 // a.b = 1 makes a
	byValue                // {…}, […]: closed
)

// maxDepth bounds the nesting of values and the parts of a key; the schema
// needs five.
const maxDepth = 16

// node is a TOML value with its place in the source.
type node struct {
	kind   nodeKind
	origin origin
	key    span // of the key that names it
	at     span // of the value
	text   string
	names  []string // keys of a table in the order written
	fields map[string]*node
	items  []*node
}

func newTable(o origin, key span) *node {
	return &node{kind: tableNode, origin: o, key: key, at: key, fields: map[string]*node{}}
}

func (n *node) add(name string, child *node) {
	n.names = append(n.names, name)
	n.fields[name] = child
}

// documentReader builds the tree of nodes. go-toml's parser gives one
// expression after the other; which tables they belong to, and that nothing is
// defined twice, is decided here so that every error can be reported.
type documentReader struct {
	src     *source
	base    int // offset of the parser's input in the source
	parser  unstable.Parser
	root    *node
	current *node  // table that keys belong to
	prefix  string // its path, for messages
	depth   int    // of the value being read
}

// readDocument reads the whole source. It reports errors of syntax, goes on
// behind them where the next key or table begins, and says whether there were none.
func readDocument(src *source) (root *node, whole bool) {
	r := &documentReader{src: src, root: newTable(byHeader, span{})}
	r.current = r.root
	for {
		r.parser.Reset(src.data[r.base:])
		for r.parser.NextExpression() {
			r.expression(r.parser.Expression())
		}
		err := r.parser.Error()
		if err == nil {
			return r.root, len(src.errors) == 0
		}
		failed := r.syntaxError(err)
		next := resume(src, failed)
		if next >= len(src.data) {
			return r.root, false
		}
		if strings.HasPrefix(strings.TrimSpace(src.text(src.line(failed))), "[") {
			r.current = newTable(byHeader, span{}) // keys of a table whose name is not known
		}
		r.base = next
	}
}

// syntaxError reports an error of the parser and returns its offset.
func (r *documentReader) syntaxError(err error) int {
	at := span{start: len(r.src.data)}
	message := err.Error()
	var perr *unstable.ParserError
	if errors.As(err, &perr) {
		message = perr.Message
		at.start = min(max(r.base+cap(r.parser.Data())-cap(perr.Highlight), 0), len(r.src.data))
		at.length = len(perr.Highlight)
	}
	failed := at.start
	message, hint := explainSyntax(message, r.src.data, &at)
	r.src.report(at, "", "not TOML: "+message, hint)
	return failed
}

// word matches what somebody may have meant as a string.
var word = regexp.MustCompile(`^[A-Za-z0-9_./:+-]+`)

// explainSyntax gives the parser's message and a hint; a value without quotes,
// the most frequent mistake, is said in other words and marked as a whole.
func explainSyntax(message string, data []byte, at *span) (said, hint string) {
	for _, sign := range []string{"strings must be quoted", "start of value", "expected keyword", "expected digit", "expected number", `expected "`} {
		if !strings.Contains(message, sign) {
			continue
		}
		start := at.start
		for start > 0 && word.Match(data[start-1:start]) {
			start--
		}
		value := string(word.Find(data[start:min(len(data), start+maxSource)]))
		switch {
		case value != "":
			at.start, at.length = start, len(value)
			return value + " is not a value", quotesHint(value)
		case start < len(data) && (data[start] == '\n' || data[start] == '\r'):
			return "the key has no value", ""
		}
		return message, "strings are written in double quotes"
	}
	switch {
	case strings.Contains(message, "leading zero"):
		return message, `modes and versions are strings: write "0755"`
	case strings.Contains(message, "unterminated"), strings.Contains(message, "new lines"):
		return message, "the closing quote is missing"
	case strings.Contains(message, "array is incomplete"), strings.Contains(message, "after array value"):
		return message, "elements are separated by commas and the list ends with ]"
	case strings.Contains(message, "after key"):
		return message, "a key is followed by = and its value"
	}
	return message, ""
}

func quotesHint(value string) string {
	switch strings.ToLower(value) {
	case "yes", "on", "true":
		return "write true"
	case "no", "off", "false":
		return "write false"
	}
	return fmt.Sprintf("strings are written in double quotes: %q", value)
}

// resumeLine matches a line that begins a key or a table. The elements of a
// list that spans lines do not look like it, but for rare ones.
var resumeLine = regexp.MustCompile(`^\s*(\[{1,2}\s*[A-Za-z_][A-Za-z0-9_.' "-]*\]{1,2}\s*(#.*)?$|[A-Za-z_][A-Za-z0-9_.-]*\s*=)`)

// resume gives the offset of the first line after the failed one at which
// reading can go on, or the length of the source.
func resume(src *source, failed int) int {
	for line := src.line(failed) + 1; line <= len(src.lines); line++ {
		if resumeLine.MatchString(src.text(line)) {
			return src.lines[line-1]
		}
	}
	return len(src.data)
}

func (r *documentReader) span(raw unstable.Range) span {
	return span{start: r.base + int(raw.Offset), length: int(raw.Length)}
}

// part is one element of a dotted key.
type part struct {
	name string
	at   span
}

// parts reads a dotted key; nil means that it was refused.
func (r *documentReader) parts(it unstable.Iterator) []part {
	var list []part
	for it.Next() {
		n := it.Node()
		list = append(list, part{name: string(n.Data), at: r.span(n.Raw)})
		if len(list) > maxDepth {
			r.src.report(list[0].at, "", fmt.Sprintf("a key of more than %d parts", maxDepth), "")
			return nil
		}
	}
	return list
}

func (r *documentReader) expression(n *unstable.Node) {
	switch n.Kind {
	case unstable.Table:
		r.header(r.parts(n.Key()), false)
	case unstable.ArrayTable:
		r.header(r.parts(n.Key()), true)
	case unstable.KeyValue:
		r.keyValue(r.current, r.prefix, n)
	}
}

// header opens [a.b] or [[a.b]].
func (r *documentReader) header(key []part, list bool) {
	table, path := r.root, ""
	r.current, r.prefix = newTable(byHeader, span{}), joinParts("", key) // if the way is blocked
	if len(key) == 0 {
		return
	}
	for _, p := range key[:len(key)-1] {
		path = joinKey(path, p.name)
		child := table.fields[p.name]
		if child == nil {
			child = newTable(byPath, p.at)
			table.add(p.name, child)
		}
		if child.kind == listNode && child.origin == byHeader {
			path = fmt.Sprintf("%s[%d]", path, len(child.items)-1)
			child = child.items[len(child.items)-1]
		}
		if child.kind != tableNode || child.origin == byValue {
			r.defined(p.at, path, child)
			return
		}
		table = child
	}
	last := key[len(key)-1]
	path = joinKey(path, last.name)
	existing := table.fields[last.name]
	switch {
	case list && existing == nil:
		existing = &node{kind: listNode, origin: byHeader, key: last.at, at: last.at}
		table.add(last.name, existing)
		fallthrough
	case list && existing.kind == listNode && existing.origin == byHeader:
		r.current = newTable(byHeader, last.at)
		r.prefix = fmt.Sprintf("%s[%d]", path, len(existing.items))
		existing.items = append(existing.items, r.current)
		return
	case !list && existing == nil:
		existing = newTable(byHeader, last.at)
		table.add(last.name, existing)
	case !list && existing.kind == tableNode && existing.origin == byPath:
		existing.origin = byHeader
	default:
		r.defined(last.at, path, existing)
		if list || existing.kind != tableNode || existing.origin == byValue {
			return
		}
	}
	r.current, r.prefix = existing, path
}

// keyValue puts key = value into the table.
func (r *documentReader) keyValue(table *node, prefix string, n *unstable.Node) {
	key := r.parts(n.Key())
	if len(key) == 0 {
		return
	}
	for _, p := range key[:len(key)-1] {
		prefix = joinKey(prefix, p.name)
		child := table.fields[p.name]
		if child == nil {
			child = newTable(byDots, p.at)
			table.add(p.name, child)
		}
		if child.kind != tableNode || child.origin != byDots {
			r.defined(p.at, prefix, child)
			return
		}
		table = child
	}
	last := key[len(key)-1]
	path := joinKey(prefix, last.name)
	value := r.value(n.Value(), path, last.at, r.valueStart(last.at))
	if existing := table.fields[last.name]; existing != nil {
		r.defined(last.at, path, existing)
		return
	}
	value.key = last.at
	table.add(last.name, value)
}

// valueStart finds where the value of a key begins; the parser does not say it of lists.
func (r *documentReader) valueStart(key span) span {
	rest := r.src.data[key.start+key.length:]
	trimmed := strings.TrimLeft(string(rest[:min(len(rest), 200)]), " \t=")
	offset := key.start + key.length + min(len(rest), 200) - len(trimmed)
	return span{start: offset, length: 1}
}

func (r *documentReader) value(n *unstable.Node, path string, key, at span) *node {
	v := &node{origin: byValue, key: key, at: at}
	r.depth++
	defer func() { r.depth-- }()
	if r.depth > maxDepth {
		r.src.report(at, "", fmt.Sprintf("values nested more than %d deep", maxDepth), "")
		return v
	}
	switch n.Kind {
	case unstable.InlineTable:
		v.kind, v.fields = tableNode, map[string]*node{}
		for it := n.Children(); it.Next(); {
			r.keyValue(v, path, it.Node())
		}
		sealTables(v)
		return v
	case unstable.Array:
		v.kind = listNode
		for it := n.Children(); it.Next(); {
			child := it.Node()
			place := at
			if child.Raw.Length > 0 {
				place = r.span(child.Raw)
			}
			v.items = append(v.items, r.value(child, fmt.Sprintf("%s[%d]", path, len(v.items)), key, place))
		}
		return v
	case unstable.String:
		v.kind = stringNode
	case unstable.Integer:
		v.kind = integerNode
	case unstable.Float:
		v.kind = floatNode
	case unstable.Bool:
		v.kind = boolNode
	default:
		v.kind = dateNode
	}
	v.text, v.at = string(n.Data), r.span(n.Raw)
	return v
}

// sealTables closes the tables that dotted keys made within an inline table.
func sealTables(n *node) {
	for _, child := range n.fields {
		if child.kind == tableNode && child.origin == byDots {
			child.origin = byValue
			sealTables(child)
		}
	}
}

// defined reports that a name is taken.
func (r *documentReader) defined(at span, path string, existing *node) {
	hint := ""
	if existing != nil {
		hint = fmt.Sprintf("it was first given in line %d", r.src.line(existing.key.start))
	}
	r.src.report(at, path, "given twice", hint)
}

var bareKey = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

// joinKey appends a name to the path of a table, in quotes if TOML wants them.
func joinKey(path, name string) string {
	if !bareKey.MatchString(name) {
		name = strconv.Quote(name)
	}
	if path == "" {
		return name
	}
	return path + "." + name
}

func joinParts(path string, parts []part) string {
	for _, p := range parts {
		path = joinKey(path, p.name)
	}
	return path
}
