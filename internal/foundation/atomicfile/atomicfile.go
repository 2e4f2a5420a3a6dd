// Package atomicfile writes files so that a reader, or the next run after a
// crash, sees the old content or the new one and never a part.
package atomicfile

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// Options says how a file is written. The zero value: mode 0644, not flushed.
type Options struct {
	Mode os.FileMode // exact mode of the file, whatever the umask; 0 means 0644
	Sync bool        // flush the file before the rename and the directory after it
}

// Write makes or replaces the file at path with what fill writes. The
// temporary file stands in the same directory and is removed when fill fails.
func Write(path string, opt Options, fill func(*os.File) error) (err error) {
	if opt.Mode == 0 {
		opt.Mode = 0o644
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".tmp-*")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, ignoreMissing(os.Remove(tmp.Name())))
		}
	}()
	err = fill(tmp)
	if err == nil {
		err = tmp.Chmod(opt.Mode)
	}
	if err == nil && opt.Sync {
		err = tmp.Sync()
	}
	if err = errors.Join(err, tmp.Close()); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err = os.Rename(tmp.Name(), path); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if opt.Sync {
		return syncDir(filepath.Dir(path))
	}
	return nil
}

// WriteBytes is Write for content that is in memory.
func WriteBytes(path string, opt Options, data []byte) error {
	return Write(path, opt, func(f *os.File) error {
		_, err := f.Write(data)
		return err
	})
}

// WriteReader is Write for content that a reader gives.
func WriteReader(path string, opt Options, r io.Reader) error {
	return Write(path, opt, func(f *os.File) error {
		_, err := io.Copy(f, r)
		return err
	})
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("flush directory %s: %w", dir, err)
	}
	return errors.Join(d.Sync(), d.Close())
}

func ignoreMissing(err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}
