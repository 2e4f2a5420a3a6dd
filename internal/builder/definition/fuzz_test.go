package definition

import (
	"errors"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"
)

// FuzzParse: no input makes Parse panic; errors are sorted, lie within the file
// and are bounded; what is accepted, go-toml's strict decoder accepts with the
// same values, and it has all that other rooms rely on.
func FuzzParse(f *testing.F) {
	f.Add(Starter("web"))
	f.Add([]byte(fullMachine))
	for _, text := range accepted {
		f.Add([]byte(text))
	}
	files, err := filepath.Glob("testdata/errors/*.txtar")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		for _, part := range strings.Split(string(data), "\n-- ") {
			if _, text, ok := strings.Cut(part, ".toml --\n"); ok {
				f.Add([]byte(text))
			}
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		def, err := Parse("f", data)
		if err != nil {
			checkErrors(t, data, err)
			return
		}
		agree(t, data)
		def.InputDigest()
		if def.Name == "" || def.Base.Suite == "" || def.Hostname == "" || len(def.Arch) == 0 {
			t.Fatalf("accepted without what is required: %+v", def)
		}
		if _, err := def.Machine(func(string, string) (uint32, uint32, error) { return 0, 0, nil }); err != nil {
			t.Fatalf("accepted, but: %v", err)
		}
	})
}

func checkErrors(t *testing.T, data []byte, err error) {
	var all Errors
	if !errors.As(err, &all) || len(all) == 0 || len(all) > maxErrors+1 {
		t.Fatalf("not a list of errors: %v", err)
	}
	lines := strings.Count(string(data), "\n") + 1
	for _, e := range all {
		if e.Position.Line < 1 || e.Position.Line > lines || e.Position.Column < 1 || e.Message == "" {
			t.Fatalf("a place outside of the file: %+v", e)
		}
	}
	if !sort.SliceIsSorted(all, func(i, j int) bool { return all[i].Position.Line < all[j].Position.Line }) {
		t.Fatalf("not sorted: %v", all)
	}
	if all.Text() == "" {
		t.Fatal("no text")
	}
}
