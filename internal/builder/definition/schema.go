package definition

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strconv"
	"strings"
)

//go:generate go test -run TestGenerated -update

// member is one key of a JSON object, and object keeps their order: the schema
// reads as the types do.
type (
	member struct {
		key   string
		value any
	}
	object []member
)

// MarshalJSON implements json.Marshaler.
func (o object) MarshalJSON() ([]byte, error) {
	var buf bytes.Buffer
	buf.WriteByte('{')
	for i, m := range o {
		if i > 0 {
			buf.WriteByte(',')
		}
		key, err := marshal(m.key)
		if err != nil {
			return nil, err
		}
		value, err := marshal(m.value)
		if err != nil {
			return nil, err
		}
		buf.Write(key)
		buf.WriteByte(':')
		buf.Write(value)
	}
	buf.WriteByte('}')
	return buf.Bytes(), nil
}

// marshal is json.Marshal without the escapes that HTML needs.
func marshal(v any) ([]byte, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimRight(buf.Bytes(), "\n"), nil
}

// Schema gives the JSON Schema (draft 2020-12) of ashlar.toml, for editors. It
// holds what can be said of one value; what is between keys only Parse checks.
func Schema() []byte {
	g := &schemaMaker{seen: map[reflect.Type]bool{}}
	root := object{
		{"$schema", "https://json-schema.org/draft/2020-12/schema"},
		{"title", FileName},
		{"description", "The definition of a server image."},
	}
	root = append(root, g.table(reflect.TypeFor[Definition]())...)
	root = append(root, member{"$defs", g.defs})
	compact, err := marshal(root)
	if err != nil {
		panic("marshal schema: " + err.Error()) // strings and numbers only
	}
	var buf bytes.Buffer
	if err := json.Indent(&buf, compact, "", "  "); err != nil {
		panic("indent schema: " + err.Error())
	}
	buf.WriteByte('\n')
	return buf.Bytes()
}

// schemaMaker collects the tables below the root as $defs.
type schemaMaker struct {
	seen map[reflect.Type]bool
	defs object
}

// table gives the keywords of a struct type.
func (g *schemaMaker) table(t reflect.Type) object {
	var properties object
	required := []string{}
	for _, f := range fieldsOf(t) {
		properties = append(properties, member{f.name, g.property(f)})
		if f.required || hasRequired(f.typ) {
			required = append(required, f.name)
		}
	}
	o := object{{"type", "object"}, {"properties", properties}, {"additionalProperties", false}}
	if len(required) > 0 {
		o = append(o, member{"required", required})
	}
	return o
}

// hasRequired reports whether a table cannot be left out.
func hasRequired(t reflect.Type) bool {
	if t.Kind() != reflect.Struct {
		return false
	}
	for _, f := range fieldsOf(t) {
		if f.required {
			return true
		}
	}
	return false
}

// property gives the schema of a field: its type, then what describes it.
func (g *schemaMaker) property(f field) object {
	o := g.value(f)
	o = append(object{{"description", f.doc}}, o...)
	if f.hasDefault {
		o = append(o, member{"default", defaultValue(f)})
	}
	if f.example != "" && f.keyForm == "" {
		example := any(f.example)
		if f.typ.Kind() == reflect.Slice {
			example = []string{f.example}
		}
		o = append(o, member{"examples", []any{example}})
	}
	return o
}

func (g *schemaMaker) value(f field) object {
	switch f.typ.Kind() {
	case reflect.Pointer:
		inner := f
		inner.typ = f.typ.Elem()
		return g.value(inner)
	case reflect.Bool:
		return object{{"type", "boolean"}}
	case reflect.Int:
		return object{{"type", "integer"}, {"minimum", json.Number(f.min)}, {"maximum", json.Number(f.max)}}
	case reflect.Slice:
		o := object{{"type", "array"}, {"items", g.value(f.element())}}
		if f.nonempty {
			o = append(o, member{"minItems", 1})
		}
		if f.unique {
			o = append(o, member{"uniqueItems", true})
		}
		return o
	case reflect.Map:
		o := object{{"type", "object"}, {"additionalProperties", g.value(f.element())}}
		if f.keyForm != "" {
			o = append(o, member{"propertyNames", object{{"pattern", forms[f.keyForm].pattern}}})
		}
		return o
	case reflect.Struct:
		return g.reference(f.typ)
	}
	o := object{{"type", "string"}}
	if len(f.enum) > 0 {
		o = append(o, member{"enum", f.enum})
	}
	if pattern := forms[f.form].pattern; pattern != "" {
		o = append(o, member{"pattern", pattern})
	}
	return o
}

// reference points to the $defs entry of a table and makes it at first use.
func (g *schemaMaker) reference(t reflect.Type) object {
	name := strings.ToLower(t.Name())
	if !g.seen[t] {
		g.seen[t] = true
		at := len(g.defs)
		g.defs = append(g.defs, member{key: name})
		g.defs[at].value = g.table(t)
	}
	return object{{"$ref", "#/$defs/" + name}}
}

// defaultValue turns the text of a default tag into a JSON value.
func defaultValue(f field) any {
	switch f.typ.Kind() {
	case reflect.Bool:
		return f.def == "true"
	case reflect.Int:
		if n, err := strconv.Atoi(f.def); err == nil {
			return n
		}
	case reflect.Slice:
		return strings.Split(f.def, ",")
	}
	return f.def
}
