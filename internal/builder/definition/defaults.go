package definition

import (
	"fmt"
	"reflect"
	"sort"
	"strconv"
	"strings"
)

// fillDefaults sets every field whose key was not given to what its default tag
// says, in all tables, lists and maps below v.
func fillDefaults(v reflect.Value, path string, given func(path string) bool) {
	for _, f := range fieldsOf(v.Type()) {
		target, fieldPath := v.Field(f.index), joinKey(path, f.name)
		if f.hasDefault && !given(fieldPath) {
			setDefault(target, f.def)
		}
		switch {
		case target.Kind() == reflect.Struct:
			fillDefaults(target, fieldPath, given)
		case target.Kind() == reflect.Slice && target.Type().Elem().Kind() == reflect.Struct:
			for i := range target.Len() {
				fillDefaults(target.Index(i), fmt.Sprintf("%s[%d]", fieldPath, i), given)
			}
		case target.Kind() == reflect.Map && target.Type().Elem().Kind() == reflect.Struct:
			for _, key := range target.MapKeys() {
				element := reflect.New(target.Type().Elem()).Elem()
				element.Set(target.MapIndex(key))
				fillDefaults(element, joinKey(fieldPath, key.String()), given)
				target.SetMapIndex(key, element)
			}
		}
	}
}

// setDefault turns the text of a default tag into the field's type. A tag that
// does not fit is a mistake of this package, which its tests find.
func setDefault(v reflect.Value, text string) {
	switch v.Kind() {
	case reflect.String:
		v.SetString(text)
	case reflect.Bool:
		v.SetBool(text == "true")
	case reflect.Int:
		if n, err := strconv.Atoi(text); err == nil {
			v.SetInt(int64(n))
		}
	case reflect.Slice:
		v.Set(reflect.ValueOf(strings.Split(text, ",")))
	}
}

// complete sets what depends on other fields.
func (d *Definition) complete() {
	if d.Hostname == "" {
		d.Hostname = d.Name
	}
	d.Image.complete()
	switch d.Kernel.Package {
	case "none":
		d.Kernel.Package = ""
	case "":
		d.Kernel.Package = map[string]string{"debian": "linux-image-cloud-amd64", "ubuntu": "linux-image-virtual"}[d.Base.Distro]
	}
	d.completeTargets()
	for _, name := range sortedKeys(d.Services) {
		s := d.Services[name]
		if s.Restart == "" {
			s.Restart = "always"
			if s.Type == "oneshot" {
				s.Restart = "on-failure"
			}
		}
		d.Services[name] = s
	}
}

// complete sets the compressor that suits the format, and its block size.
func (i *Image) complete() {
	if i.Compressor == "" {
		i.Compressor = map[string]string{"squashfs": "zstd", "erofs": "lz4"}[i.Format]
	}
	if i.BlockSize == "" {
		i.BlockSize = map[string]string{"erofs lz4": "16K", "erofs zstd": "128K", "erofs none": "4K"}[i.Format+" "+i.Compressor]
	}
	if i.BlockSize == "" {
		i.BlockSize = "256K"
	}
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	sort.Strings(keys)
	return keys
}
