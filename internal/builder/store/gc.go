package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"ashlar/internal/foundation/digest"
)

// Usage counts files and bytes; bytes are of contents, without the file system's overhead.
type Usage struct {
	Blobs       int   `json:"blobs"`
	Records     int   `json:"records"`
	BlobBytes   int64 `json:"blob_bytes"`
	RecordBytes int64 `json:"record_bytes"`
	TempBytes   int64 `json:"temp_bytes"` // left by runs that were killed
}

// Bytes is the sum.
func (u Usage) Bytes() int64 { return u.BlobBytes + u.RecordBytes + u.TempBytes }

// DU measures the store.
func (s *Store) DU() (Usage, error) {
	var u Usage
	err := s.walk("blobs", func(_ string, info fs.FileInfo) error {
		u.Blobs++
		u.BlobBytes += info.Size()
		return nil
	})
	err = errors.Join(err, s.walk("records", func(_ string, info fs.FileInfo) error {
		u.Records++
		u.RecordBytes += info.Size()
		return nil
	}))
	err = errors.Join(err, s.walk("tmp", func(_ string, info fs.FileInfo) error {
		u.TempBytes += info.Size()
		return nil
	}))
	return u, s.explain("measure store", err)
}

// GCOptions says what stays.
type GCOptions struct {
	// Keep names blobs that stay, and with them the records whose key is such a digest. Nil keeps none.
	Keep func(digest.Digest) bool
	// Refs gives the blobs that a record needs; those of records that stay, stay. It may be nil.
	Refs func(kind, key string, data []byte) []digest.Digest
	// MaxAge keeps whatever was made or, for records, used since then. Zero keeps nothing for its age.
	MaxAge time.Duration
	Now    time.Time // for MaxAge; zero is the clock's
	DryRun bool      // count only
}

// GC removes what is not kept and returns what was removed. It fails when
// another process, or another Store of this one, has the store open.
func (s *Store) GC(opt GCOptions) (removed Usage, err error) {
	if err := s.flock(unix.LOCK_EX | unix.LOCK_NB); err != nil {
		// A failed conversion may have dropped the shared lock.
		err = errors.Join(err, s.flock(unix.LOCK_SH|unix.LOCK_NB))
		return removed, fmt.Errorf("collect garbage in store %s: another process uses it; try again when it is done (%w)", s.dir, err)
	}
	defer func() { err = errors.Join(err, s.flock(unix.LOCK_SH)) }()
	if opt.Now.IsZero() {
		opt.Now = time.Now()
	}
	live, err := s.sweepRecords(opt, &removed)
	if err == nil {
		err = s.sweepBlobs(opt, live, &removed)
	}
	if err == nil {
		err = s.sweepTemp(opt, &removed)
	}
	return removed, s.explain("collect garbage in store", err)
}

func (o GCOptions) young(info fs.FileInfo) bool {
	return o.MaxAge > 0 && o.Now.Sub(info.ModTime()) < o.MaxAge
}

func (o GCOptions) keeps(name string) bool {
	if o.Keep == nil {
		return false
	}
	d, err := digest.Parse(name)
	return err == nil && o.Keep(d)
}

func (s *Store) sweepRecords(opt GCOptions, removed *Usage) (map[string]bool, error) {
	live := map[string]bool{}
	root := filepath.Join(s.dir, "records")
	err := s.walk("records", func(path string, info fs.FileInfo) error {
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		kind, _, _ := strings.Cut(rel, string(filepath.Separator))
		key := filepath.Base(path)
		if !opt.keeps(key) && !opt.young(info) {
			removed.Records++
			removed.RecordBytes += info.Size()
			return opt.remove(path)
		}
		if opt.Refs == nil {
			return nil
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, d := range opt.Refs(kind, key, data) {
			live[d.String()] = true
		}
		return nil
	})
	return live, err
}

func (s *Store) sweepBlobs(opt GCOptions, live map[string]bool, removed *Usage) error {
	return s.walk("blobs", func(path string, info fs.FileInfo) error {
		name := filepath.Base(path)
		if live[name] || opt.keeps(name) || opt.young(info) {
			return nil
		}
		removed.Blobs++
		removed.BlobBytes += info.Size()
		return opt.remove(path)
	})
}

// sweepTemp takes all: whoever made it would hold the lock.
func (s *Store) sweepTemp(opt GCOptions, removed *Usage) error {
	err := s.walk("tmp", func(_ string, info fs.FileInfo) error {
		removed.TempBytes += info.Size()
		return nil
	})
	if err != nil || opt.DryRun {
		return err
	}
	entries, err := os.ReadDir(filepath.Join(s.dir, "tmp"))
	for _, e := range entries {
		err = errors.Join(err, removeAll(filepath.Join(s.dir, "tmp", e.Name())))
	}
	return err
}

func (o GCOptions) remove(path string) error {
	if o.DryRun {
		return nil
	}
	return os.Remove(path)
}

// walk visits the regular files below a directory of the store; files that
// vanish meanwhile are passed over.
func (s *Store) walk(sub string, visit func(path string, info fs.FileInfo) error) error {
	return filepath.WalkDir(filepath.Join(s.dir, sub), func(path string, e fs.DirEntry, err error) error {
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		if err != nil {
			if sub == "tmp" && errors.Is(err, os.ErrPermission) {
				return fs.SkipDir // removed all the same
			}
			return err
		}
		if !e.Type().IsRegular() {
			return nil
		}
		info, err := e.Info()
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		return visit(path, info)
	})
}
