package definition

import (
	"path/filepath"
	"testing"
)

// Every example of the repository loads, and an editor that has the schema
// marks nothing in it.
func TestExamples(t *testing.T) {
	files, err := filepath.Glob("../../../examples/*/" + FileName)
	if err != nil || len(files) == 0 {
		t.Fatalf("no examples: %v", err)
	}
	j, schema := newJudge(t)
	for _, file := range files {
		if _, err := Load(filepath.Dir(file)); err != nil {
			t.Error(err)
			continue
		}
		data, err := readBounded(file)
		if err != nil {
			t.Fatal(err)
		}
		faults, err := j.document(schema, string(data))
		if err != nil {
			t.Fatal(err)
		}
		for _, fault := range faults {
			t.Errorf("%s: %s", file, fault)
		}
	}
}
