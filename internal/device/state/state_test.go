package state

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"ashlar/internal/contract/machine"
	"ashlar/internal/testenv"
)

// bound notes the binds that a machine would make.
type bound map[string]string

func (b bound) bind(source, target string) error {
	if _, err := os.Lstat(target); err != nil {
		return err
	}
	b[target] = source
	return nil
}

func write(t *testing.T, path, text string, mode uint32) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := unix.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestBindCopiesTheImageOnce(t *testing.T) {
	testenv.RequireRoot(t)
	root, store := t.TempDir(), t.TempDir()
	data := filepath.Join(root, "var/lib/app")
	write(t, data+"/sub/file", "image", 0o4755)
	for _, err := range []error{
		os.Link(data+"/sub/file", data+"/second"),
		os.Symlink("sub/file", data+"/link"),
		unix.Mkfifo(data+"/fifo", 0o640),
		os.Chown(data, 33, 44),
		unix.Chmod(data, 0o2750),
		os.Lchown(data+"/link", 5, 6),
		os.Chown(data+"/sub/file", 7, 8),
		unix.Chmod(data+"/sub/file", 0o4755),
		unix.Setxattr(data+"/sub/file", "user.note", []byte("kept"), 0),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	declared := []machine.State{{Path: "/var/lib/app", Kind: "dir", Mode: 0o700}}
	b := bound{}
	if err := Bind(store, root, declared, b.bind); err != nil {
		t.Fatal(err)
	}
	kept := b[data]
	if kept == "" {
		t.Fatalf("not bound: %v", b)
	}
	want := map[string][3]uint32{
		".": {0o2750, 33, 44}, "sub/file": {0o4755, 7, 8}, "link": {0o777, 5, 6}, "fifo": {0o640, 0, 0},
	}
	for name, w := range want {
		var stat unix.Stat_t
		if err := unix.Lstat(filepath.Join(kept, name), &stat); err != nil {
			t.Fatal(err)
		}
		if got := [3]uint32{stat.Mode & 0o7777, stat.Uid, stat.Gid}; got != w {
			t.Errorf("%s: mode, uid, gid %o, want %o", name, got, w)
		}
	}
	value := make([]byte, 10)
	if n, err := unix.Getxattr(kept+"/sub/file", "user.note", value); err != nil || string(value[:n]) != "kept" {
		t.Errorf("attribute %q, %v", value[:max(n, 0)], err)
	}
	one, _ := os.Stat(kept + "/sub/file")
	two, _ := os.Stat(kept + "/second")
	if !os.SameFile(one, two) {
		t.Error("a hard link became a copy")
	}
	// The machine changes it; the next boot leaves it so.
	write(t, kept+"/sub/file", "changed", 0o600)
	if err := Bind(store, root, declared, b.bind); err != nil {
		t.Fatal(err)
	}
	if got := read(t, kept+"/sub/file"); got != "changed" {
		t.Errorf("after the second boot: %q", got)
	}
}

func TestBindMakesWhatTheImageHasNot(t *testing.T) {
	root, store := t.TempDir(), t.TempDir()
	uid, gid := uint32(os.Getuid()), uint32(os.Getgid())
	if err := os.Symlink("/srv/real", filepath.Join(root, "data")); err != nil {
		t.Fatal(err)
	}
	b := bound{}
	err := Bind(store, root, []machine.State{
		{Path: "/data/inner", Kind: "dir", Mode: 0o1770, UID: uid, GID: gid},
		{Path: "/etc/key", Kind: "file", Mode: 0o640, UID: uid, GID: gid},
	}, b.bind)
	if err != nil {
		t.Fatal(err)
	}
	dir, file := b[filepath.Join(root, "srv/real/inner")], b[filepath.Join(root, "etc/key")]
	for path, want := range map[string]uint32{dir: 0o1770, file: 0o640} {
		var stat unix.Stat_t
		if err := unix.Lstat(path, &stat); err != nil {
			t.Fatalf("%v; bound: %v", err, b)
		}
		if stat.Mode&0o7777 != want {
			t.Errorf("%s has mode %o, want %o", path, stat.Mode&0o7777, want)
		}
	}
	if info, err := os.Stat(filepath.Join(store, treeDir)); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("what is kept is open: %v, %v", info, err)
	}
}

func TestBindGoesOnAfterAFailure(t *testing.T) {
	root, store := t.TempDir(), t.TempDir()
	write(t, root+"/etc/file", "x", 0o644)
	b := bound{}
	err := Bind(store, root, []machine.State{
		{Path: "/etc/file", Kind: "dir"},
		{Path: "relative", Kind: "dir"},
		{Path: "/", Kind: "dir"},
		{Path: "/a/../b", Kind: "dir"},
		{Path: "/pipe", Kind: "pipe"},
		{Path: "/var/good", Kind: "dir", Mode: 0o755, UID: uint32(os.Getuid()), GID: uint32(os.Getgid())},
	}, b.bind)
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"/etc/file", "relative", "/a/../b", "/pipe"} {
		if !strings.Contains(err.Error(), "keep "+want) {
			t.Errorf("the error does not tell of %s: %v", want, err)
		}
	}
	if len(b) != 1 || b[filepath.Join(root, "var/good")] == "" {
		t.Errorf("bound: %v", b)
	}
}

// TestFillAfterAPowerCut: what an earlier boot left half-filled is not shown.
func TestFillAfterAPowerCut(t *testing.T) {
	testenv.RequireRoot(t)
	root, store := t.TempDir(), t.TempDir()
	write(t, root+"/var/app/one", "1", 0o644)
	write(t, store+"/tree/var/.ashlar-new-app/half", "?", 0o644)
	b := bound{}
	if err := Bind(store, root, []machine.State{{Path: "/var/app", Kind: "dir"}}, b.bind); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(store + "/tree/var/app")
	if err != nil || len(entries) != 1 || entries[0].Name() != "one" {
		t.Errorf("filled with %v, %v", entries, err)
	}
	if _, err := os.Lstat(store + "/tree/var/.ashlar-new-app"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the half-filled one is still there: %v", err)
	}
}

func TestResolveStaysInTheRoot(t *testing.T) {
	root := t.TempDir()
	for name, target := range map[string]string{"up": "../../../etc", "abs": "/var/x", "loop": "loop", "chain": "abs"} {
		if err := os.Symlink(target, filepath.Join(root, name)); err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string]string{"/up/passwd": "/etc/passwd", "/abs/y": "/var/x/y", "/chain": "/var/x", "/no/such": "/no/such"} {
		if got, err := resolve(root, name); err != nil || got != root+want {
			t.Errorf("%s: %s, %v; want %s", name, got, err, root+want)
		}
	}
	if got, err := resolve(root, "/loop"); err == nil {
		t.Errorf("loop gives %s", got)
	}
}

func TestMachineIDIsStable(t *testing.T) {
	store, root := t.TempDir(), t.TempDir()
	first, err := MachineID(store)
	if err != nil || !validID(first) {
		t.Fatalf("%q, %v", first, err)
	}
	if second, err := MachineID(store); err != nil || second != first {
		t.Errorf("then %q, %v", second, err)
	}
	if other, err := MachineID(t.TempDir()); err != nil || other == first {
		t.Errorf("another machine has the id %q, %v", other, err)
	}
	write(t, store+"/own/machine-id", "garbage\n", 0o600)
	if third, err := MachineID(store); err != nil || !validID(third) {
		t.Errorf("a broken id is replaced by %q, %v", third, err)
	}
	write(t, root+"/etc/machine-id", "", 0o444)
	if err := WriteMachineID(root, first); err != nil || read(t, root+"/etc/machine-id") != first+"\n" {
		t.Errorf("in the root: %v", err)
	}
}

func TestSeedIsNewEachTime(t *testing.T) {
	store := t.TempDir()
	if err := SaveSeed(store); err != nil {
		t.Fatal(err)
	}
	first := read(t, seedPath(store))
	if err := SaveSeed(store); err != nil {
		t.Fatal(err)
	}
	if second := read(t, seedPath(store)); len(second) != seedBytes || second == first {
		t.Errorf("%d bytes, equal: %v", len(second), second == first)
	}
}
