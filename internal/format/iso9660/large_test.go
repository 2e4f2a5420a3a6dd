package iso9660

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ashlar/internal/format/imagetest"
	"ashlar/internal/foundation/tree"
)

// boundTime is what Epoch does, and takes away what the host has of its own:
// the times of symbolic links.
func boundTime(e *tree.Entry) error {
	e.MTime = min(e.MTime, epoch)
	if e.Kind == tree.Symlink {
		e.MTime = 0
	}
	return nil
}

// TestLargeFile writes and reads a file that needs two directory records, through a
// sparse file of the host.
func TestLargeFile(t *testing.T) {
	content := imagetest.Large(4<<30 + 12345)
	tr := &tree.Tree{}
	imagetest.Put(t, tr, tree.NewDir(".", 0o755), tree.Entry{Path: "large", Kind: tree.File, Mode: 0o644, Size: int64(content), Source: content}, tree.NewFile("z", 0o644, []byte("after")))
	plan, err := NewPlan(tr, Options{})
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "image")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := errors.Join(f.Truncate(plan.Size), plan.Write(t.Context(), f)); err != nil {
		t.Fatal(err)
	}
	r, err := Open(f, plan.Size)
	if err != nil {
		t.Fatal(err)
	}
	got, err := r.Tree()
	if err != nil {
		t.Fatal(err)
	}
	if e := got.Get("large"); e == nil || e.Size != int64(content) || len(e.Source.(source)) != 2 {
		t.Fatalf("got %+v", e)
	}
	first, second := got.Get("large").Source.(source)[0], got.Get("large").Source.(source)[1]
	for at, section := range map[int64]*io.SectionReader{0: first, 1 << 30: first, 4<<30 - maxSection: second} {
		mark := make([]byte, 18)
		if _, err := section.ReadAt(mark, at); err != nil || string(mark) != "here is a gibibyte" {
			t.Errorf("%q at %d, %v", mark, at, err)
		}
	}
	e, z := plan.files[0].data, plan.files[1].data
	out := judge(t, "xorriso", "-indev", name, "-find", "/", "-type", "f", "-exec", "report_lba")
	want := fmt.Sprintf("File data lba:  0 , %8d ,  2097151 , 4294979641 , '/large'\nFile data lba:  1 , %8d ,        8 , 4294979641 , '/large'\nFile data lba:  0 , %8d ,        1 ,        5 , '/z'\n",
		e.Offset/BlockSize, e.Offset/BlockSize+2097151, z.Offset/BlockSize)
	if !strings.Contains(strings.Join(strings.Fields(out), " "), strings.Join(strings.Fields(want), " ")) {
		t.Errorf("xorriso says\n%s, want\n%s", out, want)
	}
}
