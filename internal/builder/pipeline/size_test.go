package pipeline

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"ashlar/internal/builder/distro/deb"
	"ashlar/internal/builder/sizes"
	"ashlar/internal/contract/imageinfo"
	"ashlar/internal/contract/layout"
	"ashlar/internal/format/erofs"
	"ashlar/internal/format/squashfs"
	"ashlar/internal/foundation/tree"
)

// rootOf is a small root of two packages, merged /usr, with a file of nobody.
func rootOf(t *testing.T, more ...tree.Entry) *tree.Tree {
	t.Helper()
	root := &tree.Tree{}
	big := make([]byte, 300_000)
	for n := range big {
		big[n] = byte(n * n >> 5)
	}
	for _, e := range append([]tree.Entry{
		tree.NewDir(".", 0o755), tree.NewSymlink("bin", "usr/bin"), tree.NewFile("usr/bin/tool", 0o755, big), tree.NewFile("usr/bin/other", 0o755, []byte("other")),
		tree.NewFile("etc/cache", 0o644, []byte("made by a script")), tree.NewFile("usr/lib/ashlar/machine.json", 0o644, []byte("{}")),
	}, more...) {
		if err := errors.Join(root.AddParents(e.Path, 0o755, 0), root.Put(e)); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// writeRoot writes a root image and gives its size.
func writeRoot(t *testing.T, name string, root *tree.Tree) int64 {
	t.Helper()
	c, err := squashfs.NewCompressor("zstd", 1)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	stats, err := squashfs.Write(t.Context(), f, root, squashfs.Options{Compressor: c})
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	return stats.Size
}

func packagesIn(r *sizes.Report) []string {
	var names []string
	for _, p := range r.Packages {
		names = append(names, p.Name)
	}
	slices.Sort(names)
	return names
}

// TestSizesByDpkg: an image alone tells its packages by dpkg's lists.
func TestSizesByDpkg(t *testing.T) {
	list := tree.NewFile("var/lib/dpkg/info/tool:amd64.list", 0o644, []byte("/.\n/bin\n/bin/tool\n"))
	other := tree.NewFile("var/lib/dpkg/info/other.list", 0o644, []byte("/usr/bin/other\n/usr/bin/gone\n"))
	name := filepath.Join(t.TempDir(), "some.image")
	size := writeRoot(t, name, rootOf(t, list, other))
	checkByDpkg(t, name, size)
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	c, err := erofs.NewCompressor("lz4", 0)
	if err != nil {
		t.Fatal(err)
	}
	stats, err := erofs.Write(t.Context(), f, rootOf(t, list, other), erofs.Options{Compressor: c})
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	checkByDpkg(t, name, stats.Size)
}

func checkByDpkg(t *testing.T, name string, size int64) {
	t.Helper()
	r, err := (&Env{}).Sizes(t.Context(), name, "")
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{sizes.OwnerAshlar, sizes.OwnerMade, sizes.OwnerOverhead, "other", "tool"}; !slices.Equal(packagesIn(r), want) {
		t.Errorf("packages %q, want %q", packagesIn(r), want)
	}
	if r.Stored != size || r.Owners != "dpkg" || r.Name != "some.image" || r.Packages[0].Name != "tool" || r.Packages[0].Size != 300_000 {
		t.Errorf("%d bytes of %d, %+v", r.Stored, size, r)
	}
}

// TestSizesOfOutput: the output of a build without its definition.
func TestSizesOfOutput(t *testing.T) {
	dir := t.TempDir()
	size := writeRoot(t, filepath.Join(dir, layout.GenRoot), rootOf(t))
	if err := os.WriteFile(filepath.Join(dir, layout.GenKernel), []byte("MZ kernel"), 0o600); err != nil {
		t.Fatal(err)
	}
	manifest := func(m imageinfo.Manifest) {
		t.Helper()
		data, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, ManifestFile), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	manifest(imageinfo.Manifest{Name: "web", Arch: "amd64", Files: []imageinfo.File{{Name: layout.GenKernel}, {Name: layout.GenRoot}}})
	r, err := (&Env{}).Sizes(t.Context(), dir, "")
	if err != nil {
		t.Fatal(err)
	}
	want := []sizes.Row{{Name: layout.GenRoot, Sum: sizes.Sum{Files: 4, Stored: size, Size: 300_023}}, {Name: layout.GenKernel, Sum: sizes.Sum{Files: 1, Stored: 9, Size: 9}}}
	if !slices.Equal(r.Parts, want) || r.Owners != "" || r.Packages != nil {
		t.Errorf("%v, want %v; %+v", r.Parts, want, r)
	}
	manifest(imageinfo.Manifest{Files: []imageinfo.File{{Name: "../" + layout.GenInitrd}}})
	if _, err := (&Env{}).Sizes(t.Context(), dir, ""); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
	if _, err := (&Env{}).Sizes(t.Context(), t.TempDir(), ""); !errors.Is(err, ErrNotBuilt) {
		t.Errorf("an empty directory: %v", err)
	}
}

// TestOwners: files that two packages have, modules that are compressed
// otherwise, the overlay, and what ashlar brings.
func TestOwners(t *testing.T) {
	root := rootOf(t, tree.NewFile("etc/over", 0o644, []byte("over")))
	o := newOwnership("lock", layout.GenRoot, root)
	for _, c := range []struct {
		name string
		file tree.Entry
	}{
		{"old", tree.NewFile("bin/other", 0o755, []byte("size"))}, {"new", tree.NewFile("usr/bin/other", 0o755, []byte("other"))},
		{"older", tree.NewFile("bin/other", 0o755, []byte("siz"))}, {"conf", tree.NewFile("etc/over", 0o644, []byte("old"))},
	} {
		o.claimRoot(c.name, &deb.Entry{Entry: c.file})
	}
	for _, name := range []string{"boot/vmlinuz-6", "usr/lib/modules/6/kernel/a.ko.xz", "lib/modules/6/modules.builtin"} {
		o.claimKernel("linux", &deb.Entry{Entry: tree.NewFile(name, 0o644, nil)})
	}
	dir := t.TempDir()
	if err := errors.Join(os.Mkdir(filepath.Join(dir, "etc"), 0o700), os.WriteFile(filepath.Join(dir, "etc", "over"), nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(o.claimOverlay(dir), o.claimOverlay(filepath.Join(dir, "none"))); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ part, path, want string }{
		{layout.GenRoot, "usr/bin/other", "new"}, {layout.GenRoot, "usr/bin/tool", sizes.OwnerMade}, {layout.GenRoot, "etc/over", sizes.OwnerDefinition},
		{layout.GenRoot, layout.InitBinary, sizes.OwnerAshlar}, {layout.GenKernel, ".", "linux"}, {layout.GenModules, "6/kernel/a.ko", "linux"},
		{layout.GenModules, "6/kernel/a.ko.zst", "linux"}, {layout.GenModules, "6/modules.builtin", "linux"}, {layout.GenModules, "6/modules.dep", sizes.OwnerMade},
		{layout.GenInitrd, "lib/modules/6/kernel/a.ko", "linux"}, {layout.GenInitrd, "init", sizes.OwnerAshlar}, {layout.GenInitrd, "ashlar/boot.json", sizes.OwnerAshlar},
	} {
		if got := o.of(c.part, c.path); got != c.want {
			t.Errorf("%s in %s is of %s, want %s", c.path, c.part, got, c.want)
		}
	}
}

func TestSpread(t *testing.T) {
	files := []sizes.File{{Size: 1 << 40}, {Size: 0}, {Size: 3}, {Size: 1 << 20}}
	spread(files, 1000, 1<<40+3+1<<20)
	var sum int64
	for _, f := range files {
		sum += f.Stored
	}
	if sum != 1000 || files[1].Stored != 0 {
		t.Errorf("%v", files)
	}
	spread(files[1:2], 10, 0)
}
