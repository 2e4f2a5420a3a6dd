// Package module loads kernel modules from a list. The builder resolves
// dependencies and order; nothing is resolved here.
package module

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// maxModules bounds the list: Debian's kernels have about 4,500 modules.
const maxModules = 10000

// LoadList loads the modules that the file at list names, one path a line, in
// order. A path is taken from root, else from root/lib/modules/RELEASE.
// params gives a module's parameters ("debug=1 mode=2") by its name.
// A module that is missing (built in), loaded already, or has no hardware here
// is passed over; every other failure is in the error, and loading goes on.
func LoadList(root, list string, params func(name string) string) (loaded int, err error) {
	f, err := os.Open(list)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil // a kernel with everything built in
	}
	if err != nil {
		return 0, fmt.Errorf("load modules: %w", err)
	}
	defer f.Close()
	paths, err := readList(bufio.NewScanner(f))
	if err != nil {
		return 0, fmt.Errorf("read %s: %w", list, err)
	}
	modules := filepath.Join(root, "lib/modules", release())
	var failed []error
	for _, path := range paths {
		err := Load(filepath.Join(root, path), params(Name(path)))
		if errors.Is(err, fs.ErrNotExist) {
			err = Load(filepath.Join(modules, path), params(Name(path)))
		}
		switch {
		case err == nil:
			loaded++
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.EEXIST), errors.Is(err, unix.ENODEV):
		default:
			failed = append(failed, err)
		}
	}
	return loaded, errors.Join(failed...)
}

func readList(lines *bufio.Scanner) ([]string, error) {
	var paths []string
	for lines.Scan() {
		path := strings.TrimSpace(lines.Text())
		if path == "" || strings.HasPrefix(path, "#") {
			continue
		}
		if paths = append(paths, path); len(paths) > maxModules {
			return nil, fmt.Errorf("more than %d modules", maxModules)
		}
	}
	return paths, lines.Err()
}

// Name gives the name of a module as the kernel writes it: with underscores,
// without directory and suffix.
func Name(path string) string {
	base, _, _ := strings.Cut(filepath.Base(path), ".ko")
	return strings.ReplaceAll(base, "-", "_")
}

// Load inserts one module file.
func Load(path, params string) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("load module: %w", err)
	}
	defer f.Close()
	if err := unix.FinitModule(int(f.Fd()), params, 0); err != nil {
		return fmt.Errorf("load module %s: %w", Name(path), err)
	}
	return nil
}

func release() string {
	var uts unix.Utsname
	if err := unix.Uname(&uts); err != nil {
		return ""
	}
	return unix.ByteSliceToString(uts.Release[:])
}
