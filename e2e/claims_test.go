package e2e

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"ashlar/internal/testenv"
)

// sums gives the digests of a build's artefacts, a line each.
func sums(t *testing.T, dir string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, "out", "SHA256SUMS"))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// TestVerify builds every example twice under different conditions.
func TestVerify(t *testing.T) {
	for _, x := range exampleTests {
		t.Run(x.name, func(t *testing.T) {
			r := must(t, "verify", example(t, x.name))
			if !strings.Contains(r.stdout, "equal: both builds gave the same bytes") || !strings.Contains(r.stdout, "disk.img") {
				t.Errorf("verify said:\n%s", r.stdout)
			}
		})
	}
}

// TestWebIsSmall holds the README's web server to its size; that it answers with
// 128 MB of memory is in exampleTests.
func TestWebIsSmall(t *testing.T) {
	const most = 25_000_000
	dir := example(t, "web")
	must(t, "build", dir)
	info, err := os.Stat(filepath.Join(dir, "out", "root.img"))
	if err != nil {
		t.Fatal(err)
	}
	if info.Size() > most {
		t.Errorf("root.img has %d bytes, at most %d are promised", info.Size(), most)
	}
	t.Logf("root.img: %d bytes", info.Size())
}

// TestSecondBuild wants only those steps made again that what changed can reach,
// and the bytes of a build from nothing.
func TestSecondBuild(t *testing.T) {
	dir := example(t, "web")
	must(t, "build", dir)
	made := func() string {
		t.Helper()
		log := filepath.Join(t.TempDir(), "scripts.log")
		var answer struct {
			Steps []struct {
				Step string
				Made bool
			}
		}
		if err := json.Unmarshal([]byte(must(t, "--json", "--log", log, "build", dir).stdout), &answer); err != nil {
			t.Fatal(err)
		}
		var steps []string
		for _, s := range answer.Steps {
			if s.Made {
				steps = append(steps, s.Step)
			}
		}
		if text, err := os.ReadFile(log); err != nil || len(text) > 0 {
			t.Errorf("maintainer scripts printed %q, %v", text, err)
		}
		return strings.Join(steps, " ")
	}
	page := filepath.Join(dir, "files/var/www/html/index.html")
	disk := filepath.Join(dir, "out/disk.img")
	for _, x := range []struct {
		name   string
		change func()
		want   string
	}{
		{"nothing", func() {}, ""},
		{"a file", func() { replace(t, page, "Cut", "Cat") }, "root target disk"},
		{"an artefact", func() { flip(t, disk) }, "target disk"},
		{"the root image", func() { flip(t, filepath.Join(dir, "out/root.img")) }, "root"},
		{"the command line", func() {
			replace(t, filepath.Join(dir, "ashlar.toml"), "[base]", "[kernel]\ncmdline = \"quiet\"\n\n[base]")
		}, "target disk"},
	} {
		x.change()
		if got := made(); got != x.want {
			t.Errorf("%s changed: made %q, want %q", x.name, got, x.want)
		}
	}
	want := sums(t, dir)
	must(t, "build", "--no-cache", dir)
	if got := sums(t, dir); got != want {
		t.Errorf("step by step:\n%s\nat once:\n%s", want, got)
	}
}

// TestDifferenceExplained changes one byte of an overlay file and wants to be
// told which path of which part it is in.
func TestDifferenceExplained(t *testing.T) {
	a, b := example(t, "web"), example(t, "web")
	replace(t, filepath.Join(b, "files/var/www/html/index.html"), "Cut", "Cat")
	must(t, "build", a)
	must(t, "build", b)
	r := command{args: []string{"diff", filepath.Join(a, "out/disk.img"), filepath.Join(b, "out/disk.img")}}.run(t)
	const want = "root.img/var/www/html/index.html: content from byte "
	if r.code != 8 || !strings.Contains(r.stdout, want) {
		t.Errorf("exit code %d, want 8 and %q:\n%s%s", r.code, want, r.stdout, r.stderr)
	}
}

// TestOffline builds in a network namespace without interfaces from a filled
// store, and then without one of the inputs.
func TestOffline(t *testing.T) {
	testenv.RequireRoot(t)
	unshare := testenv.RequireTool(t, "unshare")
	dir := example(t, "web")
	must(t, "fetch", dir)
	must(t, "build", dir)
	want := sums(t, dir)
	command{args: []string{"build", "--no-cache", dir}, prefix: []string{unshare, "-n"}}.must(t)
	if got := sums(t, dir); got != want {
		t.Errorf("built without a network:\n%s\nwith one:\n%s", got, want)
	}
	command{args: []string{"tools", dir}, prefix: []string{unshare, "-n"}}.must(t)
	r := command{args: []string{"build", "--offline", dir}, env: []string{"ASHLAR_STORE=" + t.TempDir()}, prefix: []string{unshare, "-n"}}.run(t)
	if r.code != 5 || !strings.Contains(r.stderr, "lacks gcc-14-base, libc6") {
		t.Errorf("with an empty store: exit code %d, want 5 and the packages' names:\n%s", r.code, r.stderr)
	}
}

// TestUsers builds one lock as root, as a user without subordinate ids and as
// one with, each with a store of its own filled from a vendored directory.
func TestUsers(t *testing.T) {
	testenv.RequireRoot(t)
	setpriv, useradd, userdel := testenv.RequireTool(t, "setpriv"), testenv.RequireTool(t, "useradd"), testenv.RequireTool(t, "userdel")
	base, err := os.MkdirTemp("", "ashlar-users-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(base) })
	if err := os.Chmod(base, 0o755); err != nil {
		t.Fatal(err)
	}
	vendored := filepath.Join(base, "vendored")
	dir := example(t, "web")
	must(t, "vendor", dir, vendored)
	must(t, "build", "--no-cache", dir)
	want := sums(t, dir)
	const name, withIDs, withoutIDs = "ashlar-e2e", "54322", "54321"
	if out, err := exec.Command(useradd, "-u", withIDs, "-M", name).CombinedOutput(); err != nil {
		t.Fatalf("useradd: %v\n%s", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command(userdel, name).CombinedOutput(); err != nil {
			t.Errorf("userdel: %v\n%s", err, out)
		}
	})
	subuid, err := os.ReadFile("/etc/subuid")
	if err != nil || !strings.Contains(string(subuid), name+":") {
		t.Fatalf("useradd gave %s no subordinate ids: %v", name, err)
	}
	for _, uid := range []string{withoutIDs, withIDs} {
		home := filepath.Join(base, uid)
		own := filepath.Join(home, "web")
		if out, err := exec.Command("sh", "-c", fmt.Sprintf("mkdir -p %[1]s && cp -r %[2]s %[3]s && rm -rf %[3]s/out && chown -R %[4]s:%[4]s %[1]s", home, dir, own, uid)).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		command{
			args:   []string{"build", "--offline", own},
			prefix: []string{setpriv, "--reuid=" + uid, "--regid=" + uid, "--clear-groups", "--"},
			env:    []string{"HOME=" + home, "ASHLAR_STORE=" + filepath.Join(home, "store"), "ASHLAR_VENDOR=" + vendored},
			dir:    home,
		}.must(t)
		if got := sums(t, own); got != want {
			t.Errorf("built by uid %s:\n%s\nby root:\n%s", uid, got, want)
		}
	}
}

// TestWrongDefinition wants all errors at once, with positions.
func TestWrongDefinition(t *testing.T) {
	dir := example(t, "web")
	toml := filepath.Join(dir, "ashlar.toml")
	replace(t, toml, `packages = ["nginx"]`, "packages = \"nginx\"\npackage = []")
	replace(t, toml, `mode = "0750"`, `mode = "0999"`)
	r := command{args: []string{"build", dir}}.run(t)
	if r.code != 3 {
		t.Errorf("exit code %d, want 3", r.code)
	}
	for _, want := range []string{"ashlar.toml:3:", "ashlar.toml:4:", "packages", "0999"} {
		if !strings.Contains(r.stderr, want) {
			t.Errorf("the errors lack %q:\n%s", want, r.stderr)
		}
	}
}

// TestLockErrors has a stale lock, a missing one, and a package that there is not.
func TestLockErrors(t *testing.T) {
	dir := example(t, "web")
	toml := filepath.Join(dir, "ashlar.toml")
	replace(t, toml, `"nginx"]`, `"nginxx"]`)
	if r := (command{args: []string{"build", dir}}).run(t); r.code != 4 || !strings.Contains(r.stderr, "ashlar lock") {
		t.Errorf("stale lock: exit code %d, want 4 and the command that helps:\n%s", r.code, r.stderr)
	}
	testenv.Mirror(t)
	if r := (command{args: []string{"lock", dir}}).run(t); r.code != 3 || !strings.Contains(r.stderr, "\"nginxx\"") || !strings.Contains(r.stderr, "did you mean nginx?") {
		t.Errorf("unknown package: exit code %d, want 3 and a near name:\n%s", r.code, r.stderr)
	}
	if err := os.Remove(filepath.Join(dir, "ashlar.lock")); err != nil {
		t.Fatal(err)
	}
	if r := (command{args: []string{"build", dir}}).run(t); r.code != 4 || !strings.Contains(r.stderr, "ashlar lock") {
		t.Errorf("no lock: exit code %d, want 4:\n%s", r.code, r.stderr)
	}
}

// TestCorruptPackage serves the inputs from loopback, one with a byte changed.
func TestCorruptPackage(t *testing.T) {
	dir := example(t, "app")
	vendored := t.TempDir()
	must(t, "vendor", dir, vendored)
	server := httptest.NewServer(http.FileServer(http.Dir(vendored)))
	defer server.Close()
	replace(t, filepath.Join(dir, "ashlar.lock"), `"http://deb.debian.org/`, `"`+server.URL+`/`)
	kernel := find(t, vendored, "linux-image-6")
	flip(t, kernel)
	store := t.TempDir()
	build := command{args: []string{"build", dir}, env: []string{"ASHLAR_STORE=" + store}}
	r := build.run(t)
	if r.code != 6 || !strings.Contains(r.stderr, "linux-image") || !strings.Contains(r.stderr, "SHA-256") {
		t.Errorf("exit code %d, want 6, the package and the digests:\n%s", r.code, r.stderr)
	}
	if _, err := os.Stat(filepath.Join(dir, "out")); err == nil {
		t.Error("the failed build left an output directory")
	}
	flip(t, kernel)
	build.must(t)
}

// find gives the first file below dir whose name begins with the prefix.
func find(t *testing.T, dir, prefix string) (found string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && strings.HasPrefix(d.Name(), prefix) {
			found = path
			return fs.SkipAll
		}
		return err
	})
	if err != nil || found == "" {
		t.Fatalf("no %s* below %s: %v", prefix, dir, err)
	}
	return found
}

// flip changes a byte in the middle of a file, or changes it back.
func flip(t *testing.T, path string) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)/2] ^= 1
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestUntrustedArchive serves a Release file that is signed by Debian but has
// expired, and the same with its date changed.
func TestUntrustedArchive(t *testing.T) {
	signed, err := os.ReadFile("testdata/expired-InRelease")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, served, want string }{
		{"expired", string(signed), "expired"},
		{"tampered", strings.Replace(string(signed), "Valid-Until: Fri, 06 Nov 2026", "Valid-Until: Fri, 06 Nov 2099", 1), "signature"},
	} {
		t.Run(c.name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/dists/sid/InRelease" {
					http.NotFound(w, r)
					return
				}
				fmt.Fprint(w, c.served)
			}))
			defer server.Close()
			dir := t.TempDir()
			text := "name = \"x\"\n[base]\nsuite = \"sid\"\nsecurity = false\nupdates = false\nmirrors = [\"" + server.URL + "\"]\n"
			if err := os.WriteFile(filepath.Join(dir, "ashlar.toml"), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
			r := command{args: []string{"lock", dir}}.run(t)
			if r.code != 6 || !strings.Contains(r.stderr, c.want) {
				t.Errorf("exit code %d, want 6 and %q:\n%s", r.code, c.want, r.stderr)
			}
			if _, err := os.Stat(filepath.Join(dir, "ashlar.lock")); err == nil {
				t.Error("a lock was written")
			}
		})
	}
}

// TestFullDisk has the store, then the output, on a file system that is too small.
func TestFullDisk(t *testing.T) {
	testenv.RequireRoot(t)
	dir := example(t, "app")
	must(t, "build", dir)
	before := sums(t, dir)
	small := filepath.Join(t.TempDir(), "small")
	if err := os.Mkdir(small, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("small", small, "tmpfs", 0, "size=8m"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(small, 0); err != nil {
			t.Error(err)
		}
	})
	vendored := t.TempDir()
	must(t, "vendor", dir, vendored)
	full := filepath.Join(small, "store")
	r := command{args: []string{"build", "--offline", dir}, env: []string{"ASHLAR_STORE=" + full, "ASHLAR_VENDOR=" + vendored}}.run(t)
	if r.code == 0 {
		t.Errorf("a build with a store of 8 MB went well")
	}
	r = command{args: []string{"build", "-o", filepath.Join(small, "out"), dir}}.run(t)
	if r.code != 7 || !strings.Contains(r.stderr, "full") {
		t.Errorf("full output: exit code %d, want 7 and what to do:\n%s", r.code, r.stderr)
	}
	if left, _ := filepath.Glob(filepath.Join(small, "out", "*")); len(left) > 0 {
		t.Errorf("the failed build left %v", left)
	}
	if got := sums(t, dir); got != before {
		t.Error("the failed builds changed the artefacts of the one before")
	}
}

// TestInterruptedBuild kills builds at several moments; the artefacts of the
// one before stay whole, and the next one gives the same.
func TestInterruptedBuild(t *testing.T) {
	dir := example(t, "web")
	must(t, "build", dir)
	want := sums(t, dir)
	for _, sig := range []syscall.Signal{syscall.SIGKILL, syscall.SIGTERM} {
		for _, after := range []time.Duration{300 * time.Millisecond, time.Second, 3 * time.Second} {
			cmd := exec.Command(ashlar, "build", "--no-cache", dir)
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			time.Sleep(after)
			if err := cmd.Process.Signal(sig); err != nil {
				t.Fatalf("the build was over after %s: %v", after, err)
			}
			if cmd.Wait() == nil {
				t.Logf("the build was over before it was killed after %s", after)
			}
			if got := sums(t, dir); got != want {
				t.Fatalf("killed by %s after %s: the artefacts changed", sig, after)
			}
		}
	}
	must(t, "build", "--no-cache", dir)
	if got := sums(t, dir); got != want {
		t.Errorf("after the interrupted builds:\n%s\nbefore:\n%s", got, want)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "out", ".*")); len(left) > 0 {
		t.Errorf("left in the output: %v", left)
	}
}
