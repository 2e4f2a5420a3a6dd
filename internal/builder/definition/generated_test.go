package definition

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

// The schema and the manual that are committed are those that the types give.
// go generate rewrites them.
func TestGenerated(t *testing.T) {
	for path, want := range map[string][]byte{
		"../../../doc/schema/ashlar.schema.json": Schema(),
		"../../../doc/reference/definition.md":   Manual(),
	} {
		if *update {
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, want, 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		got, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s is not what the types give; run: go generate ./internal/builder/definition", path)
		}
	}
}

// Every property has a description, every object is closed, every string has a
// pattern or an enum unless its form is a check only.
func TestSchemaSaysEnough(t *testing.T) {
	var schema map[string]any
	if err := json.Unmarshal(Schema(), &schema); err != nil {
		t.Fatal(err)
	}
	counts := map[string]int{}
	var walk func(path string, node any)
	walk = func(path string, node any) {
		o, ok := node.(map[string]any)
		if !ok {
			return
		}
		if properties, ok := o["properties"].(map[string]any); ok {
			if o["additionalProperties"] != false {
				t.Errorf("%s: other keys are not refused", path)
			}
			for name, property := range properties {
				if p, ok := property.(map[string]any); !ok || p["description"] == "" || p["description"] == nil {
					t.Errorf("%s.%s: no description", path, name)
				}
				walk(path+"."+name, property)
			}
		}
		for _, keyword := range []string{"enum", "default", "pattern", "$ref", "required", "minimum", "uniqueItems", "propertyNames"} {
			if _, ok := o[keyword]; ok {
				counts[keyword]++
			}
		}
		for _, key := range []string{"items", "additionalProperties"} {
			walk(path+"."+key, o[key])
		}
	}
	walk("", schema)
	defs, ok := schema["$defs"].(map[string]any)
	if !ok {
		t.Fatal("no $defs")
	}
	for name, def := range defs {
		walk(name, def)
	}
	for keyword, least := range map[string]int{"enum": 8, "default": 30, "pattern": 40, "$ref": 15, "required": 6, "minimum": 5, "uniqueItems": 10, "propertyNames": 5} {
		if counts[keyword] < least {
			t.Errorf("%s stands %d times in the schema, want at least %d", keyword, counts[keyword], least)
		}
	}
}
