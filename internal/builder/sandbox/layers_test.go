package sandbox

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ashlar/internal/foundation/tree"
)

func TestNothingChangedNothingDiffers(t *testing.T) {
	b := newBox(t, addOddities)
	b.sh("cat /etc/shadow /odd/secret >/dev/null; ls -lR / >/dev/null 2>&1 || true; touch /tmp/x /run/y /dev/shm/z")
	want, got := b.lower, b.result()
	if a, b := listing(want), listing(got); a != b {
		t.Errorf("differences:\n%s", firstDifferences(a, b))
	}
	for _, p := range want.Paths() {
		if a, b := want.Get(p).MTime, got.Get(p).MTime; a != b && p != "." {
			t.Errorf("%s: time %d, was %d", p, b, a)
		}
	}
}

func TestLayersMerge(t *testing.T) {
	b := newBox(t, func(t *tree.Tree) {
		for _, e := range []tree.Entry{
			tree.NewDir("m", 0o755), tree.NewDir("m/opaque", 0o755), tree.NewFile("m/opaque/old", 0o644, []byte("old")),
			tree.NewDir("m/dir-to-file", 0o755), tree.NewFile("m/dir-to-file/old", 0o644, []byte("old")),
			tree.NewFile("m/file-to-dir", 0o644, []byte("same")), tree.NewFile("m/touched", 0o644, []byte("same")),
			tree.NewFile("m/chmod", 0o644, []byte("same")), tree.NewFile("m/samesize", 0o644, []byte("same")),
			tree.NewFile("m/h1", 0o644, []byte("linked")), {Path: "m/h2", Kind: tree.HardLink, Target: "m/h1"}, {Path: "m/h3", Kind: tree.HardLink, Target: "m/h1"},
			{Path: "m/h4", Kind: tree.HardLink, Target: "m/h1"}, tree.NewSymlink("m/link", "x"), tree.NewDir("m/gone", 0o700), tree.NewFile("m/gone/f", 0o644, nil),
			tree.NewDir("m/dup", 0o755), tree.NewFile("m/dup/a", 0o644, []byte("dup")), tree.NewFile("m/dup/b", 0o644, []byte("dup")), tree.NewFile("m/dup/c", 0o644, nil), tree.NewFile("m/dup/d", 0o644, nil),
			tree.NewFile("m/over", 0o644, []byte("over")), {Path: "m/dev", Kind: tree.CharDevice, Mode: 0o600, Major: 4, Minor: 64},
		} {
			if err := t.Put(e); err != nil {
				panic(err)
			}
		}
	})
	b.sh(`cd /m; rm -r opaque gone dir-to-file file-to-dir; mkdir opaque file-to-dir; touch opaque/new file-to-dir/x dir-to-file
		touch touched; chmod 600 chmod; printf abcd > samesize; rm h1; echo z >> h3; rm link; ln -s y link
		cp -a dup dup2; echo x >> dup2/a; echo x >> dup2/c; echo new > temp; mv temp over; ln over over2; ln over over3`)
	r := b.result()
	for path, want := range map[string]string{
		"m/opaque/old": "nothing", "m/opaque/new": "file 0644 0:0 0", "m/gone": "nothing", "m/gone/f": "nothing", "m/dir-to-file": "file 0644 0:0 0",
		"m/dir-to-file/old": "nothing", "m/file-to-dir": "dir 0755 0:0", "m/file-to-dir/x": "file 0644 0:0 0", "m/touched": "file 0644 0:0 4",
		"m/chmod": "file 0600 0:0 4", "m/samesize": "file 0644 0:0 4 88d4266f", "m/h1": "nothing", "m/h2": "file 0644 0:0 6", "m/h3": "file 0644 0:0 8",
		"m/h4": "hardlink 0000 0:0 -> m/h2", "m/link": "symlink 0777 0:0 -> y", "m/dup2/a": "file 0644 0:0 5", "m/dup2/b": "file 0644 0:0 3",
		"m/dup2/c": "file 0644 0:0 2", "m/dup2/d": "file 0644 0:0 0", "m/over": "file 0644 0:0 4", "m/over2": "hardlink 0000 0:0 -> m/over",
		"m/over3": "hardlink 0000 0:0 -> m/over", "m/dev": "chardev 0600 0:0 4:64",
	} {
		b.want(r, path, want)
	}
	if _, ok := r.Get("m/touched").Source.(tree.Bytes); !ok {
		t.Errorf("m/touched was stored again: %T", r.Get("m/touched").Source)
	}
	if b.lower.Get("m/h1").Kind != tree.File || b.lower.Get("m/h2").Kind != tree.HardLink {
		t.Error("the lower tree was changed")
	}
}

func TestPoolIsNeverWritten(t *testing.T) {
	dir := testDir(t)
	poolDir := filepath.Join(dir, "pool")
	lower := &tree.Tree{}
	err := errors.Join(lower.Put(tree.NewDir(".", 0o755)), lower.Put(tree.NewDir("bin", 0o755)),
		lower.Put(tree.NewFile("data", 0o644, []byte("data"))))
	data, err2 := os.ReadFile("/proc/self/exe")
	if err := errors.Join(err, err2, lower.Put(tree.NewFile("bin/self", 0o4755, data))); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		s, err := New(t.Context(), Options{Dir: filepath.Join(dir, "work"), Pool: poolDir, Lower: lower})
		if err != nil {
			t.Fatal(err)
		}
		err = errors.Join(s.WriteFile("data", []byte("other"), 0o600), s.Chown("bin/self", 1, 2), s.Close())
		if err != nil {
			t.Fatal(err)
		}
		key := poolKey(lower.Get("data")) + "-0"
		got, err := os.ReadFile(filepath.Join(poolDir, key[:2], key))
		if err != nil || string(got) != "data" {
			t.Errorf("pool: %q, %v", got, err)
		}
	}
	if list, err := os.ReadDir(dir); err != nil || len(list) != 1 {
		t.Errorf("left behind: %v, %v", list, err)
	}
	key := poolKey(lower.Get("bin/self")) + "-0"
	name := filepath.Join(poolDir, key[:2], key)
	if st := wholeStat(t, name); st.Mode != unix.S_IFREG|0o4755 || st.Nlink != 1 {
		t.Errorf("mode %o, %d links", st.Mode, st.Nlink)
	}
	// A file cut short by a crash is made again.
	if err := errors.Join(os.Truncate(name, 5)); err != nil {
		t.Fatal(err)
	}
	s, err := New(t.Context(), Options{Dir: filepath.Join(dir, "work"), Pool: poolDir, Lower: lower})
	if err != nil {
		t.Fatal(err)
	}
	got, err := s.ReadFile("bin/self")
	if err := errors.Join(err, s.Close()); err != nil || !bytes.Equal(got, data) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

func TestBadTreesAreRefused(t *testing.T) {
	dir := testDir(t)
	for name, entries := range map[string][]tree.Entry{
		"no directory":                 {tree.NewFile("a/b", 0o644, nil)},
		"the tree has no directory a":  {tree.NewSymlink("a", "/tmp"), tree.NewFile("a/b", 0o644, nil)},
		"/proc is a symlink":           {tree.NewSymlink("proc", "/tmp")},
		"which is no file of the tree": {{Path: "h", Kind: tree.HardLink, Target: "none"}},
		"content has 3 bytes":          {{Path: "f", Kind: tree.File, Size: 4, Source: tree.Bytes("abc")}},
	} {
		lower := &tree.Tree{}
		for _, e := range entries {
			if err := lower.Put(e); err != nil {
				t.Fatal(err)
			}
		}
		s, err := New(t.Context(), Options{Dir: filepath.Join(dir, "work"), Lower: lower})
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("want %q, got %v", name, err)
		}
		if s != nil {
			t.Error("got a sandbox")
		}
	}
	if list, err := os.ReadDir(dir); err != nil || len(list) != 0 {
		t.Errorf("left behind: %v, %v", list, err)
	}
}

// TestKilledBuilder leaves a work directory as a killed process does.
func TestKilledBuilder(t *testing.T) {
	b := newBox(t, nil)
	dir := b.dir
	b.sh("mkdir -m 0 /srv/x; touch /srv/x/y")
	// The sockets of a killed builder are closed, its lock stays with init
	// until that is gone.
	if err := errors.Join(b.run.sock.Close(), b.files.sock.Close(), b.lock.Close()); err != nil {
		t.Fatal(err)
	}
	select {
	case <-b.waited:
	case <-time.After(10 * time.Second):
		t.Fatal("init outlives the builder")
	}
	lower, poolDir := debianTree(t)
	s, err := New(t.Context(), Options{Dir: dir, Pool: poolDir, Lower: lower})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Lstat("/srv/x"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the old upper layer is seen: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	b.closed.Do(func() {}) // nothing is left to close
}
