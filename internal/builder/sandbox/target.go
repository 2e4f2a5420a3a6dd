package sandbox

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// target opens (O_PATH) the file that a call of the thread is about.
func (s *supervisor) target(tid int, c call) (int, error) {
	if c.byFD {
		return s.openFD(tid, c.dirfd)
	}
	name, err := readPath(tid, c.path, c.flags)
	if err != nil {
		return -1, err
	}
	if name == "" {
		if c.flags&unix.AT_EMPTY_PATH == 0 {
			return -1, unix.ENOENT
		}
		return s.openFD(tid, c.dirfd)
	}
	how := unix.O_PATH | unix.O_CLOEXEC
	if c.flags&unix.AT_SYMLINK_NOFOLLOW != 0 {
		how |= unix.O_NOFOLLOW
	}
	return s.openAs(tid, c.dirfd, name, how, 0)
}

// openAs opens a path as the thread would: from its root and directory.
func (s *supervisor) openAs(tid int, dirfd int32, name string, how int, mode uint32) (int, error) {
	leave, err := s.enterRoot(tid)
	if err != nil {
		return -1, err
	}
	defer leave()
	if strings.HasPrefix(name, "/") {
		return openRetry(unix.AT_FDCWD, ownProc(name, tid), how, mode)
	}
	base, err := s.openFD(tid, dirfd)
	if err != nil {
		return -1, err
	}
	defer unix.Close(base)
	return openRetry(base, name, how, mode)
}

func openRetry(dirfd int, name string, how int, mode uint32) (int, error) {
	for {
		fd, err := unix.Openat(dirfd, name, how, mode)
		if !errors.Is(err, unix.EINTR) {
			return fd, err
		}
	}
}

// openFD opens what the thread has open, or its working directory.
func (s *supervisor) openFD(tid int, fd int32) (int, error) {
	link := fmt.Sprintf("%d/fd/%d", tid, fd)
	if fd == unix.AT_FDCWD {
		link = fmt.Sprintf("%d/cwd", tid)
	}
	got, err := openRetry(s.proc, link, unix.O_PATH|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENOENT) {
		return -1, unix.EBADF
	}
	return got, err
}

// enterRoot gives this thread the root of another, which differs only when a
// program called chroot, and a function that goes back.
func (s *supervisor) enterRoot(tid int) (func(), error) {
	if !s.chrooted {
		return func() {}, nil
	}
	var buf [8]byte
	link := fmt.Sprintf("%d/root", tid)
	n, err := unix.Readlinkat(s.proc, link, buf[:])
	if err != nil {
		return nil, err
	}
	if string(buf[:n]) == "/" {
		return func() {}, nil
	}
	fd, err := openRetry(s.proc, link, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	if err := errors.Join(unix.Fchdir(fd), unix.Chroot(".")); err != nil {
		return nil, err
	}
	return func() {
		if err := errors.Join(unix.Fchdir(s.root), unix.Chroot(".")); err != nil {
			panic("supervisor lost its root: " + err.Error())
		}
	}, nil
}

// ownProc makes the common names of a thread's own files mean that thread's
// instead of ours. (Links that lead there by other ways find ours, which are
// not in the merged root; nothing is recorded for them.)
func ownProc(name string, tid int) string {
	for _, p := range [...]struct{ from, to string }{
		{"/proc/self", ""},
		{"/proc/thread-self", ""},
		{"/dev/fd", "/fd"},
		{"/dev/stdin", "/fd/0"},
		{"/dev/stdout", "/fd/1"},
		{"/dev/stderr", "/fd/2"},
	} {
		rest, ok := strings.CutPrefix(name, p.from)
		if ok && (rest == "" || rest[0] == '/') {
			return "/proc/" + strconv.Itoa(tid) + p.to + rest
		}
	}
	return name
}

// readPath reads a NUL-terminated path from the memory of a thread.
func readPath(tid int, addr uint64, flags uint32) (string, error) {
	if addr == 0 && flags&unix.AT_EMPTY_PATH != 0 {
		return "", nil
	}
	var buf [unix.PathMax]byte
	page := uint64(os.Getpagesize())
	for n := 0; n < len(buf); {
		// Up to the end of a page: the next one may not be there.
		at := addr + uint64(n)
		chunk := min(int(page-at%page), len(buf)-n)
		got, err := copyFrom(tid, at, buf[n:n+chunk])
		if err != nil {
			return "", err
		}
		if got == 0 {
			return "", unix.EFAULT
		}
		if end := bytes.IndexByte(buf[n:n+got], 0); end >= 0 {
			return string(buf[:n+end]), nil
		}
		n += got
	}
	return "", unix.ENAMETOOLONG
}

func copyFrom(tid int, addr uint64, to []byte) (int, error) {
	local := []unix.Iovec{{Base: &to[0]}}
	local[0].SetLen(len(to))
	return unix.ProcessVMReadv(tid, local, []unix.RemoteIovec{{Base: uintptr(addr), Len: len(to)}}, 0)
}

func copyTo(tid int, addr uint64, from []byte) error {
	local := []unix.Iovec{{Base: &from[0]}}
	local[0].SetLen(len(from))
	n, err := unix.ProcessVMWritev(tid, local, []unix.RemoteIovec{{Base: uintptr(addr), Len: len(from)}}, 0)
	if err == nil && n != len(from) {
		return unix.EFAULT
	}
	return err
}

// plain reports, at the price of one system call, that nothing is recorded for
// the file that a stat call is about: true for almost all. It may say false
// when it does not know.
func (s *supervisor) plain(tid int, c call) bool {
	if s.chrooted || s.holdsOwners() {
		return false
	}
	name := ""
	if !c.byFD {
		var err error
		if name, err = readPath(tid, c.path, c.flags); err != nil {
			return false
		}
	}
	get := unix.Getxattr
	switch {
	case strings.HasPrefix(name, "/"):
		name = ownProc(name, tid)
	case c.dirfd == unix.AT_FDCWD:
		name = fmt.Sprintf("/proc/%d/cwd/%s", tid, name)
	case name == "":
		name = fmt.Sprintf("/proc/%d/fd/%d", tid, c.dirfd)
	default:
		name = fmt.Sprintf("/proc/%d/fd/%d/%s", tid, c.dirfd, name)
	}
	if c.flags&unix.AT_SYMLINK_NOFOLLOW != 0 && c.flags&unix.AT_EMPTY_PATH == 0 {
		get = unix.Lgetxattr
	}
	_, err := get(name, ownerXattr, nil)
	return errors.Is(err, unix.ENODATA) || errors.Is(err, unix.ENOENT)
}

// recorded is what the attributes of a file say beyond its inode.
type recorded struct {
	owner  *owner
	device *device
}

// record reads what was recorded for an open file.
func (s *supervisor) record(fd int, st *unix.Stat_t) (recorded, error) {
	var r recorded
	if !attributable(st.Mode) {
		if o, ok := s.heldOwner(st.Ino); ok && st.Dev == s.rootDev {
			r.owner = &o
		}
		return r, nil
	}
	var buf [64]byte
	n, err := unix.Getxattr(fdPath(fd), ownerXattr, buf[:])
	if err == nil {
		o, err := parseOwner(string(buf[:n]))
		if err != nil {
			return r, err
		}
		r.owner = &o
	}
	if st.Size != 0 || st.Mode&unix.S_IFMT != unix.S_IFREG {
		return r, nil
	}
	if n, err = unix.Getxattr(fdPath(fd), deviceXattr, buf[:]); err == nil {
		d, err := parseDevice(string(buf[:n]))
		if err != nil {
			return r, err
		}
		r.device = &d
	}
	return r, nil
}

// kindBits gives the type of file for st_mode.
func (d device) kindBits() uint32 {
	if d.Block {
		return unix.S_IFBLK
	}
	return unix.S_IFCHR
}

// stat answers with what was recorded; the kernel does all other files.
func (s *supervisor) stat(tid, fd int, c call) error {
	var st unix.Stat_t
	if unix.Fstat(fd, &st) != nil || st.Dev != s.rootDev && !s.volatile(&st) {
		return errContinue
	}
	r, err := s.record(fd, &st)
	if err != nil || r.owner == nil && r.device == nil {
		return errContinue
	}
	if c.kind == statxCall {
		return s.statx(tid, fd, c, r)
	}
	if r.owner != nil {
		st.Uid, st.Gid = r.owner.UID, r.owner.GID
	}
	if d := r.device; d != nil {
		st.Mode = st.Mode&^uint32(unix.S_IFMT) | d.kindBits()
		st.Rdev = unix.Mkdev(d.Major, d.Minor)
	}
	return copyTo(tid, c.out, unsafe.Slice((*byte)(unsafe.Pointer(&st)), unsafe.Sizeof(st)))
}

func (s *supervisor) statx(tid, fd int, c call, r recorded) error {
	var st unix.Statx_t
	const syncType = 0x6000 // AT_STATX_SYNC_TYPE
	flags := int(c.flags)&syncType | unix.AT_EMPTY_PATH
	if err := unix.Statx(fd, "", flags, int(c.mask), &st); err != nil {
		return err
	}
	if r.owner != nil {
		st.Uid, st.Gid = r.owner.UID, r.owner.GID
	}
	if d := r.device; d != nil {
		st.Mode = st.Mode&^uint16(unix.S_IFMT) | uint16(d.kindBits())
		st.Rdev_major, st.Rdev_minor = d.Major, d.Minor
	}
	return copyTo(tid, c.out, unsafe.Slice((*byte)(unsafe.Pointer(&st)), unsafe.Sizeof(st)))
}

// mknod makes an empty file that says which device it stands for.
func (s *supervisor) mknod(tid int, c call) error {
	name, err := readPath(tid, c.path, 0)
	if err != nil {
		return err
	}
	if name == "" {
		return unix.ENOENT
	}
	umask, err := s.umask(tid)
	if err != nil {
		return err
	}
	fd, err := s.openAs(tid, c.dirfd, name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	d := device{Block: c.mode&unix.S_IFMT == unix.S_IFBLK, Major: unix.Major(c.dev), Minor: unix.Minor(c.dev)}
	err = unix.Fsetxattr(fd, deviceXattr, []byte(d.String()), 0)
	if err == nil { // plain looks for owners only
		err = unix.Fsetxattr(fd, ownerXattr, []byte(owner{}.String()), 0)
	}
	if err != nil && !errors.Is(err, unix.ENOTSUP) { // as in chown: /dev is not kept
		return err
	}
	return unix.Fchmod(fd, c.mode&0o7777&^umask)
}

// umask reads the field "Umask:" (octal) of /proc/TID/status.
func (s *supervisor) umask(tid int) (uint32, error) {
	fd, err := openRetry(s.proc, fmt.Sprintf("%d/status", tid), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	defer unix.Close(fd)
	var buf [512]byte
	n, err := unix.Read(fd, buf[:])
	if err != nil {
		return 0, err
	}
	_, after, _ := strings.Cut(string(buf[:n]), "\nUmask:\t")
	digits, _, _ := strings.Cut(after, "\n")
	mask, err := strconv.ParseUint(digits, 8, 12)
	if err != nil {
		return 0, unix.EIO
	}
	return uint32(mask), nil
}
