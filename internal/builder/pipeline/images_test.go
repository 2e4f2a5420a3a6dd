package pipeline

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"ashlar/internal/builder/target"
	"ashlar/internal/contract/imageinfo"
	"ashlar/internal/contract/layout"
	"ashlar/internal/format/cpio"
	"ashlar/internal/format/squashfs"
	"ashlar/internal/foundation/digest"
	"ashlar/internal/foundation/tree"
)

const testEpoch = 1_700_000_000

// grow makes a tree of entries with their parents.
func grow(t testing.TB, entries ...tree.Entry) *tree.Tree {
	t.Helper()
	tr := &tree.Tree{}
	if err := tr.Put(tree.NewDir(".", 0o755)); err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if err := errors.Join(tr.AddParents(e.Path, 0o755, 5), tr.Put(e)); err != nil {
			t.Fatal(err)
		}
	}
	return tr
}

// writeSquash writes a tree as an image into a file.
func writeSquash(t testing.TB, tr *tree.Tree, name string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	_, err = squashfs.Write(t.Context(), f, tr, squashfs.Options{Epoch: testEpoch, Workers: 1})
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	return path
}

func writeInitrd(t testing.TB, tr *tree.Tree) string {
	t.Helper()
	var archive bytes.Buffer
	enc, err := zstd.NewWriter(&archive)
	if err == nil {
		err = errors.Join(cpio.Write(enc, tr, cpio.Options{}), enc.Close())
	}
	path := filepath.Join(t.TempDir(), layout.GenInitrd)
	if err := errors.Join(err, os.WriteFile(path, archive.Bytes(), 0o600)); err != nil {
		t.Fatal(err)
	}
	return path
}

// writeDisk makes a disk with one generation of that root.
func writeDisk(t testing.TB, root string) string {
	t.Helper()
	data, err := os.ReadFile(root)
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := json.Marshal(imageinfo.Manifest{Version: imageinfo.Version, Name: "shop", Arch: "amd64"})
	if err != nil {
		t.Fatal(err)
	}
	const generation = layout.GenerationsDir + "/0123456789abcdef/"
	plan, err := target.PlanDisk(target.DiskInput{
		Name: "shop", Lock: digest.Of(nil).String(), Epoch: testEpoch, StateSize: 64 << 20,
		ESP:    grow(t, tree.NewFile("EFI/BOOT/grub.cfg", 0o644, []byte("x"))),
		System: grow(t, tree.NewFile(generation+layout.GenRoot, 0o444, data), tree.NewFile(generation+layout.GenManifest, 0o444, manifest)),
	})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), DiskImage)
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(plan.Write(t.Context(), f), f.Close()); err != nil {
		t.Fatal(err)
	}
	return path
}

// pairs of trees that differ in every field, and what is said about it.
func pair(t testing.TB) (a, b *tree.Tree) {
	file := func(name, text string, mode uint32, uid uint32, mtime int64) tree.Entry {
		e := tree.NewFile(name, mode, []byte(text))
		e.UID, e.MTime = uid, mtime
		return e
	}
	a = grow(t, file("same", "x", 0o644, 0, 9), file("etc/conf", "one two", 0o644, 0, 9), file("etc/mode", "x", 0o4755, 0, 9), file("old", "gone", 0o644, 0, 9),
		tree.NewSymlink("link", "here"), file("kind", "x", 0o644, 0, 0))
	b = grow(t, file("same", "x", 0o644, 0, 9), file("etc/conf", "one too!", 0o644, 0, 9), file("etc/mode", "x", 0o755, 7, 8), file("new", "", 0o644, 0, 9),
		tree.NewSymlink("link", "there"), tree.NewDir("kind", 0o755))
	return a, b
}

var pairDifferences = []string{
	"etc/conf: size 7 → 8, content from byte 5",
	"etc/mode: mode 4755 → 0755, owner 0:0 → 7:0, mtime 9 → 8",
	"kind: kind file → dir, mode 0644 → 0755, size 1 → 0",
	"link: target here → there",
	"new: only in the second (file, 0 bytes)",
	"old: only in the first (file, 4 bytes)",
}

func TestCompareTrees(t *testing.T) {
	a, b := pair(t)
	lines, err := CompareTrees(a, b)
	if err != nil {
		t.Fatal(err)
	}
	for i, line := range lines {
		lines[i] = strings.TrimSuffix(line, " on")
	}
	if !slices.Equal(lines, pairDifferences) {
		t.Errorf("got  %s\nwant %s", strings.Join(lines, "\n     "), strings.Join(pairDifferences, "\n     "))
	}
	if lines, err := CompareTrees(a, a.Clone()); err != nil || len(lines) > 0 {
		t.Errorf("of one tree: %q, %v", lines, err)
	}
}

// TestCompareImages: the same differences are found through every kind of
// image, down to the root image on the system partition of a disk.
func TestCompareImages(t *testing.T) {
	a, b := pair(t)
	sa, sb := writeSquash(t, a, layout.GenRoot), writeSquash(t, b, layout.GenRoot)
	for _, c := range []struct{ prefix, a, b string }{
		{"root/", sa, sb}, {"initrd/", writeInitrd(t, a), writeInitrd(t, b)}, {layout.GenRoot + "/", writeDisk(t, sa), writeDisk(t, sb)},
	} {
		lines, err := CompareImages(c.a, c.b)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range pairDifferences {
			if !slices.ContainsFunc(lines, func(line string) bool { return strings.HasPrefix(line, c.prefix+want) }) {
				t.Errorf("%s%s: not among\n%s", c.prefix, want, strings.Join(lines, "\n"))
			}
		}
		if slices.ContainsFunc(lines, func(line string) bool { return strings.Contains(line, "same") }) {
			t.Errorf("a file that is the same is named: %q", lines)
		}
		if lines, err := CompareImages(c.a, c.a); err != nil || len(lines) > 0 {
			t.Errorf("an image and itself: %q, %v", lines, err)
		}
	}
	lines, err := CompareImages(sa, writeInitrd(t, a))
	if err != nil || fmt.Sprint(lines) != "[kind squashfs → initrd]" {
		t.Errorf("of two kinds: %q, %v", lines, err)
	}
}

func TestOpenDisk(t *testing.T) {
	tr, _ := pair(t)
	i, err := OpenImage(writeDisk(t, writeSquash(t, tr, layout.GenRoot)))
	if err != nil {
		t.Fatal(err)
	}
	defer i.Close()
	var names []string
	for _, p := range i.Parts {
		names = append(names, p.Name+":"+p.Format)
	}
	if want := []string{layout.PartSystem + ":ext4", layout.GenRoot + ":squashfs", layout.PartState + ":ext4"}; i.Kind != "disk" || !slices.Equal(names[1:], want) {
		t.Errorf("%s of %q", i.Kind, names)
	}
	if len(i.Manifest) != 1 || i.Manifest[0].Name != "shop" {
		t.Errorf("manifests %+v", i.Manifest)
	}
}

// TestDamaged cuts images off and changes bytes in them: there is an error or
// there are trees, and reading those ends, too.
func TestDamaged(t *testing.T) {
	a, b := pair(t)
	good := writeSquash(t, b, "good")
	for _, path := range []string{writeSquash(t, a, "squash"), writeInitrd(t, a)} {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		look := func(what string, bad []byte) {
			if err := os.WriteFile(path, bad, 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := CompareImages(path, good); err != nil && !strings.HasPrefix(err.Error(), "read image "+path+": ") && !strings.Contains(err.Error(), "squashfs") {
				t.Errorf("%s: the error names no file: %v", what, err)
			}
		}
		for size := 4; size < len(data); size += 1 + len(data)/100 {
			look(fmt.Sprintf("%d bytes", size), data[:size])
			bad := bytes.Clone(data)
			bad[size] ^= 0xff
			look(fmt.Sprintf("byte %d", size), bad)
		}
		look("cut", data[:90])
		if _, err := OpenImage(path); err == nil {
			t.Errorf("90 bytes of %s are taken for all of it", filepath.Base(path))
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	if _, err := OpenImage(filepath.Join(dir, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("nothing: %v", err)
	}
	for path, want := range map[string]string{dir: "directory", "/dev/null": "device"} {
		if _, err := OpenImage(path); err == nil || !strings.HasSuffix(err.Error(), "is not a file but a "+want) {
			t.Errorf("%s: %v", path, err)
		}
	}
	broken := filepath.Join(dir, LockName)
	if err := os.WriteFile(broken, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenImage(broken); !errors.Is(err, ErrBadLock) {
		t.Errorf("half a lock: %v", err)
	}
}

// FuzzOpenImage looks into what may be an image of any kind.
func FuzzOpenImage(f *testing.F) {
	tr, _ := pair(f)
	for _, path := range []string{writeSquash(f, tr, "squash"), writeInitrd(f, tr)} {
		data, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte(`{"arches": {}, "version": 1}`))
	f.Add(append(make([]byte, 512), "EFI PART"...))
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(t.TempDir(), "image")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		i, err := OpenImage(path)
		if err != nil {
			return
		}
		defer i.Close()
		if i.Size != int64(len(data)) || i.Digest != digest.Of(data) {
			t.Errorf("%d bytes, %s", i.Size, i.Digest)
		}
		if lines, err := CompareImages(path, path); err != nil || len(lines) > 0 {
			t.Errorf("differs from itself: %q, %v", lines, err)
		}
	})
}
