package definition

import (
	"reflect"
	"strings"
)

// field is what the tags of one struct field say. Decoding, defaults, the
// schema and the manual are all made from it.
type field struct {
	index              int
	name               string
	typ                reflect.Type
	doc, example       string
	def                string
	hasDefault         bool
	enum               []string
	form, keyForm      string
	min, max           string
	required, nonempty bool
	unique, secret     bool
}

// fieldsOf gives the fields of a struct type in the order of the source.
func fieldsOf(t reflect.Type) []field {
	list := make([]field, 0, t.NumField())
	for i := range t.NumField() {
		sf := t.Field(i)
		tag := sf.Tag
		f := field{
			index: i, name: tag.Get("toml"), typ: sf.Type,
			doc: tag.Get("doc"), example: tag.Get("example"),
			form: tag.Get("form"), keyForm: tag.Get("keyform"),
			min: tag.Get("min"), max: tag.Get("max"),
			required: tag.Get("required") == "true", nonempty: tag.Get("nonempty") == "true",
			unique: tag.Get("unique") == "true", secret: tag.Get("secret") == "true",
		}
		f.def, f.hasDefault = tag.Lookup("default")
		switch enum := tag.Get("enum"); enum {
		case "":
		case "@targets":
			f.enum = append(TargetNames(), TargetAll)
		default:
			f.enum = strings.Split(enum, ",")
		}
		list = append(list, f)
	}
	return list
}

// element gives the rules of one element of a list or value of a map.
func (f field) element() field {
	e := f
	e.typ = f.typ.Elem()
	e.unique, e.nonempty, e.required, e.keyForm = false, false, false, ""
	return e
}
