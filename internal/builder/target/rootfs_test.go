package target

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"ashlar/internal/format/ext4"
	"ashlar/internal/foundation/tree"
	"ashlar/internal/testenv"
)

// TestWriteRoot: whatever a tree is made of fits, e2fsck finds nothing, and the
// bytes are the same a second time.
func TestWriteRoot(t *testing.T) {
	shapes := map[string]func(t *tree.Tree) error{
		"empty": func(t *tree.Tree) error { return nil },
		"files": func(t *tree.Tree) error {
			for n := range 3000 {
				if err := t.Put(tree.NewFile(fmt.Sprintf("f%d", n), 0o644, []byte("little"))); err != nil {
					return err
				}
			}
			return nil
		},
		"directories": func(t *tree.Tree) error {
			for n := range 2000 {
				if err := t.Put(tree.NewDir(fmt.Sprintf("d%d", n), 0o755)); err != nil {
					return err
				}
			}
			return nil
		},
		"large": func(t *tree.Tree) error {
			return t.Put(tree.NewFile("large", 0o600, []byte(strings.Repeat("0123456789abcdef", 4<<20))))
		},
		"links": func(t *tree.Tree) error {
			for n := range 1000 {
				if err := t.Put(tree.NewSymlink(fmt.Sprintf("l%d", n), strings.Repeat("x", 200))); err != nil {
					return err
				}
			}
			return nil
		},
	}
	fsck := testenv.RequireTool(t, "e2fsck")
	for name, shape := range shapes {
		t.Run(name, func(t *testing.T) {
			in := RootInput{Name: "test", Lock: "lock", Epoch: 1e9, Tree: &tree.Tree{}}
			if err := shape(in.Tree); err != nil {
				t.Fatal(err)
			}
			var images [2][]byte
			for n := range images {
				path := filepath.Join(t.TempDir(), "rootfs.ext4")
				f, err := os.Create(path)
				if err != nil {
					t.Fatal(err)
				}
				defer f.Close()
				if err := WriteRoot(t.Context(), f, in); err != nil {
					t.Fatal(err)
				}
				if out, err := exec.Command(fsck, "-fn", path).CombinedOutput(); err != nil {
					t.Errorf("e2fsck: %v\n%s", err, out)
				}
				if images[n], err = os.ReadFile(path); err != nil {
					t.Fatal(err)
				}
				image, err := ext4.Open(f, int64(len(images[n])))
				if err != nil {
					t.Fatal(err)
				}
				if got, err := image.Tree(); err != nil || got.Len() < in.Tree.Len() {
					t.Errorf("%d of %d entries, %v", got.Len(), in.Tree.Len(), err)
				}
			}
			if string(images[0]) != string(images[1]) {
				t.Error("the same tree gives other bytes")
			}
		})
	}
}
