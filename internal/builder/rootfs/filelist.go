package rootfs

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"ashlar/internal/format/initramfslist"
	"ashlar/internal/foundation/tree"
)

// ReadFileList reads the file list name of a definition's directory. What its
// locations name must lie below that directory, so that the image is what
// directory and lock say; content gives a file there, by its path on the host.
// ${NAME} in a location is a variable of the environment.
func ReadFileList(dir, name string, getenv func(string) string, content func(path string) (tree.Entry, error)) (items []initramfslist.Item, err error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("read files.list: %w", err)
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	f, err := root.Open(filepath.FromSlash(name))
	if err != nil {
		return nil, fmt.Errorf("read files.list: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	items, err = initramfslist.Read(f, initramfslist.Options{
		Locate: func(location string) (tree.Entry, error) {
			info, err := root.Stat(filepath.FromSlash(location))
			if err != nil {
				return tree.Entry{}, fmt.Errorf("location %s, which must be below the definition's directory: %w", location, err)
			}
			if !info.Mode().IsRegular() {
				return tree.Entry{}, fmt.Errorf("location %s is not a file", location)
			}
			return content(filepath.Join(dir, filepath.FromSlash(location)))
		},
		Variable: func(name string) (string, bool) {
			value := getenv(name)
			return value, value != ""
		},
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(dir, name), err)
	}
	return items, nil
}

// applyFileList puts what the list names into the root.
func applyFileList(t *tree.Tree, in Input, add adder) error {
	if in.Definition.Files.List == "" {
		return nil
	}
	items, err := ReadFileList(in.Dir, in.Definition.Files.List, in.Getenv, func(path string) (e tree.Entry, err error) {
		e.Digest, e.Size, e.Source, err = add(path)
		return e, err
	})
	if err != nil {
		return err
	}
	return initramfslist.Apply(t, items)
}
