package pipeline

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ashlar/internal/builder/definition"
	"ashlar/internal/builder/distro/deb"
	"ashlar/internal/builder/distro/deb/pkginfo"
	"ashlar/internal/builder/lock"
	"ashlar/internal/foundation/tree"
	"ashlar/internal/testenv"
)

// parsed is a definition with some lines more than it must have.
func parsed(t *testing.T, more string) *definition.Definition {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, DefinitionName), []byte("name = \"shop\"\nbase.suite = \"trixie\"\n"+more), 0o600); err != nil {
		t.Fatal(err)
	}
	def, err := definition.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	return def
}

// surroundings is an Env with these variables only.
func surroundings(variables map[string]string) *Env {
	return &Env{Getenv: func(name string) string { return variables[name] }}
}

// TestEpoch: SOURCE_DATE_EPOCH, else the last commit of the directory, else the
// lock's date.
func TestEpoch(t *testing.T) {
	git := testenv.RequireTool(t, "git")
	dir := t.TempDir()
	p := &project{dir: dir, lock: &lock.Lock{Epoch: 500}}
	expect := func(env map[string]string, want int64) {
		t.Helper()
		if got, err := surroundings(env).epoch(t.Context(), p); err != nil || got != want {
			t.Errorf("with %v: %d, %v, want %d", env, got, err, want)
		}
	}
	expect(nil, 500)
	script := `"$1" init -q . && echo x > f && "$1" add f && "$1" -c user.name=n -c user.email=e commit -q -m m &&
		echo y > g && "$1" add g && GIT_COMMITTER_DATE=@800000000 "$1" -c user.name=n -c user.email=e commit -q -m m -- g`
	cmd := exec.Command("sh", "-c", script, "sh", git)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GIT_COMMITTER_DATE=@700000000 +0000")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	expect(nil, 800000000)
	expect(map[string]string{"SOURCE_DATE_EPOCH": "7"}, 7)
	p.dir = filepath.Join(dir, "new") // in the checkout, not committed
	if err := os.Mkdir(p.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	expect(nil, 500)
	for _, bad := range []string{"-1", "1.5", "soon", "99999999999999999999"} {
		if got, err := surroundings(map[string]string{"SOURCE_DATE_EPOCH": bad}).epoch(t.Context(), p); err == nil {
			t.Errorf("SOURCE_DATE_EPOCH=%s gives %d", bad, got)
		}
	}
}

func TestKeepers(t *testing.T) {
	old := &lock.Lock{Arches: map[string]lock.Arch{"amd64": {
		Packages: []lock.Package{{Name: "nginx", Version: "1"}, {Name: "libc6", Version: "2"}}, Kernel: []lock.Package{{Name: "linux", Version: "3"}},
		Boot: []lock.Package{{Name: "grub", Version: "4"}}, Tools: []lock.Package{{Name: "qemu", Version: "5"}},
	}}}
	for _, c := range []struct {
		opt  LockOptions
		want string
	}{
		{LockOptions{}, "map[amd64:map[grub:4 libc6:2 linux:3 nginx:1 qemu:5]]"},
		{LockOptions{Only: []string{"nginx", "linux"}}, "map[amd64:map[grub:4 libc6:2 qemu:5]]"},
		{LockOptions{Update: true}, "map[]"},
		{LockOptions{Update: true, Only: []string{"nginx"}}, "map[]"},
	} {
		if got := fmt.Sprint(keepers(old, c.opt)); got != c.want {
			t.Errorf("%+v: %s, want %s", c.opt, got, c.want)
		}
	}
}

func TestCheck(t *testing.T) {
	p := &project{def: parsed(t, "")}
	if err := p.check(BuildOptions{Arch: "amd64"}); err != nil {
		t.Error(err)
	}
	if err := p.check(BuildOptions{Arch: "riscv64"}); !errors.Is(err, ErrNotDeclared) {
		t.Error(err)
	}
}

// TestReachable: what leads only through a package that is left out is left
// out, too; circles end; a virtual name leads to all that provide it.
func TestReachable(t *testing.T) {
	all := []*pkginfo.Package{
		{Name: "top", Depends: "lib (>= 1), gui | text", PreDepends: "base"}, {Name: "lib", Depends: "top, virtual"}, {Name: "base"},
		{Name: "gui", Depends: "toolkit"}, {Name: "toolkit"}, {Name: "text"}, {Name: "provider", Provides: "virtual (= 1), other"}, {Name: "apart"},
	}
	names := func(set ToolSet) string {
		found, err := reachable(all, set)
		if err != nil {
			t.Fatal(err)
		}
		var list []string
		for _, p := range found {
			list = append(list, p.Name)
		}
		slices.Sort(list)
		return strings.Join(list, " ")
	}
	if got := names(ToolSet{Packages: []string{"top"}}); got != "base gui lib provider text toolkit top" {
		t.Errorf("with all: %s", got)
	}
	if got := names(ToolSet{Packages: []string{"top"}, Without: []string{"gui"}}); got != "base lib provider text top" {
		t.Errorf("without gui: %s", got)
	}
	all[0].Depends = "lib (>="
	if _, err := reachable(all, ToolSet{Packages: []string{"top"}}); err == nil || !strings.Contains(err.Error(), "top") {
		t.Errorf("a broken field: %v", err)
	}
}

// TestMaterialise: tools are unpacked through the links of a merged /usr, and
// absolute links stay inside.
func TestMaterialise(t *testing.T) {
	entries := []tree.Entry{
		tree.NewDir("usr", 0o755), tree.NewFile("bin/tool", 0o4755, []byte("tool")), tree.NewFile("usr/share/doc/x", 0o644, nil),
		tree.NewSymlink("usr/lib/absolute", "/usr/bin/tool"), tree.NewSymlink("usr/bin/relative", "tool"),
		{Path: "usr/bin/twin", Kind: tree.HardLink, Target: "bin/tool"},
	}
	u := &deb.Unpacked{}
	for _, e := range entries {
		u.Entries = append(u.Entries, deb.Entry{Entry: e})
	}
	root := filepath.Join(t.TempDir(), "root")
	if err := materialise(root, []*deb.Unpacked{u}, func(path string) bool { return !strings.HasPrefix(path, "usr/share/doc") }); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"bin/tool", "usr/bin/tool", "usr/lib/absolute", "usr/bin/relative", "usr/bin/twin"} {
		if data, err := os.ReadFile(filepath.Join(root, name)); err != nil || string(data) != "tool" {
			t.Errorf("%s: %q, %v", name, data, err)
		}
		resolved, err := filepath.EvalSymlinks(filepath.Join(root, name))
		if err != nil || !strings.HasPrefix(resolved, root+"/usr/") {
			t.Errorf("%s leads to %s, %v", name, resolved, err)
		}
	}
	if info, err := os.Stat(filepath.Join(root, "usr/bin/tool")); err != nil || info.Mode() != 0o755 {
		t.Errorf("set-id bits stay: %v, %v", info.Mode(), err)
	}
	if _, err := os.Stat(filepath.Join(root, "usr/share/doc")); err == nil {
		t.Error("what is not wanted is unpacked")
	}
}

// TestCopyDefinition: all but the output, with the right to run programs.
func TestCopyDefinition(t *testing.T) {
	from, to := t.TempDir(), filepath.Join(t.TempDir(), "a b", "copy")
	for name, mode := range map[string]os.FileMode{DefinitionName: 0o644, "files/bin/run": 0o755, "files/out/kept": 0o644, "out/" + DiskImage: 0o644} {
		path := filepath.Join(from, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(name), mode)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("bin/run", filepath.Join(from, "files", "link")); err != nil {
		t.Fatal(err)
	}
	if err := copyDefinition(from, to); err != nil {
		t.Fatal(err)
	}
	got := list(t, to)
	if len(got) != 4 || got["files/out/kept"] != "files/out/kept" || got[DefinitionName] != DefinitionName {
		t.Errorf("copied are %q", got)
	}
	if target, err := os.Readlink(filepath.Join(to, "files", "link")); err != nil || target != "bin/run" {
		t.Errorf("the link leads to %q, %v", target, err)
	}
	if info, err := os.Stat(filepath.Join(to, "files/bin/run")); err != nil || info.Mode()&0o100 == 0 {
		t.Errorf("the program is %v, %v", info.Mode(), err)
	}
}

// TestCompareOutputs explains a difference by the file's name, also of a file
// that one of the two builds did not make.
func TestCompareOutputs(t *testing.T) {
	a, b := t.TempDir(), t.TempDir()
	put := func(dir, name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put(a, "same", "x")
	put(b, "same", "x")
	v, err := compareOutputs(a, b)
	if err != nil || !v.Equal || len(v.Files) != 1 || len(v.Differences) != 0 {
		t.Errorf("%+v, %v", v, err)
	}
	put(a, "file", "one")
	put(b, "file", "two")
	put(a, "first", "")
	put(b, "second", "")
	v, err = compareOutputs(a, b)
	if err != nil || v.Equal || len(v.Differences) != 3 {
		t.Fatalf("%+v, %v", v, err)
	}
	for n, want := range []string{"file: sizes 3 and 3; the first byte that differs is at 0", "first: only in the first", "second: only in the second"} {
		if !strings.HasPrefix(v.Differences[n], want) {
			t.Errorf("%q, want %q", v.Differences[n], want)
		}
	}
}

func TestMirrorsOfTheEnvironment(t *testing.T) {
	e := surroundings(map[string]string{VendorVariable: "/a b", "ASHLAR_MIRROR_DEBIAN": "http://near/debian"})
	if got := fmt.Sprint(e.extraMirrors("debian")); got != "[file:///a%20b/debian http://near/debian]" {
		t.Errorf("of debian: %s", got)
	}
	if got := fmt.Sprint(e.extraMirrors("debian-security")); got != "[file:///a%20b/debian-security]" {
		t.Errorf("of debian-security: %s", got)
	}
	if got := surroundings(nil).extraMirrors("debian"); len(got) != 0 {
		t.Errorf("without variables: %q", got)
	}
}

// TestConditions: nothing that may show is the same in both.
func TestConditions(t *testing.T) {
	a, b := Conditions[0], Conditions[1]
	if a.Umask == b.Umask || a.Timezone == b.Timezone || a.Locale == b.Locale || a.Processors == b.Processors || a.Hostname == b.Hostname || a.Home == b.Home {
		t.Errorf("the conditions have something in common: %+v and %+v", a, b)
	}
}
