package deb_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ashlar/internal/builder/distro/deb"
	"ashlar/internal/builder/store"
	"ashlar/internal/foundation/digest"
	"ashlar/internal/testenv"
)

// now is when the tests take place; the archive was signed an hour before.
var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// testArchive is an archive made by Debian's own tools, served on loopback.
type testArchive struct {
	t      *testing.T
	dir    string
	server *httptest.Server
	gpg    *gpgHome
	asked  func(path string) // told of every request, when set
}

func run(t testing.TB, dir string, stdin []byte, env []string, name string, args ...string) []byte {
	t.Helper()
	cmd := exec.Command(testenv.RequireTool(t, name), args...)
	cmd.Dir, cmd.Stdin, cmd.Env = dir, bytes.NewReader(stdin), append(os.Environ(), env...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %s: %v: %s", name, strings.Join(args, " "), err, &stderr)
	}
	return out
}

func writeFile(t testing.TB, path string, data []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

// gpgHome is a set of keys with gpg's own agent.
type gpgHome struct {
	t   *testing.T
	dir string
}

func newGPG(t *testing.T) *gpgHome {
	t.Helper()
	dir, err := os.MkdirTemp("", "gpg") // short: the agent's socket lies in it
	if err != nil {
		t.Fatal(err)
	}
	g := &gpgHome{t, dir}
	t.Cleanup(func() {
		if out, err := exec.Command("gpgconf", "--homedir", dir, "--kill", "all").CombinedOutput(); err != nil {
			t.Logf("gpgconf: %v: %s", err, out)
		}
		os.RemoveAll(dir)
	})
	g.run(nil, "--quick-gen-key", "Archive <archive@example.org>", "ed25519", "sign", "2y")
	return g
}

// run calls gpg an hour before now.
func (g *gpgHome) run(stdin []byte, args ...string) []byte {
	g.t.Helper()
	at := now.Add(-time.Hour).Format("20060102T150405!")
	fixed := []string{"--homedir", g.dir, "--batch", "--yes", "--quiet", "--no-tty", "--passphrase", "", "--pinentry-mode", "loopback", "--faked-system-time", at}
	return run(g.t, "", stdin, nil, "gpg", append(fixed, args...)...)
}

func (g *gpgHome) keyring() []byte { g.t.Helper(); return g.run(nil, "--export") }

func (g *gpgHome) fingerprint() string {
	g.t.Helper()
	for _, l := range strings.Split(string(g.run(nil, "--with-colons", "--list-keys")), "\n") {
		if strings.HasPrefix(l, "fpr:") {
			return strings.Split(l, ":")[9]
		}
	}
	g.t.Fatal("gpg lists no key")
	return ""
}

// buildDeb has dpkg-deb make a package; extra lines go into its control file.
func buildDeb(t testing.TB, out, name, arch, extra string, files map[string]string) {
	t.Helper()
	root := filepath.Join(t.TempDir(), "root")
	for path, content := range files {
		writeFile(t, filepath.Join(root, path), []byte(content))
	}
	control := fmt.Sprintf("Package: %s\nVersion: 1.0-1\nArchitecture: %s\nMaintainer: M <m@example.org>\n%sDescription: test\n A package of\n .\n the tests.\n", name, arch, extra)
	writeFile(t, filepath.Join(root, "DEBIAN", "control"), []byte(control))
	if err := os.MkdirAll(filepath.Dir(out), 0o755); err != nil {
		t.Fatal(err)
	}
	run(t, "", nil, []string{"SOURCE_DATE_EPOCH=1700000000"}, "dpkg-deb", "--root-owner-group", "-b", root, out)
}

func newArchive(t *testing.T) *testArchive {
	t.Helper()
	a := &testArchive{t: t, dir: t.TempDir(), gpg: newGPG(t)}
	buildDeb(t, filepath.Join(a.dir, "pool/main/h/hello/hello_1.0-1_amd64.deb"), "hello", "amd64",
		"Depends: libx (>= 1),\n liby | libz\nProvides: greeting\nMulti-Arch: foreign\nEssential: yes\nInstalled-Size: 12\nSource: hello-src (1.0)\n",
		map[string]string{"usr/bin/hello": "#!/bin/sh\necho hello\n", "usr/share/doc/hello/copyright": "free\n", "usr/share/doc/hello/empty": ""})
	buildDeb(t, filepath.Join(a.dir, "pool/main/d/data/data_1.0-1_all.deb"), "data", "all", "Protected: yes\n",
		map[string]string{"usr/share/doc/data/copyright": "free\n", "usr/share/data/x": strings.Repeat("data ", 100_000)})
	a.index(a.packages())
	a.release("")
	a.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if a.asked != nil {
			a.asked(r.URL.Path)
		}
		http.FileServer(http.Dir(a.dir)).ServeHTTP(w, r)
	}))
	t.Cleanup(a.server.Close)
	return a
}

func (a *testArchive) packages() []byte {
	a.t.Helper()
	return run(a.t, a.dir, nil, nil, "apt-ftparchive", "packages", "pool")
}

const indexDir = "dists/test/main/binary-amd64"

// index writes a Packages index in all its forms.
func (a *testArchive) index(packages []byte) {
	a.t.Helper()
	dir := filepath.Join(a.dir, indexDir)
	if err := os.RemoveAll(dir); err != nil {
		a.t.Fatal(err)
	}
	var gz bytes.Buffer
	w := gzip.NewWriter(&gz)
	w.Write(packages)
	w.Close()
	for name, data := range map[string][]byte{"Packages": packages, "Packages.gz": gz.Bytes(), "Packages.xz": run(a.t, "", packages, nil, "xz", "-c")} {
		a.indexFile(name, data)
	}
}

func (a *testArchive) indexFile(name string, data []byte) {
	a.t.Helper()
	writeFile(a.t, filepath.Join(a.dir, indexDir, name), data)
	writeFile(a.t, filepath.Join(a.dir, indexDir, "by-hash", "SHA256", digest.Of(data).String()), data)
}

// releaseText has apt-ftparchive make a Release file; more is put before it.
func (a *testArchive) releaseText(more string) []byte {
	a.t.Helper()
	hashes := filepath.Join(a.dir, indexDir, "by-hash")
	aside := filepath.Join(a.dir, "aside")
	if err := os.Rename(hashes, aside); err != nil {
		a.t.Fatal(err)
	}
	defer os.Rename(aside, hashes)
	for _, f := range []string{"InRelease", "Release"} {
		os.Remove(filepath.Join(a.dir, "dists/test", f))
	}
	args := []string{"release"}
	for _, kv := range []string{"Origin=Test", "Label=Test", "Suite=test", "Codename=testing", "Architectures=amd64 all", "Components=main", "Acquire-By-Hash=yes"} {
		args = append(args, "-o", "APT::FTPArchive::Release::"+kv)
	}
	text := string(run(a.t, a.dir, nil, nil, "apt-ftparchive", append(args, "dists/test")...))
	date := "Date: " + now.Add(-time.Hour).Format("Mon, 02 Jan 2006 15:04:05 UTC")
	lines := strings.Split(text, "\n")
	for i, l := range lines {
		if strings.HasPrefix(l, "Date:") {
			lines[i] = date
		}
	}
	return []byte(more + strings.Join(lines, "\n"))
}

// release signs a new Release file.
func (a *testArchive) release(more string) { a.t.Helper(); a.sign(a.releaseText(more)) }

func (a *testArchive) sign(text []byte) {
	a.t.Helper()
	a.setInRelease(a.gpg.run(text, "--clearsign"))
}

func (a *testArchive) inRelease() []byte {
	a.t.Helper()
	data, err := os.ReadFile(filepath.Join(a.dir, "dists/test/InRelease"))
	if err != nil {
		a.t.Fatal(err)
	}
	return data
}

func (a *testArchive) setInRelease(data []byte) {
	a.t.Helper()
	writeFile(a.t, filepath.Join(a.dir, "dists/test/InRelease"), data)
}

func (a *testArchive) value() deb.Archive {
	a.t.Helper()
	return deb.Archive{
		Name: "test", Mirrors: []string{a.server.URL}, Suite: "test", Components: []string{"main"}, Arches: []string{"amd64"},
		Keyring: a.gpg.keyring(), Priority: 500,
	}
}

func openStore(t testing.TB) *store.Store {
	t.Helper()
	st, err := store.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	return st
}
