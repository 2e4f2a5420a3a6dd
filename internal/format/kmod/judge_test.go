package kmod_test

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ashlar/internal/format/kmod"
	"ashlar/internal/testenv"
)

// program runs a program and gives what it prints.
type program func(t *testing.T, name string, args ...string) string

// judge gives a way to call the programs of Debian's kmod package, by its own
// libraries, whatever this machine has.
func judge(t *testing.T) program {
	t.Helper()
	archive := testenv.Debian(t, "stable")
	usr := filepath.Join(archive.Unpack(t, "kmod", "libkmod2", "libc6", "libzstd1", "liblzma5", "libssl3t64", "zlib1g"), "usr")
	return func(t *testing.T, name string, args ...string) string {
		t.Helper()
		loader := []string{"--argv0", name, "--library-path", filepath.Join(usr, "lib", "x86_64-linux-gnu"), filepath.Join(usr, "bin", "kmod")}
		out, err := exec.Command(filepath.Join(usr, "lib64", "ld-linux-x86-64.so.2"), append(loader, args...)...).CombinedOutput()
		if err != nil {
			t.Fatalf("%s %q: %v\n%s", name, args, err, out)
		}
		return string(out)
	}
}

// read gives the modules of a directory and the files of depmod's for them.
func read(t *testing.T, dir string) (*kmod.Graph, []*kmod.Module, []kmod.File) {
	t.Helper()
	var modules []*kmod.Module
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		name, _ := filepath.Rel(dir, path)
		if _, ok := kmod.Name(name); !ok || err != nil || d.IsDir() {
			return err
		}
		packed, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		data, err := kmod.Decompress(name, packed)
		if err != nil {
			return err
		}
		m, err := kmod.Read(name, data)
		modules = append(modules, m)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Reverse(modules) // the order they come in does not matter
	file := func(name string) []byte {
		data, _ := os.ReadFile(filepath.Join(dir, name)) // may be missing
		return data
	}
	g, err := kmod.NewGraph(modules, file("modules.order"))
	if err != nil {
		t.Fatal(err)
	}
	files, err := g.Files(kmod.Builtin{List: file("modules.builtin"), Info: file("modules.builtin.modinfo")})
	if err != nil {
		t.Fatal(err)
	}
	return g, modules, files
}

// compare holds files against those that depmod wrote into a directory.
func compare(t *testing.T, dir string, files []kmod.File) {
	t.Helper()
	for _, f := range files {
		want, err := os.ReadFile(filepath.Join(dir, f.Name))
		if err != nil {
			t.Error(err)
			continue
		}
		got := f.Data
		if f.Name == "modules.symbols" { // depmod's order is that of a hash table
			got, want = sortLines(got), sortLines(want)
		}
		if !bytes.Equal(got, want) {
			at := 0
			for at < len(got) && at < len(want) && got[at] == want[at] {
				at++
			}
			from := max(at-40, 0)
			t.Errorf("%s: %d bytes, depmod's has %d; at %d\ngot  %q\nwant %q", f.Name, len(got), len(want), at,
				got[from:min(at+80, len(got))], want[from:min(at+80, len(want))])
		}
	}
}

func sortLines(data []byte) []byte {
	lines := strings.Split(string(data), "\n")
	slices.Sort(lines)
	return []byte(strings.Join(lines, "\n"))
}

// TestDepmod holds our files against those of Debian's depmod.
func TestDepmod(t *testing.T) {
	call := judge(t)
	t.Run("the cloud kernel", func(t *testing.T) { debianKernel(t, call) })
	t.Run("an odd directory", func(t *testing.T) { oddDirectory(t, call) })
}

// debianKernel: all files as depmod writes them for the cloud kernel of the
// mirror, and modprobe gives the same answers from ours.
func debianKernel(t *testing.T, call program) {
	root := testenv.Debian(t, "stable").CloudKernel(t)
	if err := os.Symlink("usr/lib", filepath.Join(root, "lib")); err != nil {
		t.Fatal(err)
	}
	found, err := filepath.Glob(filepath.Join(root, "usr/lib/modules/*"))
	if err != nil || len(found) != 1 {
		t.Fatalf("the kernel has %q, %v", found, err)
	}
	dir, release := found[0], filepath.Base(found[0])
	g, modules, files := read(t, dir)
	call(t, "depmod", "-b", root, release)
	compare(t, dir, files)

	var names []string
	for _, m := range modules {
		names = append(names, m.Name)
	}
	slices.Sort(names)
	ask := append([]string{"-a", "--show-depends", "-S", release, "-d", root, "-C", filepath.Join(root, "boot")}, names...)
	want := call(t, "modprobe", ask...)
	for _, f := range files {
		if err := os.WriteFile(filepath.Join(dir, f.Name), f.Data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got := call(t, "modprobe", ask...)
	if got != want || strings.Count(got, "insmod") < len(names) {
		t.Errorf("modprobe answers otherwise by our files:\n%.2000s", got)
	}
	checkIndexes(t, g, modules, files)
}

// checkIndexes asks our reader for what the modules say.
func checkIndexes(t *testing.T, g *kmod.Graph, modules []*kmod.Module, files []kmod.File) {
	t.Helper()
	index := func(name string) *kmod.Index {
		n := slices.IndexFunc(files, func(f kmod.File) bool { return f.Name == name })
		x, err := kmod.OpenIndex(files[n].Data)
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
	dep, alias := index("modules.dep.bin"), index("modules.alias.bin")
	for _, m := range modules {
		paths, ok := g.Depends(m.Name)
		line := strings.Join(append([]string{m.Path + ":"}, paths...), " ")
		found, err := dep.Lookup(m.Name)
		if !ok || err != nil || len(found) != 1 || found[0].Value != line {
			t.Errorf("%s: %v, %v, want %q", m.Name, found, err, line)
		}
		for _, pattern := range m.Values("alias") {
			name := kmod.Normalise(strings.ReplaceAll(pattern, "*", "00"))
			if strings.ContainsAny(pattern, "?[") {
				continue
			}
			found, err := alias.Search(name)
			if err != nil || !slices.ContainsFunc(found, func(e kmod.Entry) bool { return e.Value == m.Name }) {
				t.Errorf("%s, which is a %s: %v, %v", name, pattern, found, err)
			}
		}
	}
}

// oddDirectory: what Debian's kernels have none of.
func oddDirectory(t *testing.T, call program) {
	root := t.TempDir()
	dir := filepath.Join(root, "lib/modules/1.2.3")
	write := func(name string, data []byte) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for name, data := range kmod.OddModules() {
		write(name, data)
	}
	write("modules.order", []byte("kernel/z/last-first.ko\nkernel/no/such.ko\nkernel/a/base.ko\nkernel/m/chain1.ko\nkernel/m/chain2.ko\nkernel/m/chain3.ko\nupdates/twice.ko\n"))
	write("modules.builtin", []byte("kernel/fs/built-in.ko\nkernel/other.ko\nkernel/fs/built-in.ko\n"))
	write("modules.builtin.modinfo", []byte("built_in.alias=fs-built-in\x00built_in.license=GPL\x00built_in.alias=x[a-b]-*\x00other.alias=fs-built-in\x00other.file=a.b\x00"))
	_, _, files := read(t, dir)
	call(t, "depmod", "-b", root, "-C", filepath.Join(root, "none"), "1.2.3")
	compare(t, dir, files)
	for _, f := range files {
		if !strings.Contains(f.Name, "weak") {
			continue
		}
		if !bytes.Contains(f.Data, []byte("weakdep last_first base")) {
			t.Errorf("%s:\n%s", f.Name, f.Data)
		}
	}
}

func TestCircle(t *testing.T) {
	a := &kmod.Module{Path: "a.ko", Name: "a", Exports: []string{"from_a"}, Needs: []string{"from_b"}}
	b := &kmod.Module{Path: "b.ko", Name: "b", Exports: []string{"from_b"}, Needs: []string{"from_a"}}
	c := &kmod.Module{Path: "c.ko", Name: "c", Needs: []string{"from_a"}}
	if _, err := kmod.NewGraph([]*kmod.Module{a, b, c}, nil); err == nil || !strings.Contains(err.Error(), "a, b need each other") {
		t.Errorf("two that need each other: %v", err)
	}
}

// TestNotASCII: the index cannot hold it, and that is said.
func TestNotASCII(t *testing.T) {
	m := &kmod.Module{Path: "a.ko", Name: "a", Info: []kmod.Field{{Key: "alias", Value: "größe"}}}
	g, err := kmod.NewGraph([]*kmod.Module{m}, nil)
	if err == nil {
		_, err = g.Files(kmod.Builtin{})
	}
	if err == nil || !strings.Contains(fmt.Sprint(err), `modules.alias.bin: index "größe": not ASCII`) {
		t.Errorf("an alias with umlauts: %v", err)
	}
}
