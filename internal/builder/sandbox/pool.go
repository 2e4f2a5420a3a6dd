package sandbox

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"ashlar/internal/foundation/tree"
)

// A pool is a directory of files that lower layers are linked from:
//
//	ab/DIGEST-MODE-MTIME-SLOT
//
// ab are the first digits of the digest, MODE is octal, MTIME in seconds, SLOT
// tells files of one tree apart that agree in all of these. A file gets
// its name there when it is whole; its size, mode and owner are checked at each use. Contents are
// as trustworthy as the directory, which only its owner can enter.
type pool struct {
	dir      string
	uid, gid uint32
}

// poolKey is the name up to the slot; "" when the content is not known by digest.
func poolKey(e *tree.Entry) string {
	if e.Digest.IsZero() {
		return ""
	}
	return fmt.Sprintf("%s-%04o-%d", e.Digest, e.Mode&0o7777, e.MTime)
}

// link makes name a file of the pool, or fills the pool with it.
func (p *pool) link(e *tree.Entry, slot int, name string) error {
	if slot == 0 && p.linkContent(e, name) {
		return nil
	}
	key := poolKey(e)
	from := filepath.Join(p.dir, key[:2], fmt.Sprintf("%s-%d", key, slot))
	err := os.Link(from, name)
	if err == nil {
		if p.sound(e, name) {
			return nil
		}
		if err := errors.Join(os.Remove(name), os.Remove(from)); err != nil {
			return err
		}
		err = fs.ErrNotExist
	}
	missing := errors.Is(err, fs.ErrNotExist)
	if !missing && !errors.Is(err, unix.EMLINK) && !errors.Is(err, unix.EXDEV) && !errors.Is(err, unix.EPERM) {
		return err
	}
	if err := writeFile(e, name); err != nil || !missing {
		return err
	}
	return p.add(name, from)
}

// linkContent links the file that the content lies in, if its mode and time
// happen to be the entry's.
func (p *pool) linkContent(e *tree.Entry, name string) bool {
	c, ok := e.Source.(interface{ Path() string })
	if !ok || os.Link(c.Path(), name) != nil {
		return false
	}
	if p.sound(e, name) {
		return true
	}
	_ = os.Remove(name) // what stays is in the way of the next try, which says so
	return false
}

// add gives a whole file its name in the pool. Another build may have been
// faster: then each has its own.
func (p *pool) add(name, to string) error {
	err := os.Link(name, to)
	if errors.Is(err, fs.ErrNotExist) {
		if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
			return err
		}
		err = os.Link(name, to)
	}
	if errors.Is(err, fs.ErrExist) || errors.Is(err, unix.EXDEV) || errors.Is(err, unix.EPERM) {
		return nil
	}
	return err
}

// sound reports whether a pool file is what its name says, as far as the inode
// tells; a crash of the machine may have left it short.
func (p *pool) sound(e *tree.Entry, name string) bool {
	var st unix.Stat_t
	return unix.Lstat(name, &st) == nil && st.Mode == unix.S_IFREG|e.Mode&0o7777 &&
		st.Size == e.Size && st.Mtim.Sec == e.MTime && st.Uid == p.uid && st.Gid == p.gid
}

// writeFile writes the entry's content, owner record, mode and time.
func writeFile(e *tree.Entry, name string) error {
	out, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	err = copyContent(out, e)
	if o := (owner{e.UID, e.GID}); err == nil && o != (owner{}) {
		err = unix.Fsetxattr(int(out.Fd()), ownerXattr, []byte(o.String()), 0)
	}
	if err == nil {
		err = unix.Fchmod(int(out.Fd()), e.Mode&0o7777)
	}
	err = errors.Join(err, out.Close())
	if err == nil {
		err = setTime(name, e.MTime)
	}
	return err
}

func copyContent(out *os.File, e *tree.Entry) error {
	if e.Size == 0 {
		return nil
	}
	in, err := openContent(e)
	if err != nil {
		return err
	}
	n, err := io.Copy(out, in) // of file to file: in the kernel, shared blocks where it can
	if err := errors.Join(err, in.Close()); err != nil {
		return err
	}
	if n != e.Size {
		return fmt.Errorf("content has %d bytes, the entry says %d", n, e.Size)
	}
	return nil
}

func openContent(e *tree.Entry) (io.ReadCloser, error) {
	if p, ok := e.Source.(interface{ Path() string }); ok {
		return os.Open(p.Path())
	}
	return e.Open()
}
