package relation_test

import (
	"reflect"
	"strings"
	"testing"

	"ashlar/internal/builder/distro/deb/relation"
	"ashlar/internal/testenv"
)

// TestRealFields reads every relation field of trixie's main archive and
// writes it again.
func TestRealFields(t *testing.T) {
	archive := testenv.Debian(t, "trixie")
	count, relations := 0, 0
	for _, field := range []string{"Pre-Depends", "Depends", "Recommends", "Suggests", "Enhances", "Conflicts", "Breaks", "Replaces", "Provides"} {
		for _, text := range archive.Values(field) {
			list, err := relation.Parse(text)
			if err != nil {
				t.Errorf("%s %.200q: %v", field, text, err)
				continue
			}
			count++
			relations += strings.Count(text, ",") + strings.Count(text, "|") + 1
			again, err := relation.Parse(list.String())
			if err != nil || !reflect.DeepEqual(list, again) {
				t.Errorf("%s %.200q: reads otherwise when written again: %v", field, text, err)
			}
			if strings.ReplaceAll(list.String(), " ", "") != strings.ReplaceAll(text, " ", "") {
				t.Errorf("%s %.200q is written %.200q", field, text, list)
			}
		}
	}
	t.Logf("%d fields with %d relations", count, relations)
	if count < 30000 {
		t.Error("that is not a whole archive")
	}
}
