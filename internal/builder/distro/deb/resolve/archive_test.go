package resolve

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/mikelolasagasti/xz"

	"ashlar/internal/builder/distro/deb/pkginfo"
	"ashlar/internal/testenv"
)

// index is a Packages file with what was read from it.
type index struct {
	raw      []byte
	packages []*pkginfo.Package
	universe *Universe
}

// trixie is Debian trixie's main archive for amd64, read once.
var trixie = sync.OnceValues(func() (*index, error) {
	raw, err := fetchIndex(mirror, "trixie")
	if err != nil {
		return nil, err
	}
	packages := parseIndex(raw, &pkginfo.Origin{Archive: "debian", Suite: "trixie", Codename: "trixie", Component: "main", Priority: 500})
	u, err := NewUniverse(packages, "amd64")
	return &index{raw, packages, u}, err
})

// mirror is set by the first test that needs it.
var mirror string

func needTrixie(t testing.TB) *index {
	t.Helper()
	mirror = testenv.Mirror(t)
	x, err := trixie()
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// fetchIndex gets main/binary-amd64/Packages of a suite, from the cache if the
// suite's Release file still names the same one.
func fetchIndex(mirror, suite string) ([]byte, error) {
	const path = "main/binary-amd64/Packages.xz"
	release, err := get(mirror + "/dists/" + suite + "/InRelease")
	if err != nil {
		return nil, err
	}
	_, hashes, _ := strings.Cut(string(release), "\nSHA256:\n")
	var sum string
	for line := range strings.Lines(hashes) {
		if f := strings.Fields(line); len(f) == 3 && f[2] == path {
			sum = f[0]
		}
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return nil, err
	}
	file := filepath.Join(cache, "ashlar-test", "Packages-"+sum+".xz")
	packed, err := os.ReadFile(file)
	if err != nil || fmt.Sprintf("%x", sha256.Sum256(packed)) != sum {
		if packed, err = get(mirror + "/dists/" + suite + "/" + path); err != nil {
			return nil, err
		}
		if got := fmt.Sprintf("%x", sha256.Sum256(packed)); got != sum {
			return nil, fmt.Errorf("fetch %s: digest %s, want %s", path, got, sum)
		}
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return nil, err
		}
		if err := os.WriteFile(file, packed, 0o644); err != nil {
			return nil, err
		}
	}
	r, err := xz.NewReader(bytes.NewReader(packed), 0)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(r)
}

func get(url string) ([]byte, error) {
	resp, err := http.Get(url)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("fetch %s: %s", url, resp.Status)
	}
	return io.ReadAll(resp.Body)
}

// parseIndex reads the stanzas of a Packages file.
func parseIndex(raw []byte, origin *pkginfo.Origin) []*pkginfo.Package {
	var out []*pkginfo.Package
	p := &pkginfo.Package{Origin: origin}
	var last *string
	lines := bufio.NewScanner(bytes.NewReader(raw))
	lines.Buffer(nil, 1<<22)
	for lines.Scan() {
		line := lines.Text()
		if line == "" {
			if p.Name != "" {
				out = append(out, p)
			}
			p, last = &pkginfo.Package{Origin: origin}, nil
			continue
		}
		if line[0] == ' ' || line[0] == '\t' {
			if last != nil {
				*last += "\n" + line
			}
			continue
		}
		key, value, _ := strings.Cut(line, ":")
		last = setField(p, key, strings.TrimSpace(value))
	}
	if p.Name != "" {
		out = append(out, p)
	}
	return out
}

func setField(p *pkginfo.Package, key, value string) *string {
	texts := map[string]*string{
		"Package": &p.Name, "Version": &p.Version, "Architecture": &p.Arch, "Pre-Depends": &p.PreDepends, "Depends": &p.Depends,
		"Recommends": &p.Recommends, "Suggests": &p.Suggests, "Enhances": &p.Enhances, "Conflicts": &p.Conflicts, "Breaks": &p.Breaks,
		"Replaces": &p.Replaces, "Provides": &p.Provides, "Priority": &p.Priority, "Section": &p.Section, "Multi-Arch": &p.MultiArch,
	}
	if text, ok := texts[key]; ok {
		*text = value
		return text
	}
	switch key {
	case "Essential":
		p.Essential = value == "yes"
	case "Important", "Protected":
		p.Important = p.Important || value == "yes"
	case "Installed-Size":
		p.InstalledSize, _ = strconv.ParseInt(value, 10, 64)
	}
	return nil
}
