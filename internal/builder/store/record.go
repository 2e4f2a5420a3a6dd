package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// refresh is how old a record's time may get before a reader renews it; GC
// takes the time for that of the last use.
const refresh = 12 * time.Hour

func (s *Store) recordPath(kind, key string) (string, error) {
	if err := checkKind("record kind", kind); err != nil {
		return "", err
	}
	if err := checkKind("record key", key); err != nil {
		return "", err
	}
	return filepath.Join(s.dir, "records", kind, fmt.Sprintf("%.2s", key), key), nil
}

// Record gives the record of the kind and key, and whether there is one. The
// key is the text of the digest of all that the result depends on.
func (s *Store) Record(kind, key string) ([]byte, bool, error) {
	path, err := s.recordPath(kind, key)
	if err != nil {
		return nil, false, err
	}
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, s.explain("read record from store", err)
	}
	data, err := readFile(f)
	if err != nil {
		return nil, false, s.explain("read record from store", err)
	}
	s.use(path)
	return data, true, nil
}

func readFile(f *os.File) (data []byte, err error) {
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if now := time.Now(); now.Sub(info.ModTime()) > refresh {
		// Only GC looks at the time, and a store that we may not change has none.
		_ = os.Chtimes(f.Name(), now, now)
	}
	data = make([]byte, info.Size())
	n, err := f.ReadAt(data, 0)
	if n == len(data) {
		err = nil
	}
	return data, err
}

// SetRecord makes or replaces a record.
func (s *Store) SetRecord(kind, key string, data []byte) error {
	path, err := s.recordPath(kind, key)
	if err != nil {
		return err
	}
	s.use(path)
	s.added.Add(onDisk(int64(len(data))))
	// One directory for all that is being made: file systems that spread the
	// inodes of many directories over the disk take three times as long.
	tmp, err := os.CreateTemp(filepath.Join(s.dir, "tmp"), "record-*")
	if err != nil {
		return s.explain("write record to store", err)
	}
	_, err = tmp.Write(data)
	if err == nil {
		err = tmp.Chmod(0o644)
	}
	if err = errors.Join(err, tmp.Close()); err == nil {
		err = s.adopt(tmp.Name(), path)
	}
	if err != nil {
		_ = os.Remove(tmp.Name()) // what stays is removed by the next who opens the store
	}
	return s.explain("write record to store", err)
}

// DeleteRecord takes a record away, as one that turned out to be stale.
func (s *Store) DeleteRecord(kind, key string) error {
	path, err := s.recordPath(kind, key)
	if err != nil {
		return err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return s.explain("delete record from store", err)
	}
	return nil
}
