package rootfs

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ashlar/internal/builder/store"
	"ashlar/internal/foundation/digest"
	"ashlar/internal/testenv"
)

// stagesTree configures packages and gives the tree's encoding and what the scripts said.
func stagesTree(t *testing.T, in Input) ([]byte, string) {
	t.Helper()
	var said bytes.Buffer
	in.Log = &said
	in, first := inStages(in)
	configured, ran, err := configure(t.Context(), in, first, newPackages(in.Packages))
	if err != nil || !ran {
		t.Fatalf("ran %v: %v", ran, err)
	}
	if err := clean(configured); err != nil { // what differs each time anyhow
		t.Fatal(err)
	}
	data, err := encodeTree(configured, in.Store)
	if err != nil {
		t.Fatal(err)
	}
	return data, said.String()
}

// TestStages adds packages without scripts to a root that was configured
// before: nobody's scripts but triggers run, and what comes is what comes from
// nothing, the times of files included.
func TestStages(t *testing.T) {
	testenv.RequireRoot(t)
	a := requireArchive(t)
	few, more := a.input(t, []string{"libcap2-bin"}), a.input(t, []string{"libcap2-bin", "tree", "jq", "file"})
	program := digest.Of([]byte(t.TempDir())) // the store may know of earlier runs
	few.Program, more.Program = program, program
	few.NoCache = false
	if _, said := stagesTree(t, few); !strings.Contains(said, "--- base-files postinst configure") {
		t.Fatalf("the first root was made without scripts:\n%s", said)
	}
	more.NoCache = false
	warm, said := stagesTree(t, more)
	if strings.Contains(said, " configure") || !strings.Contains(said, "--- libc-bin postinst triggered") {
		t.Errorf("with packages added ran:\n%s", said)
	}
	more.NoCache = true
	cold, said := stagesTree(t, more)
	if !strings.Contains(said, "--- base-files postinst configure") {
		t.Errorf("from nothing ran:\n%s", said)
	}
	if diff := cmp.Diff(lines(cold), lines(warm)); diff != "" {
		t.Errorf("over the earlier root another tree comes than from nothing:\n%s", diff)
	}
	for _, path := range []string{"usr/bin/tree", "usr/bin/jq", "var/lib/dpkg/info/tree.list"} {
		if !bytes.Contains(warm, []byte(`"`+path+`"`)) {
			t.Errorf("the root lacks %s", path)
		}
	}
}

func lines(record []byte) []string { return strings.SplitAfter(string(record), "},") }

// TestInStages looks at which packages can wait.
func TestInStages(t *testing.T) {
	debs := []testDeb{
		{name: "plain"},
		{name: "lib"},
		{name: "server", fields: "Depends: lib (>= 1) | other, virtual\n", members: map[string]string{"postinst": script(":")}},
		{name: "tool", fields: "Depends: plain\n"},
		{name: "provider", fields: "Provides: virtual\n"},
	}
	st, err := store.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	in := Input{}
	for _, d := range debs {
		u, sum := d.unpack(t, st)
		in.Packages, in.Digests = append(in.Packages, u), append(in.Digests, sum)
	}
	staged, first := inStages(in)
	var names []string
	for n, p := range newPackages(staged.Packages) {
		names = append(names, p.name)
		if at := slices.Index(in.Packages, staged.Packages[n]); staged.Digests[n] != in.Digests[at] {
			t.Errorf("%s has another's digest", p.name)
		}
	}
	if want := []string{"lib", "server", "provider", "plain", "tool"}; !slices.Equal(names, want) || first != 3 {
		t.Errorf("%q, %d in the first stage; want %q, 3", names, first, want)
	}
}
