package fetch

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"ashlar/internal/contract/machine"
	"ashlar/internal/foundation/digest"
)

var content = bytes.Repeat([]byte("the root of a machine\n"), 20_000)

var wanted = machine.NetFile{Name: "root.img", Size: int64(len(content)), Digest: digest.Of(content)}

var quick = Options{Attempts: 3, Stall: 2 * time.Second, Pause: time.Millisecond}

// get fetches the file from a server and gives what the directory then holds.
func get(t *testing.T, server *httptest.Server, opt Options) ([]byte, error) {
	t.Helper()
	dir := t.TempDir()
	err := Files(t.Context(), server.URL+"/dir/", []machine.NetFile{wanted}, dir, opt)
	data, readErr := os.ReadFile(filepath.Join(dir, wanted.Name))
	if err == nil && readErr != nil {
		t.Fatal(readErr)
	}
	return data, err
}

func serve(w http.ResponseWriter, r *http.Request, data []byte) {
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
}

// limited passes a number of bytes on and then breaks the connection.
type limited struct {
	http.ResponseWriter
	left int
}

func (l *limited) Write(p []byte) (int, error) {
	n, err := l.ResponseWriter.Write(p[:min(len(p), l.left)])
	if l.left -= n; l.left == 0 && err == nil {
		http.NewResponseController(l.ResponseWriter).Flush()
		panic(http.ErrAbortHandler)
	}
	return n, err
}

func TestFetches(t *testing.T) {
	for name, handler := range map[string]func(n int64, w http.ResponseWriter, r *http.Request){
		"at once": func(_ int64, w http.ResponseWriter, r *http.Request) { serve(w, r, content) },
		"in pieces": func(_ int64, w http.ResponseWriter, r *http.Request) {
			serve(&limited{w, 50_000}, r, content)
		},
		"without ranges": func(n int64, w http.ResponseWriter, r *http.Request) {
			r.Header.Del("Range")
			if n < 3 {
				w = &limited{w, 50_000}
			}
			serve(w, r, content)
		},
		"after failures": func(n int64, w http.ResponseWriter, r *http.Request) {
			if n < 3 {
				w.WriteHeader(http.StatusServiceUnavailable)
				return
			}
			serve(w, r, content)
		},
		"by another address": func(_ int64, w http.ResponseWriter, r *http.Request) {
			if !strings.HasPrefix(r.URL.Path, "/moved/") {
				http.Redirect(w, r, "/moved"+r.URL.Path, http.StatusFound)
				return
			}
			serve(w, r, content)
		},
		"without a length": func(_ int64, w http.ResponseWriter, r *http.Request) {
			http.NewResponseController(w).Flush()
			w.Write(content)
		},
		"after a stall": func(n int64, w http.ResponseWriter, r *http.Request) {
			if n == 1 {
				w.Write(content[:1000])
				http.NewResponseController(w).Flush()
				<-r.Context().Done()
				return
			}
			serve(w, r, content)
		},
	} {
		t.Run(name, func(t *testing.T) {
			var asked atomic.Int64
			h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if !strings.HasSuffix(r.URL.Path, "/dir/root.img") {
					http.NotFound(w, r)
					return
				}
				handler(asked.Add(1), w, r)
			})
			for kind, start := range map[string]func(http.Handler) *httptest.Server{"http": httptest.NewServer, "https": httptest.NewTLSServer} {
				asked.Store(0)
				server := start(h)
				server.Config.ErrorLog = nil
				if got, err := get(t, server, quick); err != nil || !bytes.Equal(got, content) {
					t.Errorf("%s: %d bytes, %v", kind, len(got), err)
				}
				server.Close()
			}
		})
	}
}

func TestFails(t *testing.T) {
	other := bytes.Replace(content, []byte("root"), []byte("rook"), 1)
	for want, handler := range map[string]http.HandlerFunc{
		"404 Not Found":          http.NotFound,
		"403 Forbidden":          func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) },
		"its SHA-256 is":         func(w http.ResponseWriter, r *http.Request) { serve(w, r, other) },
		"file has 5 bytes":       func(w http.ResponseWriter, r *http.Request) { serve(w, r, []byte("short")) },
		"the last of 3 attempts": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) },
		"stopped after 10":       func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, r.URL.Path, http.StatusFound) },
		"nothing came any more":  func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		"unexpected EOF":         func(w http.ResponseWriter, _ *http.Request) { http.NewResponseController(w).Flush() },
		"gives the range \"bytes 7": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Range", "bytes 7-8/9")
			w.WriteHeader(http.StatusPartialContent)
		},
		"gives more than": func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				if _, err := w.Write(content); err != nil {
					return
				}
			}
		},
	} {
		t.Run(want, func(t *testing.T) {
			server := httptest.NewServer(handler)
			defer server.Close()
			data, err := get(t, server, quick)
			if err == nil || !strings.Contains(err.Error(), want) || data != nil {
				t.Errorf("got %v and %d bytes, want an error with %q", err, len(data), want)
			}
		})
	}
}

func TestBases(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { serve(w, r, content) }))
	address := server.URL
	files := []machine.NetFile{wanted}
	if err := Files(t.Context(), address+"/a/script.ipxe", files, t.TempDir(), quick); err != nil {
		t.Errorf("the URL of a file beside it: %v", err)
	}
	server.Close()
	for base, want := range map[string]string{
		"":             "want http://",
		"tftp://host/": "want http://",
		"http:///x":    "want http://",
		"http://[::1":  "fetch from",
		address + "/":  "refused",
	} {
		if err := Files(t.Context(), base, files, t.TempDir(), quick); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want an error with %q", base, err, want)
		}
	}
	for _, name := range []string{"../x", "", "a/b"} {
		if err := Files(t.Context(), address, []machine.NetFile{{Name: name}}, t.TempDir(), quick); err == nil && name != "" {
			t.Errorf("the name %q is fetched", name)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Files(ctx, address, files, t.TempDir(), Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestReadList(t *testing.T) {
	path := filepath.Join(t.TempDir(), "net.json")
	data, err := json.Marshal([]machine.NetFile{wanted})
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{string(data), "[", ""} {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		files, err := ReadList(path)
		if ok := text == string(data); (err == nil) != ok || ok && fmt.Sprint(files) != fmt.Sprint([]machine.NetFile{wanted}) {
			t.Errorf("%q: %v, %v", text, files, err)
		}
	}
	if _, err := ReadList(path + "x"); err == nil {
		t.Error("a list that is not there is read")
	}
}
