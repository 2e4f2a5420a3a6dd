package deb_test

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ashlar/internal/builder/definition"
	"ashlar/internal/builder/distro/deb"
	"ashlar/internal/builder/distro/deb/pkginfo"
	"ashlar/internal/builder/lock"
	"ashlar/internal/foundation/digest"
	"ashlar/internal/testenv"
)

func TestFetchIndex(t *testing.T) {
	a := newArchive(t)
	st := openStore(t)
	var asked []string
	a.asked = func(path string) { asked = append(asked, path) }
	ix, err := deb.FetchIndex(t.Context(), nil, st, a.value(), now, nil)
	if err != nil {
		t.Fatal(err)
	}
	wantRelease := lock.Release{
		Archive: "test", Mirrors: []string{a.server.URL}, Suite: "test", Date: "2026-03-01T11:00:00Z",
		Digest: digest.Of(a.inRelease()), Signers: []string{a.gpg.fingerprint()},
	}
	if diff := cmp.Diff(wantRelease, ix.Release); diff != "" {
		t.Error(diff)
	}
	origin := &pkginfo.Origin{
		Archive: "test", Suite: "test", Codename: "testing", Label: "Test", Component: "main",
		Mirrors: []string{a.server.URL}, Priority: 500, Date: now.Add(-time.Hour),
	}
	want := []*pkginfo.Package{
		{Name: "data", Version: "1.0-1", Arch: "all", Source: "data", Important: true, Filename: "pool/main/d/data/data_1.0-1_all.deb", Origin: origin},
		{
			Name: "hello", Version: "1.0-1", Arch: "amd64", Source: "hello-src", Depends: "libx (>= 1), liby | libz", Provides: "greeting",
			MultiArch: "foreign", Essential: true, InstalledSize: 12, Filename: "pool/main/h/hello/hello_1.0-1_amd64.deb", Origin: origin,
		},
	}
	for _, p := range want {
		data, err := os.ReadFile(filepath.Join(a.dir, p.Filename))
		if err != nil {
			t.Fatal(err)
		}
		p.Size, p.Digest = int64(len(data)), digest.Of(data)
	}
	slices.SortFunc(ix.Packages, func(a, b *pkginfo.Package) int { return strings.Compare(a.Name, b.Name) })
	if diff := cmp.Diff(want, ix.Packages); diff != "" {
		t.Error(diff)
	}
	if len(asked) != 2 || !strings.Contains(asked[1], "/by-hash/SHA256/") {
		t.Errorf("asked for %q, want InRelease and one file by hash", asked)
	}
	if !st.Has(ix.Release.Digest) {
		t.Error("InRelease is not in the store")
	}
	// What has not changed is not fetched again.
	if _, err := deb.FetchIndex(t.Context(), nil, st, a.value(), now, nil); err != nil || len(asked) != 3 {
		t.Errorf("again: %v, asked for %q", err, asked)
	}
}

// TestForms offers fewer forms of the index.
func TestForms(t *testing.T) {
	a := newArchive(t)
	check := func(what string) {
		t.Helper()
		ix, err := deb.FetchIndex(t.Context(), nil, openStore(t), a.value(), now, nil)
		if err != nil || len(ix.Packages) != 2 {
			t.Errorf("%s: %v", what, err)
		}
	}
	dir := filepath.Join(a.dir, indexDir)
	if err := os.Rename(filepath.Join(dir, "Packages.xz"), filepath.Join(a.dir, "kept")); err != nil {
		t.Fatal(err)
	}
	a.release("")
	check("gz only")
	if err := os.Remove(filepath.Join(dir, "Packages.gz")); err != nil {
		t.Fatal(err)
	}
	a.release("")
	check("plain only")
	if err := os.RemoveAll(filepath.Join(dir, "by-hash", "SHA256")); err != nil {
		t.Fatal(err)
	}
	check("not by hash")
	// Packages for "all" in an index of their own.
	all := filepath.Join(a.dir, "dists/test/main/binary-all")
	var amd64, rest []string
	for _, stanza := range strings.SplitAfter(string(a.packages()), "\n\n") {
		if strings.Contains(stanza, "Architecture: all") {
			rest = append(rest, stanza)
		} else {
			amd64 = append(amd64, stanza)
		}
	}
	a.indexFile("Packages", []byte(strings.Join(amd64, "")))
	writeFile(t, filepath.Join(all, "Packages"), []byte(strings.Join(rest, "")))
	a.release("")
	check("all apart")
}

func TestSecondMirror(t *testing.T) {
	a, stale := newArchive(t), newArchive(t)
	stale.release("Valid-Until: Sun, 01 Mar 2026 11:30:00 UTC\n")
	v := a.value()
	v.Mirrors = []string{"http://127.0.0.1:1/nothing", stale.server.URL, a.server.URL}
	v.Keyring = append(v.Keyring, stale.gpg.keyring()...)
	opt := time.Now()
	ix, err := deb.FetchIndex(t.Context(), nil, openStore(t), v, now, nil)
	if err != nil || len(ix.Packages) != 2 || ix.Release.Signers[0] != a.gpg.fingerprint() {
		t.Errorf("after %s: %v", time.Since(opt), err)
	}
}

// TestRefused gives the archive one fault at a time.
func TestRefused(t *testing.T) {
	a := newArchive(t)
	good := a.inRelease()
	other := newGPG(t)
	key := a.gpg.fingerprint()[24:]
	cases := []struct {
		name  string
		spoil func(v *deb.Archive, at *time.Time)
		want  []string
	}{
		{"changed text", func(*deb.Archive, *time.Time) {
			a.setInRelease(bytes.Replace(good, []byte("Label: Test"), []byte("Label: Tost"), 1))
		}, []string{"no good signature", key, "not good"}},
		{"unknown key", func(v *deb.Archive, _ *time.Time) { v.Keyring = other.keyring() },
			[]string{"key " + key + " is not in the keyring", other.fingerprint()[24:]}},
		{"empty keyring", func(v *deb.Archive, _ *time.Time) { v.Keyring = nil }, []string{"keyring"}},
		{"expired key", func(_ *deb.Archive, at *time.Time) { *at = now.AddDate(3, 0, 0) }, []string{key, "expired"}},
		{"no signature", func(*deb.Archive, *time.Time) { a.setInRelease(a.releaseText("")) }, []string{"does not begin with a signed block"}},
		{"text before", func(*deb.Archive, *time.Time) { a.setInRelease(append([]byte("Suite: evil\n\n"), good...)) }, []string{"does not begin with"}},
		{"text after", func(*deb.Archive, *time.Time) { a.setInRelease(append(bytes.Clone(good), "\nSuite: evil\n"...)) }, []string{"text follows"}},
		{"two blocks", func(*deb.Archive, *time.Time) { a.setInRelease(append(bytes.Clone(good), good...)) }, []string{"more than one signed block"}},
		{"cut off", func(*deb.Archive, *time.Time) { a.setInRelease(good[:len(good)/2]) }, []string{"cut off"}},
		{"weak hash", func(*deb.Archive, *time.Time) {
			a.setInRelease(a.gpg.run(a.releaseText(""), "--digest-algo", "SHA1", "--allow-weak-digest-algos", "--clearsign"))
		}, []string{"weak or unknown hash SHA-1"}},
		{"expired", func(*deb.Archive, *time.Time) { a.release("Valid-Until: Sun, 01 Mar 2026 11:30:00 UTC\n") },
			[]string{"expired on 2026-03-01 11:30 UTC", "2026-03-01 12:00 UTC now", "another mirror", "base.snapshot"}},
		{"from the future", func(_ *deb.Archive, at *time.Time) { *at = now.Add(-3 * time.Hour) }, []string{"no good signature"}},
		{"dated in the future", func(*deb.Archive, *time.Time) {
			a.sign(bytes.Replace(a.releaseText(""), []byte("Date: Sun, 01 Mar 2026"), []byte("Date: Tue, 03 Mar 2026"), 1))
		}, []string{"signed in the future", "set the clock"}},
		{"other suite", func(*deb.Archive, *time.Time) {
			a.sign(bytes.Replace(a.releaseText(""), []byte("Suite: test\n"), []byte("Suite: old\n"), 1))
		}, []string{"release of suite \"old\""}},
		{"field twice", func(*deb.Archive, *time.Time) { a.release("Suite: test\n") }, []string{"Suite stands twice"}},
		{"component", func(v *deb.Archive, _ *time.Time) { v.Components = []string{"main", "contrib"} }, []string{"component contrib for amd64"}},
		{"architecture", func(v *deb.Archive, _ *time.Time) { v.Arches = []string{"arm64"} }, []string{"component main for arm64"}},
		{"wrong by-hash content", func(*deb.Archive, *time.Time) { a.spoilFiles(func(d []byte) []byte { d[len(d)/2] ^= 1; return d }) },
			[]string{"/by-hash/SHA256/", "has the SHA-256"}},
		{"truncated Packages", func(*deb.Archive, *time.Time) { a.spoilFiles(func(d []byte) []byte { return d[:len(d)-7] }) },
			[]string{"main/binary-amd64/Packages.xz", "bytes, want"}},
		{"truncated before signing", func(*deb.Archive, *time.Time) {
			data, err := os.ReadFile(filepath.Join(a.dir, indexDir, "Packages.xz"))
			if err != nil {
				t.Fatal(err)
			}
			a.indexFile("Packages.xz", data[:len(data)-30])
			a.release("")
		}, []string{"read main/binary-amd64/Packages.xz", "truncated"}},
		{"forms that differ", func(*deb.Archive, *time.Time) {
			a.indexFile("Packages", append(a.packages(), "\nPackage: x\n"...))
			a.release("")
		}, []string{"read main/binary-amd64/Packages.xz", "unpacks to"}},
		{"forms of one size that differ", func(*deb.Archive, *time.Time) {
			a.indexFile("Packages", bytes.Replace(a.packages(), []byte("hello"), []byte("hellO"), 1))
			a.release("")
		}, []string{"unpacks to the SHA-256"}},
		{"bad stanza", func(*deb.Archive, *time.Time) {
			a.index(bytes.Replace(a.packages(), []byte("Filename: pool"), []byte("Filename: ../pool"), 1))
			a.release("")
		}, []string{"field Filename", ".. element"}},
	}
	for _, c := range cases {
		a.index(a.packages())
		a.setInRelease(good)
		v, at := a.value(), now
		c.spoil(&v, &at)
		_, err := deb.FetchIndex(t.Context(), nil, openStore(t), v, at, nil)
		for _, want := range append(c.want, "read archive test, suite test") {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v; want %q in it", c.name, err, want)
			}
		}
	}
}

// spoilFiles changes every form of the index and leaves the signature alone.
func (a *testArchive) spoilFiles(change func([]byte) []byte) {
	a.t.Helper()
	err := filepath.WalkDir(filepath.Join(a.dir, indexDir), func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(path, change(data), 0o644)
	})
	if err != nil {
		a.t.Fatal(err)
	}
}

// TestSnapshot reads a dated archive long after: expiry of the file and of the
// key are no faults then, a revoked key is.
func TestSnapshot(t *testing.T) {
	a := newArchive(t)
	a.release("Valid-Until: Sun, 08 Mar 2026 11:00:00 UTC\n")
	later := now.AddDate(5, 0, 0)
	v := a.value()
	v.Snapshot = "20260301T120000Z"
	if ix, err := deb.FetchIndex(t.Context(), nil, openStore(t), v, later, nil); err != nil || len(ix.Packages) != 2 {
		t.Errorf("snapshot: %v", err)
	}
	rev, err := os.ReadFile(filepath.Join(a.gpg.dir, "openpgp-revocs.d", a.gpg.fingerprint()+".rev"))
	if err != nil {
		t.Fatal(err)
	}
	a.gpg.run(bytes.Replace(rev, []byte(":-----BEGIN"), []byte("-----BEGIN"), 1), "--import")
	v.Keyring = a.gpg.keyring()
	for _, v.Snapshot = range []string{"20260301T120000Z", ""} {
		if _, err := deb.FetchIndex(t.Context(), nil, openStore(t), v, now, nil); err == nil || !strings.Contains(err.Error(), "revoked") {
			t.Errorf("revoked key, snapshot %q: %v", v.Snapshot, err)
		}
	}
}

// TestArmoredKeyring takes the other form of keys.
func TestArmoredKeyring(t *testing.T) {
	a := newArchive(t)
	v := a.value()
	v.Keyring = a.gpg.run(nil, "--armor", "--export")
	if _, err := deb.FetchIndex(t.Context(), nil, openStore(t), v, now, nil); err != nil {
		t.Error(err)
	}
}

// TestRealTrixie reads Debian's archive with the keys that ashlar carries.
func TestRealTrixie(t *testing.T) {
	mirror := testenv.Mirror(t)
	env := func(name string) string {
		if name == "ASHLAR_MIRROR_DEBIAN" {
			return mirror
		}
		return os.Getenv(name)
	}
	archives, err := deb.Archives(definition.Base{Distro: "debian", Suite: "trixie", Updates: true, Security: true}, env, os.ReadFile)
	if err != nil {
		t.Fatal(err)
	}
	st := openStore(t)
	seen := map[string]int{}
	for _, a := range archives {
		a.Arches = []string{"amd64"}
		begin := time.Now()
		ix, err := deb.FetchIndex(t.Context(), nil, st, a, time.Now(), nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s %s: %d packages, signed by %q, %s", a.Name, a.Suite, len(ix.Packages), ix.Release.Signers, time.Since(begin))
		for _, p := range ix.Packages {
			seen[p.Name]++
		}
		if a.Suite == "trixie" && len(ix.Packages) < 50_000 {
			t.Errorf("trixie has only %d packages", len(ix.Packages))
		}
	}
	for _, name := range []string{"base-files", "libc6", "nginx", "tzdata"} {
		if seen[name] == 0 {
			t.Errorf("%s is not there", name)
		}
	}
}
