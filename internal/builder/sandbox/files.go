package sandbox

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// The methods below work on the merged root, as init sees it: links never lead
// out of it, "..", absolute paths and symbolic links are those of the root.

// maxReadFile bounds ReadFile, in bytes.
const maxReadFile = 256 << 20

// FileInfo is what Lstat and ReadDir tell. It is an fs.FileInfo.
type FileInfo struct {
	FileName string
	RawMode  uint32 // st_mode
	UID, GID uint32 // as programs set them
	Bytes    int64
	MTime    int64  // seconds since 1970, UTC
	Target   string // of a symbolic link
}

// Name implements fs.FileInfo.
func (i FileInfo) Name() string { return i.FileName }

// Size implements fs.FileInfo.
func (i FileInfo) Size() int64 { return i.Bytes }

// ModTime implements fs.FileInfo.
func (i FileInfo) ModTime() time.Time { return time.Unix(i.MTime, 0).UTC() }

// IsDir implements fs.FileInfo.
func (i FileInfo) IsDir() bool { return i.RawMode&unix.S_IFMT == unix.S_IFDIR }

// Sys implements fs.FileInfo.
func (i FileInfo) Sys() any { return nil }

// Mode implements fs.FileInfo.
func (i FileInfo) Mode() fs.FileMode {
	m := fs.FileMode(i.RawMode & 0o777)
	for bit, mode := range map[uint32]fs.FileMode{unix.S_ISUID: fs.ModeSetuid, unix.S_ISGID: fs.ModeSetgid, unix.S_ISVTX: fs.ModeSticky} {
		if i.RawMode&bit != 0 {
			m |= mode
		}
	}
	switch i.RawMode & unix.S_IFMT {
	case unix.S_IFDIR:
		m |= fs.ModeDir
	case unix.S_IFLNK:
		m |= fs.ModeSymlink
	case unix.S_IFIFO:
		m |= fs.ModeNamedPipe
	case unix.S_IFSOCK:
		m |= fs.ModeSocket
	case unix.S_IFBLK:
		m |= fs.ModeDevice
	case unix.S_IFCHR:
		m |= fs.ModeDevice | fs.ModeCharDevice
	}
	return m
}

// call asks init for one thing about files.
func (s *Sandbox) call(req request, files ...*os.File) (*reply, []*os.File, error) {
	s.filesMu.Lock()
	defer s.filesMu.Unlock()
	var r reply
	if err := s.files.send(req, files...); err != nil {
		return nil, nil, s.initDied(err)
	}
	got, err := s.files.recv(&r)
	if err != nil {
		return nil, nil, s.initDied(err)
	}
	if r.Err != nil {
		return nil, nil, errors.Join(r.Err.error(), closeFiles(got))
	}
	return &r, got, nil
}

// open gives the file at the path, for reading. op is "open", of the merged
// root, or "upper", of the upper layer.
func (s *Sandbox) open(op, name string) (*os.File, error) {
	_, files, err := s.call(request{Op: op, Path: name})
	if err != nil {
		return nil, err
	}
	if len(files) != 1 {
		return nil, errors.Join(fmt.Errorf("%s %s: init sent %d files", op, name, len(files)), closeFiles(files))
	}
	return files[0], nil
}

// ReadFile reads a regular file; symbolic links are followed.
func (s *Sandbox) ReadFile(name string) ([]byte, error) {
	f, err := s.open("open", name)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(f, maxReadFile+1))
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	if len(data) > maxReadFile {
		return nil, &fs.PathError{Op: "read", Path: name, Err: unix.EFBIG}
	}
	return data, nil
}

// WriteFile puts a new regular file of root's at the path, in the place of
// whatever but a directory is there (the last element is not followed).
func (s *Sandbox) WriteFile(name string, data []byte, mode uint32) error {
	fd, err := unix.MemfdCreate("content", unix.MFD_CLOEXEC)
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	f := os.NewFile(uintptr(fd), "content")
	_, err = f.Write(data)
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err == nil {
		_, _, err = s.call(request{Op: "write", Path: name, Mode: mode}, f)
	}
	return errors.Join(err, f.Close())
}

// Remove removes a file or an empty directory.
func (s *Sandbox) Remove(name string) error {
	_, _, err := s.call(request{Op: "remove", Path: name})
	return err
}

// Rename gives a file another name. Directories of the lower layer cannot be
// renamed (EXDEV).
func (s *Sandbox) Rename(from, to string) error {
	_, _, err := s.call(request{Op: "rename", Path: from, Path2: to})
	return err
}

// Mkdir makes a directory of root's.
func (s *Sandbox) Mkdir(name string, mode uint32) error {
	_, _, err := s.call(request{Op: "mkdir", Path: name, Mode: mode})
	return err
}

// Symlink makes a symbolic link at name that holds target.
func (s *Sandbox) Symlink(target, name string) error {
	_, _, err := s.call(request{Op: "symlink", Path: name, Path2: target})
	return err
}

// Chown records an owner; the last element is not followed.
func (s *Sandbox) Chown(name string, uid, gid uint32) error {
	_, _, err := s.call(request{Op: "chown", Path: name, Path2: owner{uid, gid}.String()})
	return err
}

// Lstat tells about one file; the last element is not followed.
func (s *Sandbox) Lstat(name string) (FileInfo, error) {
	r, _, err := s.call(request{Op: "lstat", Path: name})
	if err != nil {
		return FileInfo{}, err
	}
	if len(r.Infos) != 1 {
		return FileInfo{}, fmt.Errorf("lstat %s: init sent %d answers", name, len(r.Infos))
	}
	return r.Infos[0], nil
}

// ReadDir tells about the files of a directory, sorted by name.
func (s *Sandbox) ReadDir(name string) ([]FileInfo, error) {
	r, _, err := s.call(request{Op: "readdir", Path: name})
	if err != nil {
		return nil, err
	}
	return r.Infos, nil
}
