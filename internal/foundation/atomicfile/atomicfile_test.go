package atomicfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"testing/iotest"
)

func content(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// names lists a directory.
func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, e := range entries {
		list = append(list, e.Name())
	}
	return list
}

func TestMakesAndReplaces(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	old := syscall.Umask(0o077)
	defer syscall.Umask(old)
	for _, c := range []struct {
		opt  Options
		mode os.FileMode
	}{{Options{}, 0o644}, {Options{Mode: 0o600, Sync: true}, 0o600}, {Options{Mode: 0o755}, 0o755}} {
		want := fmt.Sprint(c.mode)
		if err := WriteBytes(path, c.opt, []byte(want)); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(path)
		if err != nil || info.Mode() != c.mode || content(t, path) != want {
			t.Errorf("%v: %v has %q", c.opt, info.Mode(), content(t, path))
		}
	}
	if err := WriteReader(path, Options{}, bytes.NewReader([]byte("read"))); err != nil || content(t, path) != "read" {
		t.Errorf("%q, %v", content(t, path), err)
	}
	if got := names(t, dir); len(got) != 1 {
		t.Errorf("the directory holds %q", got)
	}
}

// TestFailureLeavesTheOld: whatever step fails, the old file is as it was and
// nothing else is left.
func TestFailureLeavesTheOld(t *testing.T) {
	broken := errors.New("broken")
	for name, fail := range map[string]func(path string) error{
		"fill": func(path string) error {
			return Write(path, Options{}, func(f *os.File) error { return errors.Join(errOf(f.WriteString("half")), broken) })
		},
		"reader": func(path string) error {
			return WriteReader(path, Options{}, io.MultiReader(bytes.NewReader([]byte("half")), iotest.ErrReader(broken)))
		},
		"close": func(path string) error {
			return errors.Join(Write(path, Options{}, func(f *os.File) error { return f.Close() }), broken)
		},
	} {
		dir := t.TempDir()
		path := filepath.Join(dir, "f")
		if err := WriteBytes(path, Options{}, []byte("old")); err != nil {
			t.Fatal(err)
		}
		if err := fail(path); !errors.Is(err, broken) {
			t.Errorf("%s: the error is %v", name, err)
		}
		if got := names(t, dir); content(t, path) != "old" || len(got) != 1 {
			t.Errorf("%s: %q, the directory holds %q", name, content(t, path), got)
		}
	}
}

func errOf(_ int, err error) error { return err }

func TestRenameFails(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	if err := os.MkdirAll(filepath.Join(path, "full"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := WriteBytes(path, Options{}, nil); err == nil {
		t.Error("a directory was replaced")
	}
	if got := names(t, dir); len(got) != 1 {
		t.Errorf("the directory holds %q", got)
	}
	if err := WriteBytes(filepath.Join(dir, "none", "f"), Options{}, nil); err == nil {
		t.Error("written into a directory that is not there")
	}
}

// TestConcurrentWriters: a reader sees the whole of what one of them wrote.
func TestConcurrentWriters(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	const size, rounds = 100_000, 30
	whole := func(data []byte) bool {
		return len(data) == size && bytes.Count(data, data[:1]) == size
	}
	if err := WriteBytes(path, Options{}, bytes.Repeat([]byte{'x'}, size)); err != nil {
		t.Fatal(err)
	}
	var writers sync.WaitGroup
	for letter := range byte(4) {
		writers.Go(func() {
			for range rounds {
				if err := WriteBytes(path, Options{}, bytes.Repeat([]byte{'a' + letter}, size)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	done := make(chan struct{})
	go func() { writers.Wait(); close(done) }()
	for reading := true; reading; {
		select {
		case <-done:
			reading = false
		default:
		}
		if data, err := os.ReadFile(path); err != nil || !whole(data) {
			t.Fatalf("%d bytes, %v", len(data), err)
		}
	}
	if got := names(t, dir); len(got) != 1 {
		t.Errorf("the directory holds %q", got)
	}
}

// victimVariable makes this test binary the process that TestKilled kills.
const victimVariable = "ATOMICFILE_VICTIM"

func TestMain(m *testing.M) {
	if path := os.Getenv(victimVariable); path != "" {
		fmt.Fprintln(os.Stderr, victim(path))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// victim writes without end.
func victim(path string) error {
	for n := 0; ; n++ {
		line := []byte(strconv.Itoa(n) + "\n")
		if err := WriteBytes(path, Options{Sync: n%2 == 0}, bytes.Repeat(line, 10_000)); err != nil {
			return err
		}
		if n == 0 {
			fmt.Println("begun")
		}
	}
}

// TestKilled kills a writer again and again, at whatever point it is.
func TestKilled(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	for range 10 {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), victimVariable+"="+path)
		out, err := cmd.StdoutPipe()
		if err == nil {
			err = cmd.Start()
		}
		if err == nil {
			_, err = io.ReadFull(out, make([]byte, len("begun\n")))
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait() // killed
		data := []byte(content(t, path))
		line, _, _ := bytes.Cut(data, []byte("\n"))
		if want := bytes.Repeat(append(line, '\n'), 10_000); len(line) == 0 || !bytes.Equal(data, want) {
			t.Fatalf("a part of a file: %d bytes that begin with %q", len(data), line)
		}
	}
}
