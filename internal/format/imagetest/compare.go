package imagetest

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ashlar/internal/foundation/digest"
	"ashlar/internal/foundation/tree"
)

// Describe shows all that a tree holds, a line for each path. Names of one
// inode show the first of them by path.
func Describe(t testing.TB, tr *tree.Tree) string {
	t.Helper()
	var b strings.Builder
	owners := map[string]string{}
	for _, p := range tr.Paths() {
		e, key := tr.Get(p), p
		if e.Kind == tree.HardLink {
			key = e.Target
			e = tr.Get(key)
		}
		if owners[key] == "" {
			owners[key] = p
		}
		fmt.Fprintf(&b, "%s=%s %s %o %d:%d %d %d,%d %q %d", p, owners[key], e.Kind, e.Mode, e.UID, e.GID, e.MTime, e.Major, e.Minor, e.Target, e.Size)
		if e.Kind == tree.File {
			fmt.Fprintf(&b, " %s", digestOf(t, e))
		}
		for _, x := range e.Xattrs {
			fmt.Fprintf(&b, " %s=%x", x.Name, x.Value)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// digestOf reads a file to its end, which must be where the entry says.
func digestOf(t testing.TB, e *tree.Entry) digest.Digest {
	t.Helper()
	r, err := e.Open()
	if err != nil {
		t.Fatalf("open %s: %v", e.Path, err)
	}
	sum, n, err := digest.Reader(r)
	if err = errors.Join(err, r.Close()); err != nil || n != e.Size {
		t.Fatalf("read %s: %d bytes, want %d: %v", e.Path, n, e.Size, err)
	}
	return sum
}

// Differences gives what two trees do not have in common, at most some lines of it.
func Differences(t testing.TB, want, got *tree.Tree) string {
	t.Helper()
	a, b := Describe(t, want), Describe(t, got)
	if a == b { // a large difference takes long to find, none must not
		return ""
	}
	const most = 4000
	diff := cmp.Diff(a, b)
	return diff[:min(len(diff), most)]
}

// Put puts entries into a tree.
func Put(t testing.TB, tr *tree.Tree, entries ...tree.Entry) {
	t.Helper()
	for _, e := range entries {
		if err := tr.Put(e); err != nil {
			t.Fatal(err)
		}
	}
}

// ReadFiles reads of each file the first 64 KiB, of all some MiB, and gives the
// first error: for trees of images that someone changed.
func ReadFiles(tr *tree.Tree) error {
	left := int64(4 << 20)
	return tr.Walk(func(e *tree.Entry) error {
		if e.Kind != tree.File || left <= 0 {
			return nil
		}
		content, err := e.Open()
		if err != nil {
			return err
		}
		defer content.Close()
		n, err := io.Copy(io.Discard, io.LimitReader(content, 64<<10))
		left -= n
		return err
	})
}
