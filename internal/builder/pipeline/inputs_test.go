package pipeline

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"ashlar/internal/foundation/digest"
)

// TestFilesDigest: whatever the overlay gives to an image shows, and nothing else.
func TestFilesDigest(t *testing.T) {
	dir := t.TempDir()
	sum := func() digest.Digest {
		t.Helper()
		d, err := filesDigest(dir)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	seen := map[digest.Digest]string{sum(): "empty"}
	file := filepath.Join(dir, "a")
	for _, change := range []struct {
		name string
		make func()
	}{
		{"a file", func() { must(os.WriteFile(file, []byte("one"), 0o644)) }},
		{"its content", func() { must(os.WriteFile(file, []byte("two"), 0o644)) }},
		{"its mode", func() { must(os.Chmod(file, 0o755)) }},
		{"its name", func() { must(os.Rename(file, file+"b")) }},
		{"a directory", func() { must(os.Mkdir(file, 0o755)) }},
		{"a link", func() { must(os.Symlink("here", file+"c")) }},
		{"its target", func() { must(os.Remove(file + "c")); must(os.Symlink("there", file+"c")) }},
	} {
		change.make()
		d := sum()
		if before, ok := seen[d]; ok {
			t.Errorf("%s gives the digest of %s", change.name, before)
		}
		seen[d] = change.name
	}
	before := sum()
	must(os.WriteFile(file+"b", []byte("two"), 0o755))
	if sum() != before {
		t.Error("writing the same again gives another digest")
	}
	must(os.Chmod(file+"b", 0o700))
	must(os.Chmod(file, 0o700))
	if sum() != before {
		t.Error("another umask gives another digest")
	}
	if d, err := filesDigest(filepath.Join(dir, "none")); err != nil || !d.IsZero() {
		t.Errorf("no directory: %v, %v", d, err)
	}
}

// TestChanged: what changed is named, and reaches the steps behind it.
func TestChanged(t *testing.T) {
	before := inputs{}
	for _, s := range allSteps() {
		for _, name := range s.names {
			before[name] = digest.Of([]byte(name))
		}
	}
	for name, want := range map[string]map[string][]string{
		"files":           {stepConfigure: {}, stepRoot: {"files"}, stepKernel: {}, targetStep("disk"): {stepRoot}},
		"packages":        {stepConfigure: {"packages"}, stepRoot: {"packages", stepConfigure}, stepKernel: {}, targetStep("disk"): {stepRoot}},
		"kernel packages": {stepConfigure: {}, stepRoot: {}, stepKernel: {"kernel packages"}, targetStep("disk"): {stepKernel}},
		"command line":    {stepConfigure: {}, stepRoot: {}, stepKernel: {}, targetStep("disk"): {"command line"}},
	} {
		now := inputs{}
		for k, v := range before {
			now[k] = v
		}
		now[name] = digest.Of([]byte("changed"))
		for step, names := range want {
			if got := now.changed(before, step); !slices.Equal(got, names) {
				t.Errorf("%s changed; step %s names %q, want %q", name, step, got, names)
			}
			if same := now.key(step) == before.key(step); same != !slices.Contains(names, name) {
				t.Errorf("%s changed; the key of %s is the same: %t", name, step, same)
			}
		}
	}
}
