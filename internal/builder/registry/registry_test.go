package registry

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	server "github.com/google/go-containerregistry/pkg/registry"

	"ashlar/internal/format/imagetest"
	"ashlar/internal/format/oci"
	"ashlar/internal/format/tarball"
	"ashlar/internal/foundation/tree"
)

const epoch = 1_700_000_000

// image writes an archive of some layers and gives its path.
func image(t *testing.T, layers int) string {
	t.Helper()
	i := oci.Image{Name: "sample:latest", Config: oci.Config{Created: oci.Created(epoch), Platform: oci.Platform{OS: "linux", Architecture: "amd64"}}}
	for n := range layers {
		tr := &tree.Tree{}
		imagetest.Put(t, tr, tree.NewFile(fmt.Sprintf("file-%d", n), 0o644, imagetest.Noise(uint64(n), 100_000)))
		var b bytes.Buffer
		l, err := oci.MakeLayer(&b, oci.Gzip, func(w io.Writer) error { return tarball.Write(w, tr, tarball.Options{}) })
		if err != nil {
			t.Fatal(err)
		}
		l.Source = tree.Bytes(b.Bytes())
		i.Layers = append(i.Layers, l)
	}
	path := filepath.Join(t.TempDir(), "oci.tar")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(i.WriteArchive(f, epoch), f.Close()); err != nil {
		t.Fatal(err)
	}
	return path
}

// serve starts a registry behind a handler and gives its address; nobody's
// credentials but the test's are looked at.
func serve(t *testing.T, wrap func(http.Handler) http.Handler) string {
	t.Helper()
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	s := httptest.NewServer(wrap(server.New(server.Logger(log.New(io.Discard, "", 0)))))
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}

func plain(h http.Handler) http.Handler { return h }

func files(t *testing.T, path string) *tree.Tree {
	t.Helper()
	l, err := oci.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	m, _, err := l.Manifest(&oci.Platform{OS: "linux", Architecture: "amd64"})
	if err != nil {
		t.Fatal(err)
	}
	tr, err := l.Tree(t.Context(), m, tarball.Limits{}, oci.InMemory)
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

// TestPushAndPull carries an image there and back.
func TestPushAndPull(t *testing.T) {
	host, path := serve(t, plain), image(t, 5)
	pushed, err := Push(t.Context(), path, host+"/me/sample:1", Options{})
	if err != nil {
		t.Fatal(err)
	}
	if again, err := Push(t.Context(), path, host+"/me/sample:1", Options{}); err != nil || again != pushed {
		t.Errorf("pushed again: %s, %v, want %s", again, err, pushed)
	}
	for _, ref := range []string{host + "/me/sample:1", pushed} {
		back := filepath.Join(t.TempDir(), "back.tar")
		got, err := Pull(t.Context(), ref, back, Options{Arch: "amd64"})
		if err != nil || got != pushed {
			t.Fatalf("pull %s: %s, %v, want %s", ref, got, err, pushed)
		}
		if diff := imagetest.Differences(t, files(t, path), files(t, back)); diff != "" {
			t.Error(diff)
		}
		if left, err := os.ReadDir(filepath.Dir(back)); err != nil || len(left) != 1 {
			t.Errorf("beside the archive is left %v, %v", left, err)
		}
	}
	layout := t.TempDir() // what was pulled may be pushed from a directory too
	if err := unpack(members(t, path), layout); err != nil {
		t.Fatal(err)
	}
	if got, err := Push(t.Context(), layout, host+"/me/other", Options{}); err != nil || !strings.HasSuffix(got, pushed[strings.Index(pushed, "@"):]) {
		t.Errorf("from a directory: %s, %v", got, err)
	}
}

// members gives the members of an archive as they are.
func members(t *testing.T, path string) *tree.Tree {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	tr, err := tarball.Read(f, tarball.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

func unpack(t *tree.Tree, dir string) error {
	return t.Walk(func(e *tree.Entry) error {
		if e.IsDir() {
			return os.MkdirAll(filepath.Join(dir, e.Path), 0o755)
		}
		data, err := e.ReadAll(1 << 24)
		return errors.Join(err, os.WriteFile(filepath.Join(dir, e.Path), data, 0o644))
	})
}

// breaking breaks connections after so many requests with the method on blobs.
func breaking(method string, after int64) func(http.Handler) http.Handler {
	return func(h http.Handler) http.Handler {
		var n atomic.Int64
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == method && strings.Contains(r.URL.Path, "/blobs/") && n.Add(1) > after {
				if method == http.MethodGet { // half of what was promised
					w.Header().Set("Content-Length", "100000")
					_, _ = w.Write(make([]byte, 1000))
				}
				panic(http.ErrAbortHandler)
			}
			h.ServeHTTP(w, r)
		})
	}
}

// TestPushBreaksOff: no manifest names blobs that did not arrive.
func TestPushBreaksOff(t *testing.T) {
	for _, after := range []int64{0, 2, 4} {
		host := serve(t, breaking(http.MethodPut, after))
		_, err := Push(t.Context(), image(t, 5), host+"/me/sample:1", Options{})
		if err == nil || !strings.Contains(err.Error(), "push to "+host+"/me/sample:1") {
			t.Errorf("after %d blobs: %v", after, err)
		}
		resp, err := http.Get("http://" + host + "/v2/me/sample/manifests/1")
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusNotFound {
			t.Errorf("after %d blobs: the registry has the image: %s", after, resp.Status)
		}
	}
}

// TestPullBreaksOff: the archive that was there stays.
func TestPullBreaksOff(t *testing.T) {
	for _, after := range []int64{0, 3} {
		host := serve(t, breaking(http.MethodGet, after))
		if _, err := Push(t.Context(), image(t, 5), host+"/me/sample:1", Options{}); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), "back.tar")
		if err := os.WriteFile(path, []byte("old"), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Pull(t.Context(), host+"/me/sample:1", path, Options{Arch: "amd64"}); err == nil || !strings.Contains(err.Error(), "pull "+host+"/me/sample:1") {
			t.Errorf("after %d blobs: %v", after, err)
		}
		left, err := os.ReadDir(filepath.Dir(path))
		if data, readErr := os.ReadFile(path); readErr != nil || string(data) != "old" || err != nil || len(left) != 1 {
			t.Errorf("after %d blobs: left are %v, %q", after, left, data)
		}
	}
}

// TestCredentials are those of Docker's config.json.
func TestCredentials(t *testing.T) {
	host := serve(t, func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if user, password, _ := r.BasicAuth(); user != "me" || password != "secret" {
				w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			h.ServeHTTP(w, r)
		})
	})
	path := image(t, 1)
	if _, err := Push(t.Context(), path, host+"/me/sample", Options{}); err == nil || !strings.Contains(err.Error(), "basic credential not found") {
		t.Errorf("without credentials: %v", err)
	}
	config := `{"auths":{"` + host + `":{"auth":"` + base64.StdEncoding.EncodeToString([]byte("me:secret")) + `"}}}`
	if err := os.WriteFile(filepath.Join(os.Getenv("DOCKER_CONFIG"), "config.json"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Push(t.Context(), path, host+"/me/sample", Options{}); err != nil {
		t.Error(err)
	}
}

func TestRefuses(t *testing.T) {
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	for _, ref := range []string{"", "web", "me/web:1", "host.example/UPPER", "host.example/a:b:c"} {
		if _, err := Push(t.Context(), image(t, 1), ref, Options{}); !errors.Is(err, ErrReference) {
			t.Errorf("%q: %v", ref, err)
		}
	}
	if _, err := Push(t.Context(), filepath.Join(t.TempDir(), "absent"), "localhost:1/a", Options{}); err == nil || !strings.Contains(err.Error(), "absent") {
		t.Errorf("no archive: %v", err)
	}
	host := serve(t, plain)
	if _, err := Pull(t.Context(), host+"/no/image", filepath.Join(t.TempDir(), "x"), Options{}); err == nil || !strings.Contains(err.Error(), "not found") {
		t.Errorf("no image: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Push(ctx, image(t, 1), host+"/me/sample", Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestIsThisHost(t *testing.T) {
	for host, want := range map[string]bool{"localhost": true, "localhost:5000": true, "127.0.0.1:1": true, "[::1]:1": true, "ghcr.io": false, "10.0.0.1:5000": false} {
		if isThisHost(host) != want {
			t.Errorf("%s: %v", host, !want)
		}
	}
}
