package tree

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ashlar/internal/foundation/digest"
)

func TestClean(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{".", "."}, {"", "."}, {"/", "."}, {"./", "."}, {"///", "."}, {"./usr/bin/", "usr/bin"}, {"/usr//bin/.", "usr/bin"}, {"a/./b", "a/b"}, {"...", "..."},
	} {
		if got, err := Clean(c.in); err != nil || got != c.want {
			t.Errorf("Clean(%q) = %q, %v, want %q", c.in, got, err, c.want)
		}
	}
	for _, bad := range []string{"..", "../etc", "a/../b", "/..", "a/..", "a\x00b"} {
		if got, err := Clean(bad); err == nil {
			t.Errorf("Clean(%q) = %q, want an error", bad, got)
		}
	}
}

// FuzzClean: what Clean gives it gives again, and it never leaves the tree.
func FuzzClean(f *testing.F) {
	for _, seed := range []string{"./usr/bin/", "/", "a/../b", "a\x00", "./././x", "..a/b.."} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, name string) {
		clean, err := Clean(name)
		if err != nil {
			return
		}
		if again, err := Clean(clean); err != nil || again != clean {
			t.Errorf("Clean(%q) = %q, of which it gives %q, %v", name, clean, again, err)
		}
		if path.IsAbs(clean) || slices.Contains(strings.Split(clean, "/"), "..") {
			t.Errorf("Clean(%q) = %q", name, clean)
		}
		if err := new(Tree).Put(NewDir(clean, 0o755)); err != nil {
			t.Error(err)
		}
	})
}

func TestPutRefuses(t *testing.T) {
	tr := &Tree{}
	for _, bad := range []string{"", "/usr", "usr/", "./usr", "a//b", "a/../b", "a\x00"} {
		if err := tr.Put(NewDir(bad, 0o755)); err == nil {
			t.Errorf("Put took the path %q", bad)
		}
	}
	if tr.Len() != 0 {
		t.Errorf("the tree has %q", tr.Paths())
	}
}

// plant puts entries with their parents.
func plant(t *testing.T, tr *Tree, entries ...Entry) {
	t.Helper()
	for _, e := range entries {
		if err := errors.Join(tr.AddParents(e.Path, 0o755, 7), tr.Put(e)); err != nil {
			t.Fatal(err)
		}
	}
}

func hardLink(name, target string) Entry { return Entry{Path: name, Kind: HardLink, Target: target} }

func TestAddParents(t *testing.T) {
	tr := &Tree{}
	plant(t, tr, NewFile("a/b/c", 0o644, nil))
	if got := fmt.Sprint(tr.Paths()); got != "[. a a/b a/b/c]" {
		t.Errorf("paths are %s", got)
	}
	if e := tr.Get("a/b"); e.Mode != 0o755 || e.MTime != 7 || !e.IsDir() {
		t.Errorf("the parent is %+v", e)
	}
	tr.Get("a").Mode = 0o700
	plant(t, tr, NewFile("a/d", 0o644, nil))
	if tr.Get("a").Mode != 0o700 {
		t.Error("a parent that was there has changed")
	}
	if err := tr.AddParents("a/d/e", 0o755, 0); err == nil || !strings.Contains(err.Error(), "a/d is a file") {
		t.Errorf("a file as parent: %v", err)
	}
}

// TestRandomOrder: the order in which entries come does not show, and a
// directory stands before what it holds.
func TestRandomOrder(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		var entries []Entry
		for range rng.IntN(30) {
			name := ""
			for range 1 + rng.IntN(4) {
				name = path.Join(name, string("ab-. z"[rng.IntN(6)])+string("xy/"[rng.IntN(2)]))
			}
			entries = append(entries, NewDir(name, uint32(rng.IntN(0o1000))))
		}
		a, b := &Tree{}, &Tree{}
		plant(t, a, entries...)
		rng.Shuffle(len(entries), func(i, j int) { entries[i], entries[j] = entries[j], entries[i] })
		for _, e := range entries {
			_ = b.Paths() // kept in order while it grows
			plant(t, b, e)
		}
		if !slices.Equal(a.Paths(), b.Paths()) {
			t.Fatalf("%q\n%q", a.Paths(), b.Paths())
		}
		seen := map[string]bool{}
		for _, p := range a.Paths() {
			if p != "." && !seen[path.Dir(p)] {
				t.Fatalf("%s stands before %s", p, path.Dir(p))
			}
			seen[p] = true
		}
	}
}

func TestRemove(t *testing.T) {
	tr := &Tree{}
	plant(t, tr, NewFile("a/b/c", 0o644, nil), NewFile("a/bc", 0o644, nil), NewFile("ab", 0o644, nil))
	tr.Remove("nothing")
	tr.Remove("a/b")
	if got := fmt.Sprint(tr.Paths()); got != "[. a a/bc ab]" {
		t.Errorf("left are %s", got)
	}
	tr.Remove(".")
	if tr.Len() != 0 || len(tr.Paths()) != 0 {
		t.Errorf("left are %q", tr.Paths())
	}
}

// TestRemoveFirstName: the other names of an inode keep it.
func TestRemoveFirstName(t *testing.T) {
	tr := &Tree{}
	file := NewFile("a/first", 0o4755, []byte("content"))
	file.UID, file.Xattrs = 5, []Xattr{{"security.capability", []byte{1}}}
	plant(t, tr, file, hardLink("b/second", "a/first"), hardLink("a/inside", "a/first"), hardLink("c/third", "a/first"))
	tr.Remove("a")
	heir := tr.Get("b/second")
	if heir.Kind != File || heir.Path != "b/second" || heir.Mode != 0o4755 || heir.UID != 5 || len(heir.Xattrs) != 1 {
		t.Errorf("the heir is %+v", heir)
	}
	if data, err := heir.ReadAll(100); err != nil || string(data) != "content" {
		t.Errorf("the heir has %q, %v", data, err)
	}
	if third := tr.Get("c/third"); third.Kind != HardLink || third.Target != "b/second" {
		t.Errorf("the third is %+v", third)
	}
	if tr.Lookup("c/third") != heir {
		t.Error("the third does not lead to the heir")
	}
	plant(t, tr, Entry{Path: "pipe", Kind: Fifo}, hardLink("z-pipe", "pipe"))
	if tr.Remove("pipe"); tr.Get("z-pipe").Kind != Fifo {
		t.Errorf("the heir of a pipe is %+v", tr.Get("z-pipe"))
	}
}

func TestWalk(t *testing.T) {
	tr := &Tree{}
	plant(t, tr, NewFile("a/b/c", 0o644, nil), NewFile("d", 0o644, nil))
	var visited []string
	stop := errors.New("stop")
	err := tr.Walk(func(e *Entry) error {
		visited = append(visited, e.Path)
		if e.Path == "a" {
			tr.Remove("a") // what was below is not visited
		}
		if e.Path == "d" {
			return stop
		}
		return nil
	})
	if !errors.Is(err, stop) || fmt.Sprint(visited) != "[. a d]" {
		t.Errorf("visited %q, %v", visited, err)
	}
}

func TestResolve(t *testing.T) {
	tr := &Tree{}
	plant(t, tr, NewFile("usr/bin/dash", 0o755, []byte("x")), NewSymlink("bin", "usr/bin"), NewSymlink("usr/bin/sh", "dash"),
		NewSymlink("abs", "/usr/bin"), NewSymlink("up", "../../../usr"), NewSymlink("loop", "loop/x"), NewSymlink("a/back", "../abs"),
		hardLink("usr/bin/twin", "usr/bin/dash"), NewSymlink("dangling", "nowhere/at/all"))
	for in, want := range map[string]string{
		"bin/sh": "usr/bin/sh", "abs/sh": "usr/bin/sh", "up/bin/sh": "usr/bin/sh", "a/back/new": "usr/bin/new", "bin": "bin",
		"bin/../lib": "usr/lib", "../../etc": "etc", "no/such/thing": "no/such/thing", "dangling/x": "nowhere/at/all/x", "/bin//./sh": "usr/bin/sh",
	} {
		if got, err := tr.Resolve(in); err != nil || got != want {
			t.Errorf("Resolve(%q) = %q, %v, want %q", in, got, err, want)
		}
	}
	if got, err := tr.Resolve("loop/y"); err == nil {
		t.Errorf("a loop resolves to %q", got)
	}
	for _, name := range []string{"bin/sh", "abs/sh", "up/bin/twin", "usr/bin/dash"} {
		if e := tr.Lookup(name); e == nil || e.Path != "usr/bin/dash" {
			t.Errorf("Lookup(%q) = %+v", name, e)
		}
	}
	for _, name := range []string{"dangling", "loop", "loop/y", "nothing"} {
		if e := tr.Lookup(name); e != nil {
			t.Errorf("Lookup(%q) = %+v, want none", name, e)
		}
	}
}

func TestCloneIsApart(t *testing.T) {
	tr := &Tree{}
	plant(t, tr, NewFile("a/b", 0o644, nil))
	c := tr.Clone()
	c.Get("a/b").Mode = 0o600
	c.Remove("a")
	if tr.Get("a/b") == nil || tr.Get("a/b").Mode != 0o644 || tr.Len() != 3 || c.Len() != 1 {
		t.Errorf("%q, its clone %q", tr.Paths(), c.Paths())
	}
}

func TestReadAll(t *testing.T) {
	e := NewFile("f", 0o644, []byte("12345"))
	if e.Digest != digest.Of([]byte("12345")) || e.Size != 5 {
		t.Errorf("made %+v", e)
	}
	if data, err := e.ReadAll(5); err != nil || string(data) != "12345" {
		t.Errorf("%q, %v", data, err)
	}
	if _, err := e.ReadAll(4); err == nil {
		t.Error("five bytes were read where four are the limit")
	}
	short, long := e, e
	short.Size, long.Size = 4, 6
	dir, lost := NewDir("d", 0o755), e
	lost.Source = HostFile(filepath.Join(t.TempDir(), "gone"))
	for _, bad := range []Entry{short, long, dir, lost} {
		if data, err := bad.ReadAll(100); err == nil {
			t.Errorf("%s with %d bytes: read %q", bad.Kind, bad.Size, data)
		}
	}
	empty := Entry{Path: "e", Kind: File}
	if data, err := empty.ReadAll(0); err != nil || len(data) != 0 {
		t.Errorf("%q, %v", data, err)
	}
	host := filepath.Join(t.TempDir(), "host")
	if err := os.WriteFile(host, []byte("12345"), 0o600); err != nil {
		t.Fatal(err)
	}
	e.Source = HostFile(host)
	if data, err := e.ReadAll(5); err != nil || string(data) != "12345" {
		t.Errorf("%q, %v", data, err)
	}
}

func TestKindNames(t *testing.T) {
	seen := map[string]bool{}
	for k := File; k <= Socket; k++ {
		if name := k.String(); name == "" || seen[name] || strings.HasPrefix(name, "kind(") {
			t.Errorf("kind %d is %q", k, name)
		}
		seen[k.String()] = true
	}
	if got := Kind(0).String() + " " + Kind(99).String(); got != "kind(0) kind(99)" {
		t.Error(got)
	}
}

// TestRandomRemove compares removing with a look at every path.
func TestRandomRemove(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for range 300 {
		tr := &Tree{}
		for range 40 {
			name := ""
			for range 1 + rng.IntN(3) {
				name = path.Join(name, string("ab-.0/"[rng.IntN(5)])+string("x-"[rng.IntN(2)]))
			}
			if err := tr.Put(NewDir(name, 0o755)); err != nil { // parents may be missing
				t.Fatal(err)
			}
		}
		for tr.Len() > 0 {
			all := slices.Clone(tr.Paths())
			name := all[rng.IntN(len(all))]
			if rng.IntN(3) == 0 {
				name = path.Dir(name)
			}
			var want []string
			for _, p := range all {
				if p != name && !strings.HasPrefix(p, name+"/") && name != "." {
					want = append(want, p)
				}
			}
			tr.Remove(name)
			if !slices.Equal(tr.Paths(), want) || tr.Len() != len(want) {
				t.Fatalf("remove %q from %q: left are %q, want %q", name, all, tr.Paths(), want)
			}
		}
	}
}
