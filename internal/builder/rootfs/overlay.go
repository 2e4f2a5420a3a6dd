package rootfs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"ashlar/internal/builder/definition"
	"ashlar/internal/foundation/digest"
	"ashlar/internal/foundation/glob"
	"ashlar/internal/foundation/tree"
)

// adder takes content into the store.
type adder func(path string) (digest.Digest, int64, tree.Content, error)

// fileRule is a checked definition.FileRule.
type fileRule struct {
	glob.Pattern
	uid, gid uint32
	mode     uint32 // 0: by the execute bit
}

func compileRules(rules []definition.FileRule, a *accounts) ([]fileRule, error) {
	var list []fileRule
	for n, r := range rules {
		where := fmt.Sprintf("files.rules[%d] (path %q)", n, r.Path)
		p, err := glob.Compile(r.Path)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", where, err)
		}
		c := fileRule{Pattern: p}
		if c.uid, c.gid, err = a.ids(r.Owner, r.Group); err != nil {
			return nil, fmt.Errorf("%s: %w", where, err)
		}
		if r.Group == "" {
			if g := a.group(r.Owner); g != nil {
				c.gid = g.gid
			}
		}
		if r.Mode != "" {
			if c.mode, err = definition.ParseMode(r.Mode); err != nil {
				return nil, fmt.Errorf("%s: %w", where, err)
			}
		}
		list = append(list, c)
	}
	return list, nil
}

// copyOverlay copies the directory over the tree. Modes of the host count only
// in the owner's execute bit; git keeps no more.
func copyOverlay(t *tree.Tree, dir string, rules []fileRule, add adder) error {
	err := filepath.WalkDir(dir, func(host string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, host)
		if err != nil || rel == "." {
			return err
		}
		name, err := t.Resolve(filepath.ToSlash(rel))
		if err != nil {
			return err
		}
		return copyOne(t, host, name, d, rules, add)
	})
	if errors.Is(err, fs.ErrNotExist) {
		if _, statErr := os.Stat(dir); errors.Is(statErr, fs.ErrNotExist) {
			return nil
		}
	}
	if err != nil {
		return fmt.Errorf("copy overlay %s: %w", dir, err)
	}
	return nil
}

func copyOne(t *tree.Tree, host, name string, d fs.DirEntry, rules []fileRule, add adder) error {
	info, err := d.Info()
	if err != nil {
		return err
	}
	e := tree.Entry{Path: name}
	switch {
	case d.IsDir():
		e.Kind, e.Mode = tree.Dir, 0o755
	case d.Type()&fs.ModeSymlink != 0:
		e.Kind, e.Mode = tree.Symlink, 0o777
		if e.Target, err = os.Readlink(host); err != nil {
			return err
		}
	case d.Type().IsRegular():
		e.Kind, e.Mode = tree.File, 0o644|uint32(info.Mode().Perm()&0o100)/0o100*0o111
		if e.Digest, e.Size, e.Source, err = add(host); err != nil {
			return err
		}
	default:
		return fmt.Errorf("%s is a %s: an overlay holds files, directories and symbolic links", host, d.Type())
	}
	matched := false
	for _, r := range rules {
		if !r.Match(name) {
			continue
		}
		matched = true
		e.UID, e.GID = r.uid, r.gid
		if r.mode != 0 && e.Kind != tree.Symlink {
			e.Mode = r.mode
			if e.IsDir() {
				e.Mode |= e.Mode & 0o444 >> 2 // who may read may search
			}
		}
	}
	old := t.Get(name)
	switch {
	case old != nil && e.IsDir() && (old.IsDir() || old.Kind == tree.Symlink):
		if matched && old.IsDir() {
			old.UID, old.GID, old.Mode = e.UID, e.GID, e.Mode
		}
		return nil
	case old != nil && old.IsDir():
		return fmt.Errorf("%s would replace the directory /%s of the packages", host, name)
	case old != nil:
		t.Remove(name)
	}
	if err := t.AddParents(name, 0o755, 0); err != nil {
		return err
	}
	return t.Put(e)
}

// overlayDir gives the overlay directory's path on the host.
func overlayDir(definitionDir string, f definition.Files) string {
	return filepath.Join(definitionDir, filepath.FromSlash(strings.TrimPrefix(f.Dir, "/")))
}
