package rootfs

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"ashlar/internal/builder/definition"
	"ashlar/internal/builder/distro/deb"
	"ashlar/internal/builder/distro/deb/pkginfo"
	"ashlar/internal/builder/distro/deb/resolve"
	"ashlar/internal/builder/lock"
	"ashlar/internal/builder/store"
	"ashlar/internal/foundation/digest"
	"ashlar/internal/testenv"
)

// suite and arch are what the tests against the archive are made with.
const (
	suite = "trixie"
	arch  = "amd64"
)

// archive is Debian's main component, read once for all tests of the package.
type archive struct {
	store    *store.Store
	index    *deb.Index
	universe *resolve.Universe
}

// openArchive shares one archive among the tests: reading it takes seconds.
var openArchive = sync.OnceValues(func() (*archive, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return nil, err
	}
	st, err := store.Open(filepath.Join(cache, "ashlar-test", "store"))
	if err != nil {
		return nil, err
	}
	list, err := deb.Archives(definition.Base{Distro: "debian", Suite: suite}, os.Getenv, os.ReadFile)
	if err != nil {
		return nil, err
	}
	list[0].Arches = []string{arch}
	index, err := deb.FetchIndex(context.Background(), nil, st, list[0], time.Now(), nil)
	if err != nil {
		return nil, err
	}
	u, err := resolve.NewUniverse(index.Packages, arch)
	return &archive{store: st, index: index, universe: u}, err
})

func requireArchive(t *testing.T) *archive {
	t.Helper()
	testenv.Mirror(t)
	a, err := openArchive()
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// input resolves, fetches and unpacks packages, with the essential ones.
func (a *archive) input(t *testing.T, packages []string) Input {
	t.Helper()
	r, err := resolve.Resolve(a.universe, resolve.Request{Packages: packages, Essential: true})
	if err != nil {
		t.Fatal(err)
	}
	in := Input{Definition: &definition.Definition{Locale: "C.UTF-8"}, Arch: arch, Store: a.store, NoCache: true}
	var locked []lock.Package
	var requests []store.Request
	for _, p := range r.Packages {
		locked = append(locked, lock.Package{Name: p.Name, Version: p.Version, Arch: p.Arch, Digest: p.Digest})
		requests = append(requests, a.request(p))
		in.Digests = append(in.Digests, p.Digest)
	}
	if err := a.store.Fetch(t.Context(), requests, store.FetchOptions{}); err != nil {
		t.Fatal(err)
	}
	if in.Packages, err = deb.UnpackAll(t.Context(), a.store, locked, 0, nil); err != nil {
		t.Fatal(err)
	}
	return in
}

func (a *archive) request(p *pkginfo.Package) store.Request {
	r := store.Request{Digest: p.Digest, Size: p.Size, Name: p.Name}
	for _, m := range a.index.Archive.Mirrors {
		r.URLs = append(r.URLs, m+"/"+p.Filename)
	}
	return r
}

// serve is the archive on loopback: packages and indexes from the store, the
// rest from the mirror. So a foreign tool gets what was resolved here, even if
// the mirror has moved on.
func (a *archive) serve(t *testing.T) string {
	t.Helper()
	files := map[string]digest.Digest{"/dists/" + suite + "/InRelease": a.index.Release.Digest}
	for _, p := range a.index.Packages {
		files["/"+p.Filename] = p.Digest
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		d, ok := files[r.URL.Path]
		if hex := filepath.Base(r.URL.Path); strings.Contains(r.URL.Path, "/by-hash/SHA256/") {
			var err error
			d, err = digest.Parse(hex)
			ok = err == nil
		}
		if !ok || !a.store.Has(d) {
			http.Redirect(w, r, a.index.Archive.Mirrors[0]+r.URL.Path, http.StatusFound)
			return
		}
		http.ServeFile(w, r, a.store.Path(d))
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// names lists what is to be installed, name by name.
func names(in Input) []string {
	var list []string
	for _, p := range in.Packages {
		list = append(list, p.Control.Get("Package")+"="+p.Control.Get("Version"))
	}
	return list
}
