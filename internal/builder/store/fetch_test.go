package store_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ashlar/internal/builder/store"
	"ashlar/internal/foundation/digest"
	"ashlar/internal/foundation/progress"
)

func request(name string, data []byte, urls ...string) store.Request {
	return store.Request{Name: name, Digest: digest.Of(data), Size: int64(len(data)), URLs: urls}
}

// quick makes the retries of a test short.
func quick() store.FetchOptions {
	return store.FetchOptions{Backoff: time.Millisecond, Retries: 2, Stall: 5 * time.Second}
}

type events struct {
	mu  sync.Mutex
	all []progress.Event
}

func (e *events) Report(ev progress.Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.all = append(e.all, ev)
}

func TestFetch(t *testing.T) {
	s := open(t)
	files := map[string][]byte{}
	var hits atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		hits.Add(1)
		data, ok := files[r.URL.Path]
		if !ok {
			http.NotFound(w, r)
			return
		}
		w.Write(data)
	}))
	defer server.Close()
	var requests []store.Request
	total := int64(0)
	for i := range 20 {
		data := bytes.Repeat([]byte{byte(i)}, i*50_000)
		files[fmt.Sprintf("/%d", i)] = data
		total += int64(len(data))
		requests = append(requests, request(fmt.Sprint("file ", i), data, server.URL+"/missing", fmt.Sprintf("%s/%d", server.URL, i)))
	}
	local := []byte("local content")
	path := filepath.Join(t.TempDir(), "a file")
	if err := os.WriteFile(path, local, 0o644); err != nil {
		t.Fatal(err)
	}
	requests = append(requests, request("local", local, "file://"+strings.ReplaceAll(path, " ", "%20")))
	total += int64(len(local))
	var sink events
	opt := quick()
	opt.Progress = &sink
	if err := s.Fetch(t.Context(), requests, opt); err != nil {
		t.Fatal(err)
	}
	for _, r := range requests {
		if !s.HasSize(r.Digest, r.Size) {
			t.Errorf("%s is not there", r.Name)
		}
	}
	last := sink.all[len(sink.all)-1]
	if !last.End || last.Done != total || last.Total != total || last.Unit != "bytes" {
		t.Errorf("last event %+v, want %d bytes", last, total)
	}
	before := hits.Load()
	opt.Offline = true
	if err := s.Fetch(t.Context(), requests, opt); err != nil || hits.Load() != before {
		t.Errorf("again, offline: %v, %d requests", err, hits.Load()-before)
	}
	empty(t, s)
}

func TestFetchOffline(t *testing.T) {
	s := open(t)
	var requests []store.Request
	for i := range 12 {
		requests = append(requests, request(fmt.Sprint("pkg", i), []byte{byte(i)}, "http://127.0.0.1:1/x"))
	}
	err := s.Fetch(t.Context(), requests, store.FetchOptions{Offline: true})
	for _, want := range []string{"pkg0, pkg1", "and 2 more", "run: ashlar fetch"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: want %q in it", err, want)
		}
	}
}

// TestFetchFaults has a server that does wrong in a way that the path names.
func TestFetchFaults(t *testing.T) {
	data := bytes.Repeat([]byte("0123456789"), 40_000)
	var tries atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		try := tries.Add(1)
		switch r.URL.Path {
		case "/flaky-503":
			if try < 3 {
				http.Error(w, "busy", http.StatusServiceUnavailable)
				return
			}
			w.Write(data)
		case "/flaky-cut":
			w.Header().Set("Content-Length", fmt.Sprint(len(data)))
			if try < 3 {
				w.Write(data[:1000])
				return
			}
			w.Write(data)
		case "/503":
			http.Error(w, "busy", http.StatusServiceUnavailable)
		case "/cut":
			w.Header().Set("Content-Length", fmt.Sprint(len(data)))
			w.Write(data[:300_000])
		case "/short":
			w.Write(data[:1000])
		case "/short-chunked":
			w.Write(data[:1000])
			w.(http.Flusher).Flush()
		case "/long":
			w.(http.Flusher).Flush()
			w.Write(append(data, 'x'))
		case "/wrong":
			w.Write(bytes.Repeat([]byte("x"), len(data)))
		case "/stall":
			w.Header().Set("Content-Length", fmt.Sprint(len(data)))
			w.Write(data[:1000])
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		default:
			http.NotFound(w, r)
		}
	}))
	defer server.Close()
	cases := []struct {
		path, want string
		tries      int32
	}{
		{"/flaky-503", "", 3},
		{"/flaky-cut", "", 3},
		{"/503", "503", 3},
		{"/missing", "404", 1},
		{"/cut", "unexpected EOF", 3},
		{"/short", "has 1000 bytes, want 400000", 1},
		{"/short-chunked", "ended after 1000 of 400000", 3},
		{"/long", "more than the 400000 bytes", 1},
		{"/wrong", "has the SHA-256", 1},
		{"/stall", "nothing arrived for 200ms", 3},
	}
	for _, c := range cases {
		s := open(t)
		tries.Store(0)
		opt := quick()
		opt.Stall = 200 * time.Millisecond
		err := s.Fetch(t.Context(), []store.Request{request("thing 1.0", data, server.URL+c.path)}, opt)
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", c.path, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "thing 1.0") || !strings.Contains(err.Error(), server.URL+c.path)):
			t.Errorf("%s: %v, want %q", c.path, err, c.want)
		}
		if s.Has(digest.Of(data)) != (c.want == "") {
			t.Errorf("%s: blob there: %v", c.path, c.want != "")
		}
		if tries.Load() != c.tries {
			t.Errorf("%s: %d tries, want %d", c.path, tries.Load(), c.tries)
		}
		empty(t, s)
	}
}

func TestFetchCancelled(t *testing.T) {
	s := open(t)
	started := make(chan struct{}, 8)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "100")
		w.Write([]byte("begin"))
		w.(http.Flusher).Flush()
		started <- struct{}{}
		<-r.Context().Done()
	}))
	defer server.Close()
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-started; cancel() }()
	err := s.Fetch(ctx, []store.Request{request("slow", make([]byte, 100), server.URL+"/")}, quick())
	if err == nil || ctx.Err() == nil {
		t.Errorf("Fetch after cancel: %v", err)
	}
	empty(t, s)
}

func TestGet(t *testing.T) {
	var tries atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if tries.Add(1) == 1 {
			http.Error(w, "busy", http.StatusBadGateway)
			return
		}
		w.(http.Flusher).Flush() // no length is announced
		w.Write([]byte("0123456789"))
	}))
	defer server.Close()
	got, err := store.Get(t.Context(), server.URL, 10, quick())
	if err != nil || string(got) != "0123456789" {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := store.Get(t.Context(), server.URL, 9, quick()); err == nil || !strings.Contains(err.Error(), "more than 9 bytes") {
		t.Errorf("limit: %v", err)
	}
}
