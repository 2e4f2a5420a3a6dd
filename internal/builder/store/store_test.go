package store_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/iotest"

	"golang.org/x/sys/unix"

	"ashlar/internal/builder/store"
	"ashlar/internal/foundation/digest"
	"ashlar/internal/foundation/tree"
	"ashlar/internal/testenv"
)

var _ tree.Content = store.Blob{}

func open(t *testing.T) *store.Store {
	t.Helper()
	s, err := store.Open(filepath.Join(t.TempDir(), "deep", "store"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// empty fails the test when something is left in tmp.
func empty(t *testing.T, s *store.Store) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(s.Dir(), "tmp"))
	if err != nil || len(entries) != 0 {
		t.Errorf("tmp holds %v, %v", entries, err)
	}
}

func TestPut(t *testing.T) {
	s := open(t)
	for _, size := range []int{0, 1, 256<<10 - 1, 256 << 10, 256<<10 + 1, 3 << 20} {
		data := bytes.Repeat([]byte("x"), size)
		d, n, err := s.Put(bytes.NewReader(data))
		if err != nil || n != int64(size) || d != digest.Of(data) {
			t.Fatalf("Put %d bytes: %s, %d, %v", size, d, n, err)
		}
		r, err := s.Blob(d).Open()
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(r)
		r.Close()
		if err != nil || !bytes.Equal(got, data) {
			t.Errorf("%d bytes: read back %d, %v", size, len(got), err)
		}
		info, err := os.Stat(s.Blob(d).Path())
		if err != nil || info.Mode() != 0o444 {
			t.Errorf("mode %v, %v", info.Mode(), err)
		}
	}
	if s.Has(digest.Of([]byte("other"))) {
		t.Error("has what was never put")
	}
	empty(t, s)
}

func TestPutFailedSource(t *testing.T) {
	s := open(t)
	broken := errors.New("broken")
	for _, before := range []int{0, 1 << 20} {
		_, _, err := s.Put(io.MultiReader(bytes.NewReader(make([]byte, before)), iotest.ErrReader(broken)))
		if err != broken {
			t.Errorf("after %d bytes: %v", before, err)
		}
	}
	if u, err := s.Usage(store.Meaning{}); err != nil || u.Bytes() != 0 {
		t.Errorf("left behind: %+v, %v", u, err)
	}
	empty(t, s)
}

// TestPutMends replaces a blob that a power cut left empty.
func TestPutMends(t *testing.T) {
	s := open(t)
	d, err := s.PutBytes([]byte("content"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(s.Path(d), 0); err != nil {
		t.Fatal(err)
	}
	if s.HasSize(d, 7) {
		t.Error("an empty file passes for 7 bytes")
	}
	if _, err := s.PutBytes([]byte("content")); err != nil || !s.HasSize(d, 7) {
		t.Errorf("not mended: %v", err)
	}
}

func TestPutConcurrent(t *testing.T) {
	s := open(t)
	other, err := store.Open(s.Dir())
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	var wg sync.WaitGroup
	data := bytes.Repeat([]byte("same"), 200<<10)
	for i := range 16 {
		wg.Go(func() {
			st := []*store.Store{s, other}[i%2]
			if _, _, err := st.Put(bytes.NewReader(data)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if u, err := s.Usage(store.Meaning{}); err != nil || numbers(u) != "downloads 1" || u.Bytes() != int64(len(data)+4095)/4096*4096 {
		t.Errorf("%+v, %v", u, err)
	}
}

func TestRecord(t *testing.T) {
	s := open(t)
	key := digest.Of([]byte("key")).String()
	if _, ok, err := s.Record("kind", key); ok || err != nil {
		t.Errorf("before: %v, %v", ok, err)
	}
	for _, text := range []string{"one", "", "three"} {
		if err := s.SetRecord("kind", key, []byte(text)); err != nil {
			t.Fatal(err)
		}
		if got, ok, err := s.Record("kind", key); !ok || err != nil || string(got) != text {
			t.Errorf("got %q, %v, %v", got, ok, err)
		}
	}
	if err := s.DeleteRecord("kind", key); err != nil {
		t.Fatal(err)
	}
	if _, ok, _ := s.Record("kind", key); ok {
		t.Error("still there after DeleteRecord")
	}
	for _, bad := range []string{"", "..", ".x", "a/b", "a\x00"} {
		if s.SetRecord(bad, "k", nil) == nil || s.SetRecord("k", bad, nil) == nil {
			t.Errorf("name %q taken", bad)
		}
	}
}

func TestTempDir(t *testing.T) {
	s := open(t)
	dir, remove, err := s.TempDir("work-*")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(dir, "a", "closed", "b"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(dir, "a", "closed"), 0); err != nil {
		t.Fatal(err)
	}
	if err := remove(); err != nil {
		t.Error(err)
	}
	empty(t, s)
}

// TestLeftOvers has a store entered, after a process was killed, by one and by
// another while the first still works.
func TestLeftOvers(t *testing.T) {
	dir := t.TempDir()
	closed := filepath.Join(dir, "tmp", "killed", "closed")
	if err := os.MkdirAll(filepath.Join(closed, "x"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(closed, 0); err != nil {
		t.Fatal(err)
	}
	first, err := store.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	empty(t, first)
	work, remove, err := first.TempDir("work-*")
	if err != nil {
		t.Fatal(err)
	}
	second, err := store.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	if _, err := os.Stat(work); err != nil {
		t.Errorf("the second who entered removed what the first makes: %v", err)
	}
	if err := remove(); err != nil {
		t.Error(err)
	}
}

func TestGCWaitsForNobody(t *testing.T) {
	s := open(t)
	other, err := store.Open(s.Dir())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.GC(store.GCOptions{}); err == nil || !strings.Contains(err.Error(), "another process uses it") {
		t.Errorf("while in use: %v", err)
	}
	if _, err := s.PutBytes([]byte("still works")); err != nil {
		t.Error(err)
	}
	other.Close()
	if _, err := s.GC(store.GCOptions{}); err != nil {
		t.Errorf("when free: %v", err)
	}
	// While a collector holds the lock, nobody gets in.
	lock, err := os.OpenFile(filepath.Join(s.Dir(), "lock"), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	s.Close()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Open(s.Dir()); err == nil || !strings.Contains(err.Error(), "collects garbage") {
		t.Errorf("Open while garbage is collected: %v", err)
	}
}

// TestDiskFull fills a real file system of 256 KiB.
func TestDiskFull(t *testing.T) {
	testenv.RequireRoot(t)
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=256k"); err != nil {
		testenv.Lack(t, "needs to mount a tmpfs: %v", err)
	}
	t.Cleanup(func() { syscall.Unmount(dir, syscall.MNT_DETACH) })
	s, err := store.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	_, _, err = s.Put(bytes.NewReader(make([]byte, 1<<20)))
	if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "is full") || !strings.Contains(err.Error(), "ashlar store gc") {
		t.Errorf("Put: %v", err)
	}
	err = s.SetRecord("kind", "key", make([]byte, 1<<20))
	if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "ashlar store gc") {
		t.Errorf("SetRecord: %v", err)
	}
	empty(t, s)
	if u, err := s.Usage(store.Meaning{}); err != nil || u.Bytes() != 0 {
		t.Errorf("left behind: %+v, %v", u, err)
	}
}

func TestDefaultDir(t *testing.T) {
	t.Setenv("HOME", "/home/me")
	t.Setenv("XDG_CACHE_HOME", "")
	t.Setenv("ASHLAR_STORE", "")
	for _, c := range []struct{ key, value, want string }{
		{"HOME", "/home/me", "/home/me/.cache/ashlar"},
		{"XDG_CACHE_HOME", "relative", "/home/me/.cache/ashlar"},
		{"XDG_CACHE_HOME", "/cache", "/cache/ashlar"},
		{"ASHLAR_STORE", "/store", "/store"},
	} {
		t.Setenv(c.key, c.value)
		if got, err := store.DefaultDir(); err != nil || got != c.want {
			t.Errorf("%s=%s: %q, %v; want %q", c.key, c.value, got, err, c.want)
		}
	}
}
