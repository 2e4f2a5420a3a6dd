package pipeline

import (
	"errors"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"ashlar/internal/builder/attest"
	"ashlar/internal/builder/distro/deb"
	"ashlar/internal/contract/imageinfo"
	"ashlar/internal/foundation/digest"
	"ashlar/internal/foundation/tree"
)

// TestPapersArePublished: they stand in the sums, are told of the finished
// disk, and a build whose papers somebody touched does not stand.
func TestPapersArePublished(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	b := publisher(t)
	gen := made(t, "one")
	var told []imageinfo.File
	gen.papers = func(files []imageinfo.File) ([]attest.Paper, error) {
		told = files
		return []attest.Paper{{Name: "a.json", Data: []byte("{}")}, {Name: "z.json", Data: []byte("[]")}}, nil
	}
	a, err := b.publish(gen, out)
	if err != nil {
		t.Fatal(err)
	}
	disk := slices.IndexFunc(told, func(f imageinfo.File) bool { return f.Name == DiskImage })
	if len(told) != 3 || disk < 0 || told[disk].Digest != digest.Of([]byte("disk of one")) {
		t.Errorf("the papers are told of %v", told)
	}
	var names []string
	for _, f := range a.Files {
		names = append(names, f.Name)
	}
	if want := []string{"a.json", DiskImage, "initrd", "vmlinuz", "z.json"}; !slices.Equal(names, want) {
		t.Errorf("published are %q, want %q", names, want)
	}
	got := list(t, out)
	if got["a.json"] != "{}" || !strings.Contains(got[SumsFile], digest.Of([]byte("[]")).String()+"  z.json\n") {
		t.Errorf("published is %q", got)
	}
	if last := b.env.lastBuild(out); !last.stands(b.in, out) {
		t.Error("what was just published does not stand")
	}
	if err := CopyIfAbsent(filepath.Join(out, "a.json"), filepath.Join(out, "b")); err != nil {
		t.Fatal(err)
	}
	if _, err := publishSparse(filepath.Join(out, "b"), filepath.Join(out, "a.json")); err != nil {
		t.Fatal(err)
	}
	if last := b.env.lastBuild(out); last.stands(b.in, out) {
		t.Error("a paper was replaced, and the build stands")
	}
	gen = made(t, "two")
	gen.papers = func([]imageinfo.File) ([]attest.Paper, error) { return nil, errors.New("no ink") }
	if _, err := b.publish(gen, out); err == nil || list(t, out)["vmlinuz"] != "kernel of one" {
		t.Errorf("without papers: %v", err)
	}
}

// TestDeviceProgram reads the program that images get.
func TestDeviceProgram(t *testing.T) {
	p, err := deviceProgram("amd64", "1")
	if err != nil {
		t.Fatal(err)
	}
	has := slices.ContainsFunc(p.Modules, func(m attest.Module) bool {
		return m.Path == "golang.org/x/sys" && strings.HasPrefix(m.Version, "v")
	})
	if p.Name != "ashlar-init" || p.Digest.IsZero() || "go"+p.Go != runtime.Version() || !has {
		t.Errorf("%+v", p)
	}
	if _, err := deviceProgram("pdp11", "1"); err == nil {
		t.Error("there is a program for pdp11")
	}
}

// TestCopyrightOf: a package's own file, or the name of the package that has it.
func TestCopyrightOf(t *testing.T) {
	const dir = "usr/share/doc/x"
	for _, c := range []struct {
		name       string
		entry      tree.Entry
		data, like string
	}{
		{"its own", tree.NewFile(dir+"/copyright", 0o644, []byte("free")), "free", ""},
		{"a linked directory", tree.NewSymlink(dir, "y"), "", "y"},
		{"a linked file", tree.NewSymlink(dir+"/copyright", "../y/copyright"), "", "y"},
		{"none", tree.NewFile(dir+"/changelog", 0o644, []byte("old")), "", ""},
		{"another's", tree.NewFile("usr/share/doc/y/copyright", 0o644, []byte("not free")), "", ""},
	} {
		data, like, err := copyrightOf("x", &deb.Unpacked{Entries: []deb.Entry{{Entry: c.entry}}})
		if err != nil || string(data) != c.data || like != c.like {
			t.Errorf("%s: %q, %q, %v", c.name, data, like, err)
		}
	}
	all := make([]attest.Package, 4)
	for n, name := range []string{"x", "y", "loop", "lost"} {
		all[n].Name = name
	}
	all[0].Like, all[2].Like, all[3].Like = "y", "loop", "gone"
	all[1].License, all[1].Texts = "LicenseRef-y-z", map[string]string{"LicenseRef-y-z": "text"}
	shareLicenses(all)
	if all[0].License != "LicenseRef-y-z" || all[0].Texts["LicenseRef-y-z"] != "text" || all[2].License != "" || all[3].License != "" {
		t.Errorf("%+v", all)
	}
}
