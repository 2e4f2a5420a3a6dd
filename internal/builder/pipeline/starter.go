package pipeline

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"ashlar/internal/builder/definition"
	"ashlar/internal/foundation/atomicfile"
)

// Starter is what WriteStarter did, as paths.
type Starter struct {
	Dir        string   `json:"dir"`
	Definition string   `json:"definition"`
	Wrote      []string `json:"wrote"` // without the definition, which comes last
	Kept       []string `json:"kept"`  // that were there
}

// WriteStarter makes a directory with a starter definition. It refuses one that
// has a definition; other files that are there stay as they are. The definition
// is written last: until then the directory is none.
func WriteStarter(dir string) (*Starter, error) {
	if dir == "" {
		return nil, errors.New("make a definition: the directory's name is empty")
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	made := &Starter{Dir: dir, Definition: filepath.Join(dir, DefinitionName), Wrote: []string{}, Kept: []string{}}
	if there, err := exists(made.Definition); err != nil || there {
		if err == nil {
			err = fmt.Errorf("write %s: it is there already", made.Definition)
		}
		return nil, err
	}
	files := definition.StarterFiles(filepath.Base(abs))
	for _, name := range sortedKeys(files) {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if path == made.Definition {
			continue
		}
		there, err := exists(path)
		if err != nil {
			return nil, err
		}
		if there {
			made.Kept = append(made.Kept, path)
			continue
		}
		if err := writeNew(path, files[name]); err != nil {
			return nil, err
		}
		made.Wrote = append(made.Wrote, path)
	}
	return made, writeNew(made.Definition, files[DefinitionName])
}

func exists(path string) (bool, error) {
	_, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

func writeNew(path string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return atomicfile.WriteBytes(path, atomicfile.Options{}, data)
}
