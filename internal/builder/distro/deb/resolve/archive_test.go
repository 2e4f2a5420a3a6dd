package resolve_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/mikelolasagasti/xz"

	"ashlar/internal/builder/distro/deb"
	"ashlar/internal/builder/distro/deb/pkginfo"
	"ashlar/internal/builder/distro/deb/resolve"
	"ashlar/internal/testenv"
)

// index is a Packages file with what was read from it.
type index struct {
	mirror   string
	raw      []byte
	packages []*pkginfo.Package
	universe *resolve.Universe
}

// trixie is Debian trixie's main archive for amd64, read once.
var trixie struct {
	once sync.Once
	*index
	err error
}

func needTrixie(t testing.TB) *index {
	t.Helper()
	mirror := testenv.Mirror(t)
	trixie.once.Do(func() { trixie.index, trixie.err = readIndex(mirror, "trixie") })
	if trixie.err != nil {
		t.Fatal(trixie.err)
	}
	return trixie.index
}

func readIndex(mirror, suite string) (*index, error) {
	raw, err := fetchIndex(mirror, suite)
	if err != nil {
		return nil, err
	}
	origin := &pkginfo.Origin{Archive: "debian", Suite: suite, Codename: suite, Component: "main", Priority: 500}
	packages, err := deb.ParsePackages(bytes.NewReader(raw), "amd64", origin)
	if err != nil {
		return nil, err
	}
	u, err := resolve.NewUniverse(packages, "amd64")
	return &index{mirror, raw, packages, u}, err
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
