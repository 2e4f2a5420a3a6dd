package deb_test

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"ashlar/internal/builder/distro/deb"
	"ashlar/internal/builder/lock"
	"ashlar/internal/builder/store"
	"ashlar/internal/foundation/digest"
	"ashlar/internal/foundation/tree"
	"ashlar/internal/testenv"
)

var compareUnpacked = cmp.Options{cmp.AllowUnexported(store.Blob{}), cmpopts.EquateEmpty()}

// putDeb makes a package and puts it into the store.
func putDeb(t testing.TB, st *store.Store, name string, files map[string]string) lock.Package {
	t.Helper()
	path := filepath.Join(t.TempDir(), name+".deb")
	buildDeb(t, path, name, "all", "", files)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	d, err := st.PutBytes(data)
	if err != nil {
		t.Fatal(err)
	}
	return lock.Package{Name: name, Version: "1.0-1", Arch: "all", Size: int64(len(data)), Digest: d}
}

func TestUnpack(t *testing.T) {
	st := openStore(t)
	p := putDeb(t, st, "x", map[string]string{
		"DEBIAN/conffiles": "/etc/x.conf\n", "DEBIAN/md5sums": "", "etc/x.conf": "conf\n", "usr/share/empty": "", "usr/share/big": strings.Repeat("b", 1<<20),
	})
	u, err := deb.Unpack(t.Context(), st, "x", p.Digest)
	if err != nil {
		t.Fatal(err)
	}
	if u.Control.Get("Package") != "x" || string(u.Members["conffiles"]) != "/etc/x.conf\n" || len(u.Members) != 3 {
		t.Errorf("control %v, members %q", u.Control, u.Members)
	}
	var got []string
	for i := range u.Entries {
		e := &u.Entries[i]
		data, err := "", error(nil)
		if e.Kind == tree.File {
			var raw []byte
			raw, err = e.ReadAll(2 << 20)
			data = string(raw)
			if digest.Of(raw) != e.Digest {
				t.Errorf("%s: wrong digest", e.Path)
			}
		}
		got = append(got, fmt.Sprintf("%s %s %o %s:%s %d %.5q %v", e.Kind, e.Path, e.Mode, e.User, e.Group, e.Size, data, err))
	}
	want := []string{
		`dir . 755 root:root 0 "" <nil>`, `dir etc 755 root:root 0 "" <nil>`, `file etc/x.conf 644 root:root 5 "conf\n" <nil>`,
		`dir usr 755 root:root 0 "" <nil>`, `dir usr/share 755 root:root 0 "" <nil>`,
		`file usr/share/big 644 root:root 1048576 "bbbbb" <nil>`, `file usr/share/empty 644 root:root 0 "" <nil>`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	// The second time needs the record only, not the package.
	if err := st.Remove(p.Digest); err != nil {
		t.Fatal(err)
	}
	again, err := deb.Unpack(t.Context(), st, "x", p.Digest)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(u, again, compareUnpacked); diff != "" {
		t.Errorf("from the record: %s", diff)
	}
}

// TestUnpackMends takes contents, record and package away in turn.
func TestUnpackMends(t *testing.T) {
	st := openStore(t)
	p := putDeb(t, st, "x", map[string]string{"usr/share/x": "content"})
	first, err := deb.Unpack(t.Context(), st, "x", p.Digest)
	if err != nil {
		t.Fatal(err)
	}
	content := digest.Of([]byte("content"))
	spoil := map[string]func() error{
		"content gone":   func() error { return st.Remove(content) },
		"content empty":  func() error { return os.Truncate(st.Path(content), 0) },
		"record garbage": func() error { return st.SetRecord("deb-unpacked-1", p.Digest.String(), []byte("{")) },
		"record gone":    func() error { return st.DeleteRecord("deb-unpacked-1", p.Digest.String()) },
	}
	for name, do := range spoil {
		if err := do(); err != nil {
			t.Fatal(err)
		}
		u, err := deb.Unpack(t.Context(), st, "x", p.Digest)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if diff := cmp.Diff(first, u, compareUnpacked); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if !st.HasSize(content, 7) {
			t.Errorf("%s: the content is not back", name)
		}
	}
}

// TestUnpackDamaged changes bytes of a package in the store: it is removed, so
// that the next run fetches it again, and nothing is recorded.
func TestUnpackDamaged(t *testing.T) {
	for _, where := range []float64{0, 0.02, 0.5, 0.999} {
		st := openStore(t)
		p := putDeb(t, st, "x", map[string]string{"usr/share/x": "content"})
		data, err := os.ReadFile(st.Path(p.Digest))
		if err != nil {
			t.Fatal(err)
		}
		data[int(where*float64(len(data)))] ^= 0x10
		if err := os.Remove(st.Path(p.Digest)); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(st.Path(p.Digest), data, 0o444); err != nil {
			t.Fatal(err)
		}
		_, err = deb.UnpackAll(t.Context(), st, []lock.Package{p}, 1, nil)
		if err == nil || !strings.Contains(err.Error(), "unpack x 1.0-1 (all): ") || !strings.Contains(err.Error(), "is damaged") {
			t.Errorf("at %v: %v", where, err)
		}
		if st.Has(p.Digest) {
			t.Errorf("at %v: the damaged package is still there", where)
		}
		if _, ok, _ := st.Record("deb-unpacked-1", p.Digest.String()); ok {
			t.Errorf("at %v: a record was made", where)
		}
	}
}

// TestUnpackBroken has packages that were published broken: their digest is right.
func TestUnpackBroken(t *testing.T) {
	st := openStore(t)
	p := putDeb(t, st, "x", map[string]string{"usr/share/x": strings.Repeat("content", 1000)})
	data, err := os.ReadFile(st.Path(p.Digest))
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(data, []byte("data.tar"))
	data[at+60+30] ^= 0xff
	d, err := st.PutBytes(data)
	if err != nil {
		t.Fatal(err)
	}
	p.Digest = d
	_, err = deb.UnpackAll(t.Context(), st, []lock.Package{p}, 0, nil)
	if err == nil || !strings.Contains(err.Error(), "package x 1.0-1 (all): member data.tar.") {
		t.Errorf("%v", err)
	}
	if !st.Has(d) {
		t.Error("the package was removed, though it is what the lock says")
	}
	p.Digest = digest.Of([]byte("nowhere"))
	if _, err := deb.UnpackAll(t.Context(), st, []lock.Package{p}, 0, nil); err == nil || !strings.Contains(err.Error(), "unpack x 1.0-1 (all)") {
		t.Errorf("missing package: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := deb.UnpackAll(ctx, st, []lock.Package{p}, 0, nil); err == nil {
		t.Error("cancelled: no error")
	}
}

// TestGCKeepsUnpacked collects garbage around a locked package.
func TestGCKeepsUnpacked(t *testing.T) {
	st := openStore(t)
	kept := putDeb(t, st, "kept", map[string]string{"usr/share/kept": "kept content"})
	gone := putDeb(t, st, "gone", map[string]string{"usr/share/gone": "gone content"})
	if _, err := deb.UnpackAll(t.Context(), st, []lock.Package{kept, gone}, 2, nil); err != nil {
		t.Fatal(err)
	}
	refs := func(kind, key string, data []byte) (string, []digest.Digest) {
		return store.PartContents, deb.Refs(kind, key, data)
	}
	if _, err := st.GC(store.GCOptions{Keep: func(d digest.Digest) bool { return d == kept.Digest }, Meaning: store.Meaning{Refs: refs}}); err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]bool{"kept content": true, "gone content": false} {
		if got := st.Has(digest.Of([]byte(text))); got != want {
			t.Errorf("%s: there: %v", text, got)
		}
	}
	if !st.Has(kept.Digest) || st.Has(gone.Digest) {
		t.Error("the wrong package was kept")
	}
}

// TestRealUnpack compares with what dpkg-deb makes of the same packages.
func TestRealUnpack(t *testing.T) {
	tool := testenv.RequireTool(t, "dpkg-deb")
	testenv.RequireRoot(t) // for the owners
	mirror := testenv.Debian(t, "trixie")
	st := openStore(t)
	for _, name := range []string{"base-files", "passwd", "perl-base", "login"} {
		path := mirror.Package(t, name)
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		d, _, err := st.Put(f)
		f.Close()
		if err != nil {
			t.Fatal(err)
		}
		u, err := deb.Unpack(t.Context(), st, name, d)
		if err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		if out, err := exec.Command(tool, "-x", path, dir).CombinedOutput(); err != nil {
			t.Fatalf("dpkg-deb: %v: %s", err, out)
		}
		if diff := cmp.Diff(onDisk(t, dir), asEntries(t, u)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func asEntries(t *testing.T, u *deb.Unpacked) []string {
	t.Helper()
	byPath := map[string]deb.Entry{}
	for _, e := range u.Entries {
		byPath[e.Path] = e
	}
	var lines []string
	for _, e := range u.Entries {
		path := e.Path
		if e.Kind == tree.HardLink {
			e = byPath[e.Target]
		}
		if path == "." {
			continue
		}
		if e.Kind == tree.Dir {
			e.MTime = 0 // the disk's is of the last link that tar made in it
		}
		lines = append(lines, fmt.Sprintf("%s %s %o %d:%d %d %s %s", e.Kind, path, e.Mode, e.UID, e.GID, e.MTime, e.Digest, e.Target))
	}
	sort.Strings(lines)
	return lines
}

func onDisk(t *testing.T, dir string) []string {
	t.Helper()
	var lines []string
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		line, err := describe(path, rel)
		lines = append(lines, line)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	sort.Strings(lines)
	return lines
}

// BenchmarkWarm unpacks a package of 200 files again and again.
func BenchmarkWarm(b *testing.B) {
	st := openStore(b)
	one := putDeb(b, st, "many", manyFiles(200))
	if _, err := deb.Unpack(b.Context(), st, "many", one.Digest); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := deb.Unpack(b.Context(), st, "many", one.Digest); err != nil {
			b.Fatal(err)
		}
	}
}

func manyFiles(n int) map[string]string {
	files := map[string]string{}
	for i := range n {
		files[fmt.Sprintf("usr/share/many/%d", i)] = fmt.Sprint("content ", i)
	}
	return files
}
