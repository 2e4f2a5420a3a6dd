package definition

import (
	"encoding/json"
	"fmt"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/pelletier/go-toml/v2"
)

// judge validates a value against the keywords of JSON Schema that ours uses,
// and fails on any other.
type judge struct {
	t    *testing.T
	defs map[string]any
}

func newJudge(t *testing.T) (judge, map[string]any) {
	t.Helper()
	var schema map[string]any
	if err := json.Unmarshal(Schema(), &schema); err != nil {
		t.Fatal(err)
	}
	return judge{t: t, defs: schema["$defs"].(map[string]any)}, schema
}

// faults lists what the schema refuses in a value.
func (j judge) faults(schema map[string]any, value any, path string) []string {
	var list []string
	refuse := func(format string, args ...any) { list = append(list, path+": "+fmt.Sprintf(format, args...)) }
	for keyword, rule := range schema {
		switch keyword {
		case "$schema", "$defs", "title", "description", "default", "examples":
		case "$ref":
			name := strings.TrimPrefix(rule.(string), "#/$defs/")
			list = append(list, j.faults(j.defs[name].(map[string]any), value, path)...)
		case "type":
			if got := jsonType(value); got != rule {
				refuse("is %s, want %s", got, rule)
			}
		case "enum":
			if !contains(words(rule), fmt.Sprint(value)) {
				refuse("%v is not in the enum", value)
			}
		case "pattern":
			if text, ok := value.(string); ok && !regexp.MustCompile(goPattern(rule.(string))).MatchString(text) {
				refuse("%q does not match %s", text, rule)
			}
		case "minimum":
			if n, ok := value.(int64); ok && float64(n) < rule.(float64) {
				refuse("%d is below the minimum", n)
			}
		case "maximum":
			if n, ok := value.(int64); ok && float64(n) > rule.(float64) {
				refuse("%d is above the maximum", n)
			}
		case "items", "minItems", "uniqueItems":
			list = append(list, j.array(keyword, rule, value, path)...)
		case "properties", "additionalProperties", "required", "propertyNames":
			list = append(list, j.object(keyword, schema, value, path)...)
		default:
			j.t.Fatalf("the schema uses %q, which this judge does not know", keyword)
		}
	}
	return list
}

func (j judge) array(keyword string, rule, value any, path string) []string {
	elements, ok := value.([]any)
	if !ok {
		return nil
	}
	var list []string
	seen := map[string]bool{}
	for i, element := range elements {
		switch text := fmt.Sprint(element); {
		case keyword == "items":
			list = append(list, j.faults(rule.(map[string]any), element, fmt.Sprintf("%s[%d]", path, i))...)
		case keyword == "uniqueItems" && seen[text]:
			list = append(list, path+": the same element twice")
		default:
			seen[text] = true
		}
	}
	if keyword == "minItems" && float64(len(elements)) < rule.(float64) {
		list = append(list, path+": too few elements")
	}
	return list
}

func (j judge) object(keyword string, schema map[string]any, value any, path string) []string {
	table, ok := value.(map[string]any)
	if !ok {
		return nil
	}
	properties, _ := schema["properties"].(map[string]any)
	var list []string
	for key, element := range table {
		property, known := properties[key].(map[string]any)
		other, open := schema["additionalProperties"].(map[string]any)
		switch {
		case keyword == "properties" && known:
			list = append(list, j.faults(property, element, joinKey(path, key))...)
		case keyword == "additionalProperties" && !known && open:
			list = append(list, j.faults(other, element, joinKey(path, key))...)
		case keyword == "additionalProperties" && !known:
			list = append(list, joinKey(path, key)+": unknown key")
		case keyword == "propertyNames":
			list = append(list, j.faults(schema[keyword].(map[string]any), key, joinKey(path, key))...)
		}
	}
	if keyword == "required" {
		for _, key := range words(schema[keyword]) {
			if _, ok := table[key]; !ok {
				list = append(list, joinKey(path, key)+": is required")
			}
		}
	}
	return list
}

func words(rule any) []string {
	var list []string
	for _, word := range rule.([]any) {
		list = append(list, word.(string))
	}
	return list
}

func jsonType(value any) string {
	switch reflect.ValueOf(value).Kind() {
	case reflect.String:
		return "string"
	case reflect.Bool:
		return "boolean"
	case reflect.Int64:
		return "integer"
	case reflect.Slice:
		return "array"
	case reflect.Map:
		return "object"
	}
	return "other"
}

func (j judge) document(schema map[string]any, text string) ([]string, error) {
	var value map[string]any
	if err := toml.Unmarshal([]byte(text), &value); err != nil {
		return nil, err
	}
	return j.faults(schema, value, ""), nil
}

// What Parse accepts, an editor must not mark.
func TestSchemaAcceptsWhatParseAccepts(t *testing.T) {
	j, schema := newJudge(t)
	for _, text := range append([]string{string(Starter("web")), fullMachine}, accepted...) {
		faults, err := j.document(schema, text)
		if err != nil {
			t.Fatal(err)
		}
		for _, fault := range faults {
			t.Errorf("%s\n%s", fault, text)
		}
	}
}

// An unknown key, a wrong type, a bad word: an editor marks it.
func TestSchemaRefuses(t *testing.T) {
	j, schema := newJudge(t)
	for text, want := range map[string]string{
		"base.suite = \"trixie\"\n":                         "name: is required",
		"name = \"web\"\n":                                  "base: is required",
		"name = \"web\"\n[base]\n":                          "base.suite: is required",
		minimal + "nmae = 1\n":                              "nmae: unknown key",
		minimal + "[services.a]\nexce = []\n":               "services.a.exce: unknown key",
		minimal + "packages = \"nginx\"\n":                  "packages: is string, want array",
		minimal + "packages = [\"curl\", \"curl\"]\n":       "packages: the same element twice",
		minimal + "arch = []\n":                             "arch: too few elements",
		minimal + "arch = [\"z80\"]\n":                      "arch[0]: z80 is not in the enum",
		minimal + "[[state]]\npath = \"srv\"\n":             `state[0].path: "srv" does not match`,
		minimal + "[users.me]\nuid = -1\n":                  "users.me.uid: -1 is below the minimum",
		minimal + "[users.Me]\n":                            `users.Me: "Me" does not match`,
		minimal + "sysctl = { \"vm.swappiness\" = 10 }\n":   `sysctl."vm.swappiness": is integer, want string`,
		minimal + "[services.a]\nexec_pre = [\"/bin/a\"]\n": "services.a.exec_pre[0]: is string, want array",
	} {
		faults, err := j.document(schema, text)
		if err != nil {
			t.Fatal(err)
		}
		if len(faults) == 0 || !strings.HasPrefix(strings.Join(faults, "\n"), want) {
			t.Errorf("got %q, want %s\n%s", faults, want, text)
		}
		if _, err := Parse(FileName, []byte(text)); err == nil {
			t.Errorf("the schema refuses, Parse does not:\n%s", text)
		}
	}
}

// Parse and the schema must know the same words: the schema's own defaults
// and examples are valid.
func TestSchemaDefaultsAreValid(t *testing.T) {
	j, schema := newJudge(t)
	count := 0
	check := func(owner string, table map[string]any) {
		for name, property := range table["properties"].(map[string]any) {
			p := property.(map[string]any)
			if value, ok := p["default"]; ok {
				count++
				if n, number := value.(float64); number {
					value = int64(n)
				}
				for _, fault := range j.faults(p, value, owner+"."+name) {
					t.Error(fault)
				}
			}
		}
	}
	check("", schema)
	for name, def := range j.defs {
		check(name, def.(map[string]any))
	}
	if count < 30 {
		t.Errorf("only %d defaults were checked", count)
	}
}
