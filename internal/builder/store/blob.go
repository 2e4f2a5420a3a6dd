package store

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"ashlar/internal/foundation/digest"
)

// Blob is content in the store. It implements tree.Content.
type Blob struct {
	path string
}

// Open implements tree.Content.
func (b Blob) Open() (io.ReadCloser, error) {
	f, err := os.Open(b.path)
	if err != nil {
		return nil, fmt.Errorf("open blob: %w", err)
	}
	return f, nil
}

// Path is the blob's file, never to be written to; it may be hard-linked. Its
// mode is 0444, or what PutFile was told.
func (b Blob) Path() string { return b.path }

// Path is where the blob is, or would be.
func (s *Store) Path(d digest.Digest) string {
	name := d.String()
	return filepath.Join(s.dir, "blobs", name[:2], name)
}

// Blob gives the content of the name; whether it is there shows when it is opened.
func (s *Store) Blob(d digest.Digest) Blob { return Blob{s.Path(d)} }

// Has reports whether the blob is there.
func (s *Store) Has(d digest.Digest) bool {
	_, ok := s.Size(d)
	return ok
}

// HasSize reports whether the blob is there with just this size.
func (s *Store) HasSize(d digest.Digest, size int64) bool {
	got, ok := s.Size(d)
	return ok && got == size
}

// Size is the blob's size in bytes, if it is there.
func (s *Store) Size(d digest.Digest) (int64, bool) {
	info, err := os.Lstat(s.Path(d))
	if err != nil || !info.Mode().IsRegular() {
		return 0, false
	}
	return info.Size(), true
}

// Remove takes a blob away, as one that turned out to be damaged.
func (s *Store) Remove(d digest.Digest) error {
	if err := os.Remove(s.Path(d)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return s.explain("remove blob from store", err)
	}
	return nil
}

// inMemory is the size in bytes up to which content is hashed before a file is
// made, so that what the store has already costs no writing.
const inMemory = 256 << 10

// inode is what a new blob's file has besides its content.
type inode struct {
	mode  fs.FileMode
	mtime time.Time // zero: now
}

const plainMode fs.FileMode = 0o444

// Put stores all that r gives and returns its digest and size.
func (s *Store) Put(r io.Reader) (digest.Digest, int64, error) {
	return s.putReader(r, inode{mode: plainMode})
}

// PutFile is Put for the content of a file of an image: if the store does not
// have it yet, it gets the file's mode and time (seconds), so that a tree can
// be laid out of hard links to it. Modes that would give rights to whoever
// finds the blob, or none to its owner, are not taken.
func (s *Store) PutFile(r io.Reader, mode uint32, mtime int64) (digest.Digest, int64, error) {
	const rights, owner = 0o7000, 0o400
	if mode&rights != 0 || mode&owner == 0 {
		return s.Put(r)
	}
	return s.putReader(r, inode{fs.FileMode(mode), time.Unix(mtime, 0)})
}

func (s *Store) putReader(r io.Reader, as inode) (digest.Digest, int64, error) {
	head := bytes.NewBuffer(make([]byte, 0, 16<<10))
	n, err := io.CopyN(head, r, inMemory)
	if err != nil && err != io.EOF {
		return digest.Digest{}, n, err
	}
	if err == io.EOF {
		return s.putBytes(head.Bytes(), as)
	}
	return s.put(io.MultiReader(head, r), as, nil)
}

// PutBytes stores data.
func (s *Store) PutBytes(data []byte) (digest.Digest, error) {
	d, _, err := s.putBytes(data, inode{mode: plainMode})
	return d, err
}

func (s *Store) putBytes(data []byte, as inode) (digest.Digest, int64, error) {
	d := digest.Of(data)
	if s.HasSize(d, int64(len(data))) {
		return d, int64(len(data)), nil
	}
	return s.put(bytes.NewReader(data), as, nil)
}

// put streams r into a temporary file; check, when given, may refuse the
// result before it gets its name.
func (s *Store) put(r io.Reader, as inode, check func(digest.Digest, int64) error) (d digest.Digest, n int64, err error) {
	tmp, err := os.CreateTemp(filepath.Join(s.dir, "tmp"), "blob-*")
	if err != nil {
		return d, 0, s.explain("write to store", err)
	}
	source := &meter{r: r}
	d, n, err = digest.Copy(tmp, source)
	if err == nil {
		err = tmp.Chmod(as.mode)
	}
	err = errors.Join(err, tmp.Close())
	if err == nil && !as.mtime.IsZero() {
		err = os.Chtimes(tmp.Name(), as.mtime, as.mtime)
	}
	if source.err != nil {
		err = source.err // not the store's fault
	} else {
		err = s.explain("write to store", err)
	}
	if err == nil && check != nil {
		err = check(d, n)
	}
	if err == nil {
		err = s.explain("write to store", s.adopt(tmp.Name(), s.Path(d)))
		s.added.Add(onDisk(n))
	}
	if err != nil {
		if gone := os.Remove(tmp.Name()); gone != nil {
			err = errors.Join(err, gone)
		}
		return d, n, err
	}
	return d, n, nil
}

// meter tells how much is read, and keeps the failure of the source apart from
// failures to write.
type meter struct {
	r    io.Reader
	read func(int64) // may be nil
	err  error
}

func (m *meter) Read(p []byte) (int, error) {
	n, err := m.r.Read(p)
	if n > 0 && m.read != nil {
		m.read(int64(n))
	}
	if err != nil && err != io.EOF {
		m.err = err
	}
	return n, err
}

// adopt renames a finished file to its place, whose directory may be missing.
func (s *Store) adopt(from, to string) error {
	err := os.Rename(from, to)
	if errors.Is(err, os.ErrNotExist) {
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return err
		}
		err = os.Rename(from, to)
	}
	return err
}
