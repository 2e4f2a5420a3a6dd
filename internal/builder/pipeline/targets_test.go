package pipeline

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"ashlar/internal/builder/definition"
	"ashlar/internal/foundation/digest"
)

// TestMakers: the two tables have the same rows in the same order, and a step's
// inputs are inputs that there are.
func TestMakers(t *testing.T) {
	var names []string
	for _, m := range makers() {
		names = append(names, m.name)
	}
	if !slices.Equal(names, definition.TargetNames()) {
		t.Errorf("makers are %q, targets %q", names, definition.TargetNames())
	}
	b := publisher(t)
	b.arch = "amd64"
	in, err := b.inputs()
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, s := range allSteps() {
		if seen[s.name] {
			t.Errorf("two steps %s", s.name)
		}
		for _, name := range s.names {
			if _, ok := in[name]; !ok {
				t.Errorf("step %s: there is no input %q", s.name, name)
			}
		}
		for _, name := range s.after {
			if !seen[name] {
				t.Errorf("step %s is after %s, which is not before it", s.name, name)
			}
		}
		seen[s.name] = true
	}
	for _, row := range definition.Targets() {
		for _, arch := range row.Arches {
			if row.Loader != "" && len(loaderPackages(row.Loader, arch)) == 0 {
				t.Errorf("%s: no loader packages for %s", row.Name, arch)
			}
		}
	}
}

func TestChosenTargets(t *testing.T) {
	usual, bare := &project{def: parsed(t, "")}, &project{def: parsed(t, "kernel.package = \"none\"\n")}
	rootOnly := &project{def: parsed(t, "targets = [\"root\"]\n"), dir: "web"}
	for _, c := range []struct {
		p     *project
		asked []string
		want  string
	}{
		{usual, nil, "disk"}, {bare, nil, "root"}, {usual, []string{"root", "disk"}, "disk root"},
	} {
		rows, leftOut, err := c.p.targets(BuildOptions{Targets: c.asked}, "amd64")
		if got := strings.Join(targetNames(rows), " "); err != nil || got != c.want || len(leftOut) != 0 {
			t.Errorf("%q: %s, left out %v, %v; want %s", c.asked, got, leftOut, err, c.want)
		}
	}
	for _, c := range []struct {
		p     *project
		asked []string
		want  string
	}{
		{usual, []string{"disk", "floppy"}, `there is no target "floppy"; there are disk, `},
		{bare, []string{"disk"}, `target disk: it needs a kernel, and kernel.package is "none"`},
		{rootOnly, []string{"disk"}, "target disk: the lock holds no loader for it; add \"disk\" to targets in ashlar.toml and run `ashlar lock web`"},
	} {
		if _, _, err := c.p.targets(BuildOptions{Targets: c.asked}, "amd64"); !errors.Is(err, ErrNotDeclared) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v, want %s", c.asked, err, c.want)
		}
	}
	for p, reason := range map[*project]string{bare: "kernel", rootOnly: "loader"} {
		rows, leftOut, err := p.targets(BuildOptions{Targets: []string{"all"}}, "amd64")
		if err != nil || len(rows) == 0 || leftOut[0].Target != "disk" || !strings.Contains(leftOut[0].Reason, reason) {
			t.Errorf("all: %q, left out %v, %v", targetNames(rows), leftOut, err)
		}
	}
}

// TestReuseTarget: a target's files are taken while nothing that reaches it and
// nobody has changed them.
func TestReuseTarget(t *testing.T) {
	out := t.TempDir()
	b := publisher(t)
	b.in = inputs{"disk": digest.Of([]byte("1"))}
	if _, err := b.publish(made(t, "one"), out); err != nil {
		t.Fatal(err)
	}
	b.last = b.env.lastBuild(out)
	if dir := t.TempDir(); !b.reuseTarget("disk", out, dir) || list(t, dir)[DiskImage] != "disk of one" {
		t.Errorf("what stands is not taken: %q", list(t, dir))
	}
	b.in = inputs{"disk": digest.Of([]byte("1")), "locale": digest.Of(nil)}
	if b.reuseTarget("disk", out, t.TempDir()) {
		t.Error("the root before it is another, and the disk is taken")
	}
	b.in = inputs{"disk": digest.Of([]byte("2"))}
	if b.reuseTarget("disk", out, t.TempDir()) {
		t.Error("its own input changed, and it is taken")
	}
	b.in = b.last.Inputs
	if _, err := b.publish(made(t, "two"), out); err != nil {
		t.Fatal(err)
	}
	if b.reuseTarget("disk", out, t.TempDir()) {
		t.Error("another build's file is taken")
	}
	if b.reuseTarget("root", out, t.TempDir()) {
		t.Error("a target that makes no files is taken")
	}
}

// TestLanes: every target is in one lane, the disk's forms are behind the disk.
func TestLanes(t *testing.T) {
	b := &build{targets: definition.Targets()}
	seen := map[int]bool{}
	for _, lane := range b.lanes() {
		if !slices.IsSorted(lane) {
			t.Errorf("the order of a lane is %v", lane)
		}
		for _, n := range lane {
			if seen[n] {
				t.Errorf("%s is made twice", b.targets[n].Name)
			}
			seen[n] = true
			if name := findMaker(b.targets[n].Name).lane; len(lane) > 1 && name == "" || name == laneDisk && b.targets[lane[0]].Name != "disk" {
				t.Errorf("%s is in the lane of %s", b.targets[n].Name, b.targets[lane[0]].Name)
			}
		}
	}
	if len(seen) != len(b.targets) {
		t.Errorf("%d of %d targets are made", len(seen), len(b.targets))
	}
}
