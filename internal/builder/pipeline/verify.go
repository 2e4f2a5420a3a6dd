package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"ashlar/internal/contract/imageinfo"
	"ashlar/internal/foundation/digest"
)

// Condition is a set of circumstances that must not show in any output byte.
type Condition struct {
	Name       string // "a", "b"
	Umask      int
	Timezone   string
	Locale     string
	Processors int // 0: all
	Hostname   string
	Home       string // of the definition's copy: a path of its own
}

// Conditions are the two under which Verify builds.
var Conditions = [2]Condition{
	{Name: "a", Umask: 0o022, Timezone: "UTC", Locale: "C", Hostname: "first"},
	{Name: "b", Umask: 0o077, Timezone: "Pacific/Kiritimati", Locale: "tr_TR.UTF-8", Processors: 1, Hostname: "second-host.example", Home: "a longer path/with spaces"},
}

// Builder builds a definition's copy in dir into out under a condition; it is
// another process, for umask, host name and processors belong to one.
type Builder func(ctx context.Context, c Condition, dir, out string) error

// Verification is what Verify found.
type Verification struct {
	Equal       bool             `json:"equal"`
	Files       []imageinfo.File `json:"files"`
	Differences []string         `json:"differences,omitempty"` // down to path and field
}

// Verify builds a definition twice, from nothing but the packages, under
// deliberately different conditions, and compares every artefact.
func (e *Env) Verify(ctx context.Context, dir string, run Builder) (_ *Verification, err error) {
	if _, err := e.load(dir); err != nil {
		return nil, err
	}
	work, remove, err := e.Store.TempDir("verify-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, remove()) }()
	var outs [2]string
	for n, c := range Conditions {
		home := filepath.Join(work, c.Name, c.Home)
		outs[n] = filepath.Join(work, c.Name+"-out")
		if err := copyDefinition(dir, home); err != nil {
			return nil, err
		}
		if err := run(ctx, c, home, outs[n]); err != nil {
			return nil, fmt.Errorf("build %s of two (umask %04o, %s, %s): %w", c.Name, c.Umask, c.Timezone, c.Locale, err)
		}
	}
	return compareOutputs(outs[0], outs[1])
}

// copyDefinition copies a definition's directory without its output.
func copyDefinition(from, to string) error {
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	if err := os.CopyFS(to, withoutOutput{os.DirFS(from)}); err != nil {
		return fmt.Errorf("copy definition: %w", err)
	}
	return nil
}

// withoutOutput is a directory whose top has no entry "out".
type withoutOutput struct{ fs.FS }

func (w withoutOutput) ReadDir(name string) ([]fs.DirEntry, error) {
	entries, err := fs.ReadDir(w.FS, name)
	if name == "." {
		entries = slices.DeleteFunc(entries, func(e fs.DirEntry) bool { return e.Name() == "out" })
	}
	return entries, err
}

func (w withoutOutput) ReadLink(name string) (string, error) { return fs.ReadLink(w.FS, name) }

func (w withoutOutput) Lstat(name string) (fs.FileInfo, error) { return fs.Lstat(w.FS, name) }

func compareOutputs(a, b string) (*Verification, error) {
	v := &Verification{Equal: true}
	names := map[string]bool{}
	for _, dir := range []string{a, b} {
		entries, err := os.ReadDir(dir)
		if err != nil {
			return nil, err
		}
		for _, entry := range entries {
			names[entry.Name()] = true
		}
	}
	for _, name := range sortedKeys(names) {
		if err := v.compare(name, filepath.Join(a, name), filepath.Join(b, name)); err != nil {
			return nil, err
		}
	}
	v.Equal = len(v.Differences) == 0
	return v, nil
}

// compare adds an artefact of two builds.
func (v *Verification) compare(name, a, b string) error {
	da, size, errA := fileDigest(a)
	db, _, errB := fileDigest(b)
	switch {
	case errors.Is(errB, fs.ErrNotExist):
		v.Differences = append(v.Differences, name+": only in the first")
	case errors.Is(errA, fs.ErrNotExist):
		v.Differences = append(v.Differences, name+": only in the second")
		return nil
	}
	if errA != nil || errB != nil && !errors.Is(errB, fs.ErrNotExist) {
		return errors.Join(errA, errB)
	}
	v.Files = append(v.Files, imageinfo.File{Name: name, Size: size, Digest: da})
	if errB != nil || da == db {
		return nil
	}
	lines, err := CompareImages(a, b)
	if err == nil && len(lines) == 0 {
		lines = []string{fmt.Sprintf("SHA-256 %s → %s", da, db)}
	}
	for _, line := range lines {
		v.Differences = append(v.Differences, name+": "+line)
	}
	return err
}

func fileDigest(path string) (digest.Digest, int64, error) {
	f, err := os.Open(path)
	if err != nil {
		return digest.Digest{}, 0, err
	}
	d, n, err := digest.Reader(f)
	return d, n, errors.Join(err, f.Close())
}
