package sandbox

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"ashlar/internal/foundation/digest"
	"ashlar/internal/foundation/tree"
	"ashlar/internal/testenv"
)

// scenarioEnv makes the test binary run the scenario in the directory it names
// and print the result: see TestSameResultForEveryone.
const scenarioEnv = "ASHLAR_TEST_SCENARIO"

func TestMain(m *testing.M) {
	if IsChild() {
		os.Exit(ChildMain())
	}
	if dir := os.Getenv(scenarioEnv); dir != "" {
		if err := printScenario(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// cacheDir is for what tests fetch once.
func cacheDir(t testing.TB) string {
	t.Helper()
	base, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(base, "ashlar-test", "sandbox")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// debianTar gives a tar of the essential packages of Debian trixie, unpacked
// and not configured, made by mmdebstrap.
func debianTar(t testing.TB) string {
	t.Helper()
	name := filepath.Join(cacheDir(t), "trixie-extract.tar")
	if _, err := os.Stat(name); err == nil {
		return name
	}
	mirror, tool := testenv.Mirror(t), testenv.RequireTool(t, "mmdebstrap")
	temp := name + ".new"
	out, err := exec.Command(tool, "--variant=extract", "--include=?essential", "--include=libcap2-bin,passwd,busybox-static", "--format=tar",
		"trixie", temp, mirror).CombinedOutput()
	if err != nil {
		t.Fatalf("mmdebstrap: %v\n%s", err, out)
	}
	if err := os.Rename(temp, name); err != nil {
		t.Fatal(err)
	}
	return name
}

// blob is content as the store keeps it: a read-only file.
type blob string

func (b blob) Open() (io.ReadCloser, error) { return os.Open(string(b)) }
func (b blob) Path() string                 { return string(b) }

// blobs stores content by digest in a directory.
type blobs string

func (dir blobs) put(r io.Reader) (digest.Digest, int64, tree.Content, error) {
	data, err := io.ReadAll(r)
	if err == nil {
		err = os.MkdirAll(string(dir), 0o755)
	}
	sum := digest.Of(data)
	name := filepath.Join(string(dir), sum.String())
	if _, statErr := os.Stat(name); err == nil && statErr != nil {
		temp := fmt.Sprintf("%s.%d", name, os.Getpid())
		err = errors.Join(os.WriteFile(temp, data, 0o444), os.Rename(temp, name))
	}
	return sum, int64(len(data)), blob(name), err
}

// readTar makes a tree of a tar, contents in a blob directory.
func readTar(name string, store blobs) (*tree.Tree, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	t := &tree.Tree{}
	for r := tar.NewReader(f); ; {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
		if err := putTar(t, h, r, store); err != nil {
			return nil, err
		}
	}
	// What package scripts of base-files and base-passwd would have made.
	if err := t.Put(tree.NewDir("srv", 0o755)); err != nil {
		return nil, err
	}
	for _, file := range []struct {
		name, data string
		mode, gid  uint32
	}{
		{"etc/passwd", "root:x:0:0:root:/root:/bin/bash\nman:x:6:12:man:/var/cache/man:/usr/sbin/nologin\n", 0o644, 0},
		{"etc/group", "root:x:0:\nstaff:x:50:\nshadow:x:42:\nman:x:12:\n", 0o644, 0},
		{"etc/shadow", "root:*:20000:0:99999:7:::\nman:*:20000:0:99999:7:::\n", 0o640, 42},
		{"etc/gshadow", "root:*::\nstaff:*::\nshadow:*::\nman:*::\n", 0o640, 42},
	} {
		e := tree.NewFile(file.name, file.mode, []byte(file.data))
		e.GID, e.MTime = file.gid, 1_700_000_000
		if err := t.Put(e); err != nil {
			return nil, err
		}
	}
	return t, nil
}

func putTar(t *tree.Tree, h *tar.Header, r io.Reader, store blobs) error {
	name, err := tree.Clean(h.Name)
	if err != nil {
		return err
	}
	e := tree.Entry{Path: name, Mode: uint32(h.Mode) & 0o7777, UID: uint32(h.Uid), GID: uint32(h.Gid), MTime: h.ModTime.Unix()}
	switch h.Typeflag {
	case tar.TypeReg:
		e.Kind = tree.File
		e.Digest, e.Size, e.Source, err = store.put(r)
	case tar.TypeDir:
		e.Kind = tree.Dir
	case tar.TypeSymlink:
		e.Kind, e.Target = tree.Symlink, h.Linkname
	case tar.TypeLink:
		e.Kind = tree.HardLink
		e.Target, err = tree.Clean(h.Linkname)
	case tar.TypeChar:
		e.Kind, e.Major, e.Minor = tree.CharDevice, uint32(h.Devmajor), uint32(h.Devminor)
	default:
		return fmt.Errorf("%s: type %c", name, h.Typeflag)
	}
	if err != nil {
		return err
	}
	return t.Put(e)
}

// testDir is a directory on a real file system that is removed afterwards.
func testDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "ashlar-sandbox-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := removeAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// parsedTree reads the cached tar once for the process.
var parsedTree = sync.OnceValues(func() (*tree.Tree, error) {
	base, err := os.UserCacheDir()
	if err != nil {
		return nil, err
	}
	cache := filepath.Join(base, "ashlar-test", "sandbox")
	return readTar(filepath.Join(cache, "trixie-extract.tar"), blobs(filepath.Join(cache, "blobs")))
})

// debianTree gives the Debian root and a pool, which lies in the cache.
func debianTree(t testing.TB) (*tree.Tree, string) {
	t.Helper()
	cache := cacheDir(t)
	debianTar(t)
	lower, err := parsedTree()
	if err != nil {
		t.Fatal(err)
	}
	return lower.Clone(), filepath.Join(cache, "pool")
}

type box struct {
	*Sandbox
	t     testing.TB
	store blobs
}

// newBox is a sandbox over the Debian root, changed by edit.
func newBox(t testing.TB, edit func(*tree.Tree)) *box {
	t.Helper()
	lower, poolDir := debianTree(t)
	if edit != nil {
		edit(lower)
	}
	dir := testDir(t)
	s, err := New(t.Context(), Options{Dir: filepath.Join(dir, "work"), Pool: poolDir, Lower: lower, Log: testLog{t}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return &box{s, t, blobs(filepath.Join(dir, "blobs"))}
}

type testLog struct{ t testing.TB }

func (l testLog) Write(p []byte) (int, error) {
	l.t.Logf("%s", p)
	return len(p), nil
}

// sh runs a shell script and gives what it prints.
func (b *box) sh(script string) string {
	b.t.Helper()
	out, err := b.trySh(b.t.Context(), script)
	if err != nil {
		b.t.Fatalf("%s: %v\n%s", script, err, out)
	}
	return out
}

func (b *box) trySh(ctx context.Context, script string) (string, error) {
	var out strings.Builder
	w := lockedWriter(&out)
	err := b.Run(ctx, Command{Args: []string{"sh", "-euc", script}, Stdout: w, Stderr: w})
	return out.String(), err
}

func (b *box) result() *tree.Tree {
	b.t.Helper()
	r, err := b.Result(b.store.put)
	if err != nil {
		b.t.Fatal(err)
	}
	return r
}

// line describes an entry but for its times.
func line(e *tree.Entry) string {
	s := fmt.Sprintf("%s %s %04o %d:%d", e.Path, e.Kind, e.Mode, e.UID, e.GID)
	switch e.Kind {
	case tree.File:
		s += fmt.Sprintf(" %d %.8s", e.Size, e.Digest)
	case tree.Symlink, tree.HardLink:
		s += " -> " + e.Target
	case tree.CharDevice, tree.BlockDevice:
		s += fmt.Sprintf(" %d:%d", e.Major, e.Minor)
	}
	for _, x := range e.Xattrs {
		s += fmt.Sprintf(" %s=%x", x.Name, x.Value)
	}
	return s
}

func listing(t *tree.Tree) string {
	var b strings.Builder
	for _, p := range t.Paths() {
		b.WriteString(line(t.Get(p)) + "\n")
	}
	return b.String()
}

func (b *box) want(r *tree.Tree, path, want string) {
	b.t.Helper()
	e := r.Get(path)
	got := "nothing"
	if e != nil {
		got = strings.TrimPrefix(line(e), path+" ")
	}
	if !strings.HasPrefix(got+" ", want+" ") {
		b.t.Errorf("%s: got %s, want %s", path, got, want)
	}
}

// wholeStat is for tests that look at host files.
func wholeStat(t testing.TB, name string) unix.Stat_t {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Lstat(name, &st); err != nil {
		t.Fatal(err)
	}
	return st
}
