package sandbox

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

type callKind uint8

const (
	statCall callKind = iota + 1
	statxCall
	chownCall
	mknodCall
	chrootCall
)

// A call is a supervised system call, its arguments by meaning.
type call struct {
	kind     callKind
	byFD     bool // dirfd is the file itself, there is no path
	dirfd    int32
	path     uint64 // address
	flags    uint32 // AT_...
	out      uint64 // address of struct stat or statx
	mask     uint32 // statx
	uid, gid uint32
	mode     uint32 // mknod
	dev      uint64 // mknod, as the system call encodes it
}

// decode gives the meaning of a system call.
func decode(nr int32, a [6]uint64) (call, bool) {
	switch nr {
	case unix.SYS_FSTAT:
		return call{kind: statCall, byFD: true, dirfd: int32(a[0]), out: a[1]}, true
	case unix.SYS_NEWFSTATAT:
		return call{kind: statCall, dirfd: int32(a[0]), path: a[1], out: a[2], flags: uint32(a[3])}, true
	case unix.SYS_STATX:
		return call{kind: statxCall, dirfd: int32(a[0]), path: a[1], flags: uint32(a[2]), mask: uint32(a[3]), out: a[4]}, true
	case unix.SYS_FCHOWN:
		return call{kind: chownCall, byFD: true, dirfd: int32(a[0]), uid: uint32(a[1]), gid: uint32(a[2])}, true
	case unix.SYS_FCHOWNAT:
		return call{kind: chownCall, dirfd: int32(a[0]), path: a[1], uid: uint32(a[2]), gid: uint32(a[3]), flags: uint32(a[4])}, true
	case unix.SYS_MKNODAT:
		return call{kind: mknodCall, dirfd: int32(a[0]), path: a[1], mode: uint32(a[2]), dev: a[3]}, true
	case unix.SYS_CHROOT:
		return call{kind: chrootCall}, true
	}
	return legacyCall(nr, a)
}

// notification is struct seccomp_notif, response struct seccomp_notif_resp
// (linux/seccomp.h).
type notification struct {
	ID    uint64
	PID   uint32
	Flags uint32
	Nr    int32
	Arch  uint32
	IP    uint64
	Args  [6]uint64
}

type response struct {
	ID    uint64
	Val   int64
	Error int32
	Flags uint32
}

// supervisor does what supervised calls ask for, with the rights of init.
// Programs could change a path while it is looked at; they would but fool
// themselves, since nothing beyond the merged root can be reached from here.
type supervisor struct {
	listener int
	root     int    // descriptor of the root directory
	proc     int    // descriptor of /proc
	rootDev  uint64 // st_dev of all files of the merged root
	chrooted bool   // some program called chroot: roots may differ

	mu     sync.Mutex
	owners map[uint64]owner // by inode number: symbolic links and special files
	held   []int            // keep the inodes of owners, so that no number is used twice
}

func newSupervisor() (*supervisor, error) {
	s := &supervisor{listener: -1, owners: map[uint64]owner{}}
	var err error
	if s.root, err = unix.Open("/", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0); err != nil {
		return nil, fmt.Errorf("open /: %w", err)
	}
	if s.proc, err = unix.Open("/proc", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0); err != nil {
		return nil, fmt.Errorf("open /proc: %w", err)
	}
	var st unix.Stat_t
	if err := unix.Fstat(s.root, &st); err != nil {
		return nil, fmt.Errorf("stat /: %w", err)
	}
	s.rootDev = st.Dev
	return s, nil
}

// serve answers until the listener has no more users. It is run on a thread of
// its own that has its own root and working directory, to be able to look paths
// up from where the caller stands.
func (s *supervisor) serve() error {
	runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
	if err := unix.Unshare(unix.CLONE_FS); err != nil {
		return fmt.Errorf("unshare file system context: %w", err)
	}
	// Wake the caller on this processor: halves the time of a call (Linux 6.6).
	_ = ioctl(s.listener, unix.SECCOMP_IOCTL_NOTIF_SET_FLAGS, unix.SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP)
	for {
		var n notification
		err := ioctl(s.listener, unix.SECCOMP_IOCTL_NOTIF_RECV, uintptr(unsafe.Pointer(&n)))
		if errors.Is(err, unix.EINTR) || errors.Is(err, unix.ENOENT) {
			continue // the caller was killed meanwhile
		}
		if err != nil {
			return fmt.Errorf("receive system call: %w", err)
		}
		r := s.answer(&n)
		r.ID = n.ID
		err = ioctl(s.listener, unix.SECCOMP_IOCTL_NOTIF_SEND, uintptr(unsafe.Pointer(&r)))
		if err != nil && !errors.Is(err, unix.ENOENT) {
			return fmt.Errorf("answer system call: %w", err)
		}
	}
}

func ioctl(fd int, request, arg uintptr) error {
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), request, arg); errno != 0 {
		return errno
	}
	return nil
}

// errContinue lets the kernel do the call as if there were no supervisor.
var errContinue = errors.New("let the kernel do it")

func (s *supervisor) answer(n *notification) response {
	c, ok := decode(n.Nr, n.Args)
	if !ok {
		return response{Error: -int32(unix.ENOSYS)}
	}
	err := s.do(int(n.PID), c)
	var errno unix.Errno
	switch {
	case err == nil:
		return response{}
	case errors.Is(err, errContinue):
		return response{Flags: unix.SECCOMP_USER_NOTIF_FLAG_CONTINUE}
	case errors.As(err, &errno):
		return response{Error: -int32(errno)}
	}
	return response{Error: -int32(unix.EIO)}
}

func (s *supervisor) do(tid int, c call) error {
	switch {
	case c.kind == mknodCall:
		return s.mknod(tid, c)
	case c.kind == chrootCall:
		s.chrooted = true
		return errContinue
	case c.kind != chownCall && s.plain(tid, c):
		return errContinue
	}
	fd, err := s.target(tid, c)
	if err != nil {
		if c.kind != chownCall {
			return errContinue // the kernel knows the right error
		}
		return err
	}
	defer unix.Close(fd)
	switch c.kind {
	case chownCall:
		return s.chown(fd, c.uid, c.gid)
	default:
		return s.stat(tid, fd, c)
	}
}

// chown does the call as far as one uid allows, which copies the file up,
// clears set-id bits and gives the errors, and records the owner.
func (s *supervisor) chown(fd int, uid, gid uint32) error {
	real := func(id uint32) int {
		if id == keep {
			return -1
		}
		return 0
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	if st.Dev != s.rootDev && !s.volatile(&st) {
		return nil // a pipe, a socket, a device of the host: owned by nobody here
	}
	if err := unix.Fchownat(fd, "", real(uid), real(gid), unix.AT_EMPTY_PATH); err != nil {
		return err
	}
	if uid == keep && gid == keep {
		return nil
	}
	if !attributable(st.Mode) {
		s.holdOwner(fd, &st, uid, gid)
		return nil
	}
	old, err := fileOwner(fd)
	if err != nil {
		return err
	}
	err = unix.Setxattr(fdPath(fd), ownerXattr, []byte(old.change(uid, gid).String()), 0)
	if st.Dev != s.rootDev && errors.Is(err, unix.ENOTSUP) {
		return nil // /tmp of a kernel without attributes in tmpfs; it is not kept
	}
	return err
}

// volatile reports whether the inode is in one of the sandbox's own memory
// file systems and not a device, pipe or socket.
func (s *supervisor) volatile(st *unix.Stat_t) bool {
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG, unix.S_IFDIR:
		return true
	}
	return false
}

// attributable reports whether an inode of the mode can have user attributes.
func attributable(mode uint32) bool {
	return mode&unix.S_IFMT == unix.S_IFREG || mode&unix.S_IFMT == unix.S_IFDIR
}

// holdOwner records the owner of an inode that can have no attributes.
func (s *supervisor) holdOwner(fd int, st *unix.Stat_t, uid, gid uint32) {
	const maxHeld = 2048 // below the limit of open files
	s.mu.Lock()
	defer s.mu.Unlock()
	old, known := s.owners[st.Ino]
	s.owners[st.Ino] = old.change(uid, gid)
	if known || len(s.held) >= maxHeld {
		return
	}
	if dup, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0); err == nil {
		s.held = append(s.held, dup)
	}
}

func (s *supervisor) holdsOwners() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.owners) > 0
}

func (s *supervisor) heldOwner(ino uint64) (owner, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o, ok := s.owners[ino]
	return o, ok
}

// fdPath names an open file, also one opened with O_PATH.
func fdPath(fd int) string { return fmt.Sprintf("/proc/self/fd/%d", fd) }

// fileOwner gives what is recorded, root when nothing is.
func fileOwner(fd int) (owner, error) {
	var buf [64]byte
	n, err := unix.Getxattr(fdPath(fd), ownerXattr, buf[:])
	if errors.Is(err, unix.ENODATA) || errors.Is(err, unix.ENOTSUP) {
		return owner{}, nil
	}
	if err != nil {
		return owner{}, err
	}
	return parseOwner(string(buf[:n]))
}
