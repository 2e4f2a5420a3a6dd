package definition

import (
	"fmt"
	"reflect"
	"strings"
)

// manualHead opens the reference.
const manualHead = `# ashlar.toml

This page is made from the types that read the file; ` + "`doc/schema/ashlar.schema.json`" + ` has the same for editors.

A definition is TOML. It is read strictly: an unknown key, a value of another type or one that means nothing is an
error, and all errors of a file are shown at once. Sizes are digits and one of K, M, G, T (powers of 1024), durations
have their unit ("90s", "2m"), modes are octal digits in quotes ("0755"), paths in the image are absolute.

A key without a default may be left out unless it is *required*.
`

// section is one table of the reference.
type section struct {
	header string // "[services.NAME]", empty for the top
	typ    reflect.Type
	doc    string
}

// Manual gives the reference of ashlar.toml as Markdown: a table of keys for
// each table of the definition, in the order of the types.
func Manual() []byte {
	var text strings.Builder
	text.WriteString(manualHead)
	queue := []section{{typ: reflect.TypeFor[Definition]()}}
	for len(queue) > 0 {
		s := queue[0]
		queue = append(s.write(&text), queue[1:]...)
	}
	text.WriteString("\n## Targets\n\n| target | what | needs | architectures |\n|---|---|---|---|\n")
	for _, t := range Targets() {
		fmt.Fprintf(&text, "| `%s` | %s | %s | %s |\n", t.Name, t.Doc, t.needs(), t.arches())
	}
	return []byte(text.String())
}

func (t Target) needs() string {
	if t.Kernel {
		return "a kernel"
	}
	return ""
}

func (t Target) arches() string {
	if t.Arches == nil {
		return "all"
	}
	return strings.Join(t.Arches, ", ")
}

// write adds the section and returns the sections below it.
func (s section) write(text *strings.Builder) []section {
	if s.header == "" {
		text.WriteString("\n## Top level\n")
	} else {
		fmt.Fprintf(text, "\n## `%s`\n\n%s\n", s.header, s.doc)
	}
	text.WriteString("\n| key | type | default | what |\n|---|---|---|---|\n")
	var below []section
	for _, f := range fieldsOf(s.typ) {
		if header, typ, ok := subsection(s.header, f); ok {
			below = append(below, section{header: header, typ: typ, doc: f.doc})
			fmt.Fprintf(text, "| `%s` | %s | | see `%s` |\n", f.name, manualType(f), header)
			continue
		}
		fmt.Fprintf(text, "| `%s` | %s | %s | %s |\n", f.name, manualType(f), manualDefault(f), manualText(f))
	}
	return below
}

// subsection says how a field that holds tables is headed.
func subsection(parent string, f field) (header string, typ reflect.Type, ok bool) {
	path := f.name
	if parent != "" {
		path = strings.Trim(parent, "[]") + "." + f.name
	}
	switch {
	case f.typ.Kind() == reflect.Struct:
		return "[" + path + "]", f.typ, true
	case f.typ.Kind() == reflect.Slice && f.typ.Elem().Kind() == reflect.Struct:
		return "[[" + path + "]]", f.typ.Elem(), true
	case f.typ.Kind() == reflect.Map && f.typ.Elem().Kind() == reflect.Struct:
		return "[" + path + ".NAME]", f.typ.Elem(), true
	}
	return "", nil, false
}

// manualType names a type; of a form that is more than a string, the form.
func manualType(f field) string {
	name := strings.TrimPrefix(strings.TrimPrefix(describeType(f), "a "), "an ")
	switch f.form {
	case "size", "duration", "mode", "signal":
		return f.form
	}
	return name
}

func manualDefault(f field) string {
	switch {
	case f.required:
		return "*required*"
	case !f.hasDefault:
		return ""
	case f.typ.Kind() == reflect.String:
		return fmt.Sprintf("`%q`", f.def)
	case f.typ.Kind() == reflect.Slice:
		return "`[" + quoteList(strings.Split(f.def, ",")) + "]`"
	}
	return "`" + f.def + "`"
}

func manualText(f field) string {
	text := f.doc
	if len(f.enum) > 0 {
		text += " One of " + "`" + strings.Join(f.enum, "`, `") + "`."
	}
	if f.min != "" && f.max != "" {
		text += fmt.Sprintf(" From %s to %s.", f.min, f.max)
	}
	if f.example != "" {
		text += " Example: `" + f.example + "`."
	}
	return strings.ReplaceAll(text, "|", "\\|")
}

func quoteList(list []string) string {
	quoted := make([]string, len(list))
	for i, element := range list {
		quoted[i] = fmt.Sprintf("%q", element)
	}
	return strings.Join(quoted, ", ")
}
