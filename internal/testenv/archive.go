package testenv

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mikelolasagasti/xz"
)

// Archive is an amd64 index of a Debian suite, with the packages that
// tests took from it kept in the user's cache. It trusts the mirror: a test's
// input, never a build's.
type Archive struct {
	base, cache string
	packages    map[string]map[string]string // by name: the fields of its stanza
}

// Debian opens the main index of a suite, not older than a day.
func Debian(t testing.TB, suite string) *Archive {
	t.Helper()
	return DebianComponent(t, suite, "main")
}

// DebianComponent opens the index of another component.
func DebianComponent(t testing.TB, suite, component string) *Archive {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	a := &Archive{base: strings.TrimRight(Mirror(t), "/"), cache: filepath.Join(cache, "ashlar-test")}
	day := time.Now().UTC().Format(time.DateOnly)
	name := suite + "-" + day + "-Packages.xz"
	if component != "main" {
		name = component + "-" + name
	}
	index := a.fetch(t, "dists/"+suite+"/"+component+"/binary-amd64/Packages.xz", name, "")
	file, err := os.Open(index)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	text, err := xz.NewReader(bufio.NewReader(file), 0)
	if err != nil {
		t.Fatalf("read %s: %v", index, err)
	}
	if a.packages, err = stanzas(text); err != nil {
		t.Fatalf("read %s: %v", index, err)
	}
	return a
}

// stanzas keeps, by name, the fields that fit on one line.
func stanzas(r io.Reader) (map[string]map[string]string, error) {
	all := map[string]map[string]string{}
	fields := map[string]string{}
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if lines.Text() == "" {
			all[fields["Package"]] = fields
			fields = map[string]string{}
		} else if name, value, ok := strings.Cut(lines.Text(), ": "); ok && !strings.HasPrefix(name, " ") {
			fields[name] = value
		}
	}
	return all, lines.Err()
}

// Field gives a field of the package's stanza; the package must exist.
func (a *Archive) Field(t testing.TB, name, field string) string {
	t.Helper()
	fields, ok := a.packages[name]
	if !ok {
		t.Fatalf("package %s: not in the archive", name)
	}
	return fields[field]
}

// Values gives the values that a field has in the index, each once, sorted.
func (a *Archive) Values(field string) []string {
	var all []string
	for _, fields := range a.packages {
		if value, ok := fields[field]; ok {
			all = append(all, value)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// Closure lists the packages and all they depend on, by the first alternative
// there is, without following the dependencies named in without.
func (a *Archive) Closure(t testing.TB, packages, without []string) []string {
	t.Helper()
	var closed []string
	todo := slices.Clone(packages)
	for len(todo) > 0 {
		name := todo[0]
		todo = todo[1:]
		if slices.Contains(closed, name) || slices.Contains(without, name) {
			continue
		}
		closed = append(closed, name)
		for _, relation := range strings.Split(a.Field(t, name, "Pre-Depends")+","+a.Field(t, name, "Depends"), ",") {
			for _, choice := range strings.Split(relation, "|") {
				need, _, _ := strings.Cut(strings.TrimSpace(choice), " ")
				need, _, _ = strings.Cut(need, ":")
				if _, ok := a.packages[need]; ok {
					todo = append(todo, need)
					break
				}
			}
		}
	}
	slices.Sort(closed)
	return closed
}

// Package gives the path of the .deb.
func (a *Archive) Package(t testing.TB, name string) string {
	t.Helper()
	path := a.Field(t, name, "Filename")
	return a.fetch(t, path, filepath.Base(path), a.Field(t, name, "SHA256"))
}

// Unpack gives a directory with the files of the packages, without running
// anything of theirs. It needs dpkg-deb.
func (a *Archive) Unpack(t testing.TB, names ...string) string {
	t.Helper()
	dpkg := RequireTool(t, "dpkg-deb")
	dir := t.TempDir()
	for _, name := range names {
		// tar keeps the links of a merged /usr that an earlier package made.
		script := `"$1" --fsys-tarfile "$2" | tar -x -C "$3" --keep-directory-symlink`
		cmd := exec.Command("sh", "-c", script, "sh", dpkg, a.Package(t, name), dir)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("unpack %s: %v: %s", name, err, out)
		}
	}
	return dir
}

// CloudKernel gives a directory with the files of the newest cloud kernel.
func (a *Archive) CloudKernel(t testing.TB) string {
	t.Helper()
	name, _, _ := strings.Cut(a.Field(t, "linux-image-cloud-amd64", "Depends"), " ")
	return a.Unpack(t, strings.TrimSuffix(name, ","))
}

// fetch downloads a file of the mirror once and checks its SHA-256 if one is given.
func (a *Archive) fetch(t testing.TB, path, name, sum string) string {
	t.Helper()
	to := filepath.Join(a.cache, name)
	if _, err := os.Stat(to); err == nil {
		return to
	}
	if err := a.download(a.base+"/"+path, to, sum); err != nil {
		Lack(t, "needs %s: %v", path, err)
	}
	return to
}

func (a *Archive) download(url, to, sum string) error {
	if err := os.MkdirAll(a.cache, 0o755); err != nil {
		return err
	}
	client := http.Client{Timeout: 10 * time.Minute}
	resp, err := client.Get(url)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("the mirror answers %s", resp.Status)
	}
	tmp, err := os.CreateTemp(a.cache, ".download-*")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	hash := sha256.New()
	if _, err := io.Copy(io.MultiWriter(tmp, hash), resp.Body); err != nil {
		return err
	}
	if err := tmp.Close(); err != nil {
		return err
	}
	if got := hex.EncodeToString(hash.Sum(nil)); sum != "" && got != sum {
		return fmt.Errorf("SHA-256 is %s, want %s", got, sum)
	}
	return os.Rename(tmp.Name(), to)
}
