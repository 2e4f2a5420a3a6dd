package imagetree

import (
	"errors"
	"fmt"
	"path"

	"ashlar/internal/foundation/tree"
)

// Name is one name of an inode. A hard link is a name of the entry that it names.
type Name struct {
	Name       string
	Dir, Inode *tree.Entry
}

// Names gives all names of a tree by path; the root has none. Every inode is checked.
func Names(t *tree.Tree) ([]Name, error) {
	if t.Get(".") == nil {
		return nil, errors.New("the tree has no root directory")
	}
	names := make([]Name, 0, t.Len()-1)
	err := t.Walk(func(e *tree.Entry) error {
		if e.Kind != tree.HardLink {
			if err := Check(e); err != nil {
				return fmt.Errorf("%s: %w", e.Path, err)
			}
		}
		if e.Path == "." {
			return nil
		}
		name, err := nameOf(t, e)
		names = append(names, name)
		return err
	})
	return names, err
}

func nameOf(t *tree.Tree, e *tree.Entry) (Name, error) {
	dir, inode := t.Get(path.Dir(e.Path)), e
	if dir == nil || dir.Kind != tree.Dir {
		return Name{}, fmt.Errorf("%s: parent directory is missing", e.Path)
	}
	if e.Kind == tree.HardLink {
		inode = t.Get(e.Target)
		if inode == nil || inode.Kind == tree.Dir || inode.Kind == tree.HardLink {
			return Name{}, fmt.Errorf("%s: hard link to %s, which is no file of the tree", e.Path, e.Target)
		}
	}
	return Name{path.Base(e.Path), dir, inode}, nil
}
