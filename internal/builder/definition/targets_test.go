package definition

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

func defined(t *testing.T, text string) *Definition {
	t.Helper()
	d, err := Parse(FileName, []byte(minimal+text))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// TestTargetTable: names are words, each once, and not "all"; what only some
// architectures have, they have.
func TestTargetTable(t *testing.T) {
	seen := map[string]bool{TargetAll: true}
	for _, row := range Targets() {
		if seen[row.Name] || !regexp.MustCompile(`^[a-z][a-z0-9-]*$`).MatchString(row.Name) {
			t.Errorf("the name %q", row.Name)
		}
		seen[row.Name] = true
		if !strings.HasSuffix(row.Doc, ".") || strings.ContainsAny(row.Doc, "|\n") {
			t.Errorf("%s: its line is %q", row.Name, row.Doc)
		}
		if row.Arches != nil && row.Lacks(defined(t, ""), "none") == "" {
			t.Errorf("%s is for %q and there is one for none", row.Name, row.Arches)
		}
	}
}

func TestTargetsOfADefinition(t *testing.T) {
	bare := "kernel.package = \"none\"\n"
	if d := defined(t, ""); !slices.Equal(d.Targets, []string{"disk"}) || !slices.Equal(d.Loaders("amd64"), []string{LoaderDisk}) {
		t.Errorf("the usual targets are %q, with loaders %q", d.Targets, d.Loaders("amd64"))
	}
	d := defined(t, bare)
	if !slices.Equal(d.Targets, []string{"root"}) || len(d.Loaders("amd64")) != 0 {
		t.Errorf("without a kernel: %q, with loaders %q", d.Targets, d.Loaders("amd64"))
	}
	rows, leftOut := d.TargetsFor([]string{TargetAll}, "amd64")
	if len(rows)+len(leftOut) != len(Targets()) || leftOut["disk"] == "" {
		t.Errorf("all without a kernel: %d rows, left out %q", len(rows), leftOut)
	}
	for _, row := range rows {
		if row.Kernel {
			t.Errorf("%s starts a kernel that there is not", row.Name)
		}
	}
	if _, err := Parse(FileName, []byte(minimal+bare+"targets = [\"root\", \"disk\"]\n")); err == nil ||
		!strings.Contains(err.Error(), `targets[1]: "disk" cannot be made: it needs a kernel, and kernel.package is "none"`) {
		t.Errorf("a disk without a kernel: %v", err)
	}
	if d := defined(t, bare+"targets = [\"all\"]\n"); !slices.Equal(d.Targets, []string{TargetAll}) {
		t.Errorf("all: %q", d.Targets)
	}
}

// TestTargetsChooseLoaders: what is locked depends on the loaders that targets
// need, not on the targets.
func TestTargetsChooseLoaders(t *testing.T) {
	usual := defined(t, "").InputDigest()
	if defined(t, "targets = [\"disk\", \"root\"]\n").InputDigest() != usual {
		t.Error("a target that needs no loader makes the lock stale")
	}
	if defined(t, "targets = [\"root\"]\n").InputDigest() == usual {
		t.Error("the lock holds loaders that nothing needs")
	}
}
