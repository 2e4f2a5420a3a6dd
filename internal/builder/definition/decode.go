package definition

import (
	"fmt"
	"reflect"
	"sort"
	"strconv"
	"strings"
)

// decoder fills a Definition from the nodes of a document and reports what does
// not fit.
type decoder struct {
	src     *source
	present map[string]span // where each key that was given stands, by path
	bad     map[string]bool // paths of values that were refused
	whole   bool            // the document has no error of syntax, so what is missing is missing
}

// refuse reports a value that is wrong.
func (d *decoder) refuse(at span, f field, path, message, hint string) {
	d.bad[path] = true
	before := len(d.src.errors)
	d.src.report(at, path, message, hint)
	if f.secret && len(d.src.errors) > before {
		d.src.errors[before].Source = ""
	}
}

// structure fills a struct from a table.
func (d *decoder) structure(n *node, v reflect.Value, path string) {
	fields := fieldsOf(v.Type())
	for _, name := range n.names {
		child := n.fields[name]
		childPath := joinKey(path, name)
		if f, ok := find(fields, name); ok {
			d.present[childPath] = child.at
			d.value(child, v.Field(f.index), f, childPath)
			continue
		}
		d.src.report(child.key, childPath, fmt.Sprintf("unknown key %s", quote(name)), allowed(fields, name))
	}
	for _, f := range fields {
		if f.required && d.whole && n.fields[f.name] == nil {
			d.missing(n, f, path)
		}
	}
}

func (d *decoder) missing(n *node, f field, path string) {
	hint := "add " + f.name + " = \"…\""
	if f.example != "" {
		hint = fmt.Sprintf("add %s = %q", f.name, f.example)
	}
	d.src.report(n.key, joinKey(path, f.name), "is required", hint)
}

func find(fields []field, name string) (field, bool) {
	for _, f := range fields {
		if f.name == name {
			return f, true
		}
	}
	return field{}, false
}

// allowed lists the keys of a table, and before them the one most like name.
func allowed(fields []field, name string) string {
	names := make([]string, len(fields))
	for i, f := range fields {
		names[i] = f.name
	}
	sort.Strings(names)
	return didYouMean(name, names) + "allowed: " + strings.Join(names, ", ")
}

// value fills v from a node of any kind.
func (d *decoder) value(n *node, v reflect.Value, f field, path string) {
	switch v.Kind() {
	case reflect.Pointer:
		inner := f
		inner.typ = f.typ.Elem()
		target := reflect.New(inner.typ)
		d.value(n, target.Elem(), inner, path)
		if !d.bad[path] {
			v.Set(target)
		}
	case reflect.String:
		if d.kind(n, f, path, stringNode) && d.text(n, f, path) {
			v.SetString(n.text)
		}
	case reflect.Bool:
		if d.kind(n, f, path, boolNode) {
			v.SetBool(n.text == "true")
		}
	case reflect.Int:
		if d.kind(n, f, path, integerNode) {
			d.integer(n, v, f, path)
		}
	case reflect.Slice:
		if d.kind(n, f, path, listNode) {
			d.list(n, v, f, path)
		}
	case reflect.Map:
		if d.kind(n, f, path, tableNode) {
			d.table(n, v, f, path)
		}
	case reflect.Struct:
		if d.kind(n, f, path, tableNode) {
			d.structure(n, v, path)
		}
	}
}

// text checks a string against the field's enum, form and bounds.
func (d *decoder) text(n *node, f field, path string) bool {
	if len(f.enum) > 0 && !contains(f.enum, n.text) {
		d.refuse(n.at, f, path, fmt.Sprintf("%s is not allowed", quote(n.text)), didYouMean(n.text, f.enum)+"allowed: "+strings.Join(f.enum, ", "))
		return false
	}
	if f.form == "" {
		return true
	}
	how := forms[f.form]
	if why := how.why(n.text, f.secret); why != "" {
		hint := how.hint
		if n.text == "" && !f.required && !strings.HasSuffix(path, "]") {
			hint += "; leave the key out for the default"
		}
		d.refuse(n.at, f, path, why, hint)
		return false
	}
	if f.form == "size" && (f.min != "" || f.max != "") {
		return d.sizeBounds(n, f, path)
	}
	return true
}

func (d *decoder) sizeBounds(n *node, f field, path string) bool {
	size, err := ParseSize(n.text)
	low, lowErr := ParseSize(f.min)
	high, highErr := ParseSize(f.max)
	if err != nil || lowErr != nil || highErr != nil || size < low || size > high {
		d.refuse(n.at, f, path, quote(n.text)+" is out of bounds", fmt.Sprintf("%s to %s", f.min, f.max))
		return false
	}
	return true
}

func (d *decoder) integer(n *node, v reflect.Value, f field, path string) {
	number, err := strconv.ParseInt(n.text, 0, 64)
	low, lowErr := strconv.ParseInt(f.min, 10, 64)
	high, highErr := strconv.ParseInt(f.max, 10, 64)
	if err != nil || lowErr != nil || highErr != nil || number < low || number > high {
		d.refuse(n.at, f, path, n.text+" is out of bounds", fmt.Sprintf("%s to %s", f.min, f.max))
		return
	}
	v.SetInt(number)
}

func (d *decoder) list(n *node, v reflect.Value, f field, path string) {
	list := reflect.MakeSlice(v.Type(), len(n.items), len(n.items))
	element := f.element()
	first := map[string]int{}
	for i, item := range n.items {
		itemPath := fmt.Sprintf("%s[%d]", path, i)
		d.present[itemPath] = item.at
		d.value(item, list.Index(i), element, itemPath)
		if !f.unique || item.kind != stringNode || d.bad[itemPath] {
			continue
		}
		if at, twice := first[item.text]; twice {
			d.refuse(item.at, f, itemPath, "given twice", fmt.Sprintf("it is the same as element %d", at))
			continue
		}
		first[item.text] = i
	}
	if f.nonempty && len(n.items) == 0 {
		d.refuse(n.at, f, path, "is empty", "leave the key out for the default")
	}
	v.Set(list)
}

func (d *decoder) table(n *node, v reflect.Value, f field, path string) {
	table := reflect.MakeMapWithSize(v.Type(), len(n.names))
	element := f.element()
	for _, name := range n.names {
		child := n.fields[name]
		childPath := joinKey(path, name)
		d.present[childPath] = child.at
		if f.keyForm == "sysctl" && child.kind == tableNode {
			d.refuse(child.key, f, childPath, "is a table", `put the whole name in quotes: "net.core.somaxconn" = "1024"`)
			continue
		}
		how := forms[f.keyForm]
		if why := how.why(name, f.secret); f.keyForm != "" && why != "" {
			d.refuse(child.key, f, childPath, why, how.hint)
		}
		target := reflect.New(element.typ).Elem()
		d.value(child, target, element, childPath)
		table.SetMapIndex(reflect.ValueOf(name), target)
	}
	v.Set(table)
}

func contains(list []string, text string) bool {
	for _, element := range list {
		if element == text {
			return true
		}
	}
	return false
}
