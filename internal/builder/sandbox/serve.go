package sandbox

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// serveFiles answers requests about files until the builder is gone.
func (p *initProcess) serveFiles(c *conn) {
	for {
		var req request
		files, err := c.recv(&req)
		if err != nil {
			return
		}
		r, out := p.handle(&req, files)
		var send []*os.File
		if out != nil {
			send = append(send, out)
		}
		err = c.send(r, send...)
		if errors.Join(err, closeFiles(send), closeFiles(files)) != nil {
			return
		}
	}
}

func (p *initProcess) handle(req *request, files []*os.File) (reply, *os.File) {
	var r reply
	var out *os.File
	var err error
	switch req.Op {
	case "kill":
		if req.Run != nil {
			p.killed.Store(req.Run.Serial)
			killAll()
		}
	case "open":
		out, err = p.openRegular(req.Path)
	case "upper":
		out, err = p.openUpper(req.Path)
	case "scan":
		r.Entries, err = p.scan()
	case "lstat":
		err = p.atParent(req.Path, func(dir int, name string) error {
			info, err := p.info(dir, name)
			r.Infos = []FileInfo{info}
			return err
		})
	case "readdir":
		r.Infos, err = p.readDir(req.Path)
	case "write":
		err = p.write(req, files)
	case "remove":
		err = p.atParent(req.Path, func(dir int, name string) error {
			err := unix.Unlinkat(dir, name, 0)
			if errors.Is(err, unix.EISDIR) {
				err = unix.Unlinkat(dir, name, unix.AT_REMOVEDIR)
			}
			return err
		})
	case "rename":
		err = p.atParent(req.Path, func(dir int, name string) error {
			return p.atParent(req.Path2, func(dir2 int, name2 string) error { return unix.Renameat(dir, name, dir2, name2) })
		})
	case "mkdir":
		err = p.atParent(req.Path, func(dir int, name string) error {
			if err := unix.Mkdirat(dir, name, 0o700); err != nil {
				return err
			}
			return unix.Fchmodat(dir, name, req.Mode&0o7777, 0)
		})
	case "symlink":
		err = p.atParent(req.Path, func(dir int, name string) error { return unix.Symlinkat(req.Path2, dir, name) })
	case "chown":
		err = p.chown(req)
	default:
		err = unix.ENOSYS
	}
	if err != nil {
		return reply{Err: toWire(req.Op, req.Path, err)}, nil
	}
	return r, out
}

// openIn opens a path of the merged root. Links never lead out of the root,
// nor through the magic links of /proc to files that init has open.
func (p *initProcess) openIn(name string, flags uint64) (int, error) {
	how := unix.OpenHow{Flags: flags | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS}
	for {
		fd, err := unix.Openat2(p.supervisor.root, name, &how)
		if !errors.Is(err, unix.EINTR) && !errors.Is(err, unix.EAGAIN) {
			return fd, err
		}
	}
}

// atParent calls do with the directory that holds the path's last element.
func (p *initProcess) atParent(name string, do func(dir int, name string) error) error {
	dirName, base := path.Split(strings.TrimRight(name, "/"))
	if base == "" || base == "." || base == ".." {
		dirName, base = name, "."
	}
	if dirName == "" {
		dirName = "."
	}
	dir, err := p.openIn(dirName, unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	return errors.Join(do(dir, base), unix.Close(dir))
}

func (p *initProcess) openRegular(name string) (*os.File, error) {
	// Not blocking: it may turn out to be a fifo.
	fd, err := p.openIn(name, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), name)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if st.Mode&unix.S_IFMT == unix.S_IFDIR {
		return nil, errors.Join(unix.EISDIR, f.Close())
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil, errors.Join(unix.EINVAL, f.Close())
	}
	return f, nil
}

// write puts the content in a temporary file and that in the place.
func (p *initProcess) write(req *request, files []*os.File) error {
	if len(files) != 1 {
		return unix.EINVAL
	}
	return p.atParent(req.Path, func(dir int, name string) error {
		const temp = ".ashlar-new"
		fd, err := unix.Openat(dir, temp, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
		if err != nil {
			return err
		}
		f := os.NewFile(uintptr(fd), temp)
		_, err = io.Copy(f, files[0])
		err = errors.Join(err, unix.Fchmod(fd, req.Mode&0o7777), f.Close())
		if err == nil {
			err = unix.Renameat(dir, temp, dir, name)
		}
		if err != nil {
			err = errors.Join(err, unix.Unlinkat(dir, temp, 0))
		}
		return err
	})
}

func (p *initProcess) chown(req *request) error {
	o, err := parseOwner(req.Path2)
	if err != nil {
		return err
	}
	return p.atParent(req.Path, func(dir int, name string) error {
		fd, err := unix.Openat(dir, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		return errors.Join(p.supervisor.chown(fd, o.UID, o.GID), unix.Close(fd))
	})
}

// info describes dir/name with what was recorded for it.
func (p *initProcess) info(dir int, name string) (FileInfo, error) {
	fd, err := unix.Openat(dir, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return FileInfo{}, err
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return FileInfo{}, err
	}
	rec, err := p.supervisor.record(fd, &st)
	if err != nil {
		return FileInfo{}, err
	}
	info := FileInfo{FileName: name, RawMode: st.Mode, Bytes: st.Size, MTime: st.Mtim.Sec}
	if rec.owner != nil {
		info.UID, info.GID = rec.owner.UID, rec.owner.GID
	}
	if rec.device != nil {
		info.RawMode = st.Mode&^uint32(unix.S_IFMT) | rec.device.kindBits()
	}
	if st.Mode&unix.S_IFMT == unix.S_IFLNK {
		info.Target, err = readLink(fd, "")
	}
	return info, err
}

func readLink(dir int, name string) (string, error) {
	buf := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(dir, name, buf)
	if err != nil {
		return "", err
	}
	return string(buf[:n]), nil
}

func (p *initProcess) readDir(name string) ([]FileInfo, error) {
	fd, err := p.openIn(name, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), name)
	list, err := sortedNames(f)
	var infos []FileInfo
	for i := 0; err == nil && i < len(list); i++ {
		var info FileInfo
		info, err = p.info(fd, list[i])
		infos = append(infos, info)
	}
	return infos, errors.Join(err, f.Close())
}

// openUpper opens a regular file of the upper layer.
func (p *initProcess) openUpper(name string) (*os.File, error) {
	how := unix.OpenHow{Flags: unix.O_RDONLY | unix.O_NOFOLLOW | unix.O_CLOEXEC, Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS}
	fd, err := unix.Openat2(p.upper, name, &how)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: fmt.Sprintf("%s in the upper layer", name), Err: err}
	}
	return os.NewFile(uintptr(fd), name), nil
}
