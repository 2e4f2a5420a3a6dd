package definition

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
)

// FileName is the definition's name in its directory.
const FileName = "ashlar.toml"

// MaxSize bounds a definition file, in bytes.
const MaxSize = 1 << 20

// Parse reads a definition. The file name is for messages only. When something
// is wrong the error is of type Errors and names all of it.
func Parse(filename string, data []byte) (*Definition, error) {
	_, def, err := parse(filename, data)
	return def, err
}

// parsed is what a check after parsing needs.
type parsed struct {
	src *source
	dec *decoder
}

func parse(filename string, data []byte) (parsed, *Definition, error) {
	src := newSource(filename, data)
	dec := &decoder{src: src, present: map[string]span{}, bad: map[string]bool{}}
	p := parsed{src: src, dec: dec}
	if len(data) > MaxSize {
		src.report(span{}, "", fmt.Sprintf("the file has %d bytes, more than %d", len(data), MaxSize), "")
		return p, nil, src.result()
	}
	root, whole := readDocument(src)
	dec.whole = whole
	def := &Definition{}
	dec.structure(root, reflect.ValueOf(def).Elem(), "")
	if whole {
		dec.requireTables(root)
	}
	fillDefaults(reflect.ValueOf(def).Elem(), "", dec.given)
	def.complete()
	dec.check(def)
	if err := src.result(); err != nil {
		return p, nil, err
	}
	return p, def, nil
}

func (d *decoder) given(path string) bool {
	_, ok := d.present[path]
	return ok
}

// requireTables reports required keys of tables that are left out altogether.
func (d *decoder) requireTables(root *node) {
	for _, f := range fieldsOf(reflect.TypeFor[Definition]()) {
		if f.typ.Kind() != reflect.Struct || root.fields[f.name] != nil {
			continue
		}
		for _, inner := range fieldsOf(f.typ) {
			if inner.required {
				d.missing(root, inner, f.name)
			}
		}
	}
}

// Load reads the definition in dir and checks that the files it names exist.
func Load(dir string) (*Definition, error) {
	path := filepath.Join(dir, FileName)
	data, err := readBounded(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("load definition: no %s in %s; make a starter with: ashlar init %s", FileName, dir, dir)
	}
	if err != nil {
		return nil, fmt.Errorf("load definition: %w", err)
	}
	p, def, err := parse(path, data)
	if err != nil {
		return nil, err
	}
	p.dec.checkFiles(dir, def)
	if err := p.src.result(); err != nil {
		return nil, err
	}
	return def, nil
}

func readBounded(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(f, MaxSize+1))
	return data, errors.Join(err, f.Close())
}

// checkFiles reports files and directories that are named but not there.
func (d *decoder) checkFiles(dir string, def *Definition) {
	keyrings := map[string]string{"base.keyring": def.Base.Keyring}
	for i, extra := range def.Base.Extra {
		keyrings[fmt.Sprintf("base.extra[%d].keyring", i)] = extra.Keyring
	}
	for _, key := range sortedKeys(keyrings) {
		if name := keyrings[key]; name != "" {
			d.checkFile(dir, key, name, false)
		}
	}
	if d.given("files.dir") {
		d.checkFile(dir, "files.dir", def.Files.Dir, true)
	}
}

func (d *decoder) checkFile(dir, key, name string, wantDir bool) {
	info, err := os.Stat(filepath.Join(dir, name))
	what := "a file"
	if wantDir {
		what = "a directory"
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		d.src.report(d.present[key], key, quote(name)+" does not exist", "it is looked for in the directory of "+FileName)
	case err != nil:
		d.src.report(d.present[key], key, quote(name)+" cannot be read: "+err.Error(), "")
	case info.IsDir() != wantDir:
		d.src.report(d.present[key], key, quote(name)+" is not "+what, "")
	}
}
