package sandbox

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// What happens to a system call that is not simply allowed.
const (
	allow     = unix.SECCOMP_RET_ALLOW
	succeed   = unix.SECCOMP_RET_ERRNO // errno 0: nothing is done, 0 is returned
	supervise = unix.SECCOMP_RET_USER_NOTIF
	deny      = unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)
	lack      = unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)
)

// A rule is for one system call. deviceMode is for mknod: the index, plus one,
// of the argument that holds the mode; the rule is for devices only.
type rule struct {
	nr         uint32
	action     uint32
	deviceMode int
}

// commonRules are for calls that every architecture has; archRules adds the
// older forms.
func commonRules() []rule {
	var rules []rule
	add := func(action uint32, numbers ...uint32) {
		for _, nr := range numbers {
			rules = append(rules, rule{nr: nr, action: action})
		}
	}
	// What is asked most stands first.
	add(supervise, unix.SYS_NEWFSTATAT, unix.SYS_STATX, unix.SYS_FSTAT, unix.SYS_FCHOWN, unix.SYS_FCHOWNAT)
	add(supervise, unix.SYS_CHROOT)
	// Nothing of a build needs to survive a power cut.
	add(succeed, unix.SYS_FSYNC, unix.SYS_FDATASYNC, unix.SYS_SYNC, unix.SYS_SYNCFS, unix.SYS_SYNC_FILE_RANGE, unix.SYS_MSYNC)
	// The namespace has one uid.
	add(succeed, unix.SYS_SETUID, unix.SYS_SETGID, unix.SYS_SETREUID, unix.SYS_SETREGID, unix.SYS_SETRESUID,
		unix.SYS_SETRESGID, unix.SYS_SETGROUPS, unix.SYS_SETFSUID, unix.SYS_SETFSGID)
	add(deny, unix.SYS_ADJTIMEX, unix.SYS_CLOCK_ADJTIME, unix.SYS_CLOCK_SETTIME, unix.SYS_SETTIMEOFDAY,
		unix.SYS_REBOOT, unix.SYS_SWAPON, unix.SYS_SWAPOFF, unix.SYS_ACCT, unix.SYS_QUOTACTL,
		unix.SYS_INIT_MODULE, unix.SYS_FINIT_MODULE, unix.SYS_DELETE_MODULE, unix.SYS_KEXEC_LOAD, unix.SYS_KEXEC_FILE_LOAD,
		unix.SYS_BPF, unix.SYS_PERF_EVENT_OPEN, unix.SYS_USERFAULTFD)
	// Key rings are the caller's. io_uring would go around this filter.
	add(lack, unix.SYS_KEYCTL, unix.SYS_ADD_KEY, unix.SYS_REQUEST_KEY,
		unix.SYS_IO_URING_SETUP, unix.SYS_IO_URING_ENTER, unix.SYS_IO_URING_REGISTER)
	return append(rules, rule{nr: unix.SYS_MKNODAT, action: supervise, deviceMode: 3})
}

// Offsets in struct seccomp_data (linux/seccomp.h), in bytes. Arguments are 64
// bits wide, little-endian on what we run on: the low half comes first.
const (
	dataNr   = 0
	dataArch = 4
	dataArgs = 16
)

// assemble makes the program: another architecture's call kills the process
// (it would go around the table), the rules come in order, the rest is allowed.
func assemble(arch uint32, foreign uint32, rules []rule) []unix.SockFilter {
	load := func(offset uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: offset}
	}
	ret := func(k uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: k}
	}
	equal := func(k uint32, yes, no uint8) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: k, Jt: yes, Jf: no}
	}
	prog := []unix.SockFilter{
		load(dataArch), equal(arch, 1, 0), ret(unix.SECCOMP_RET_KILL_PROCESS),
		load(dataNr),
	}
	if foreign != 0 {
		prog = append(prog, unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K, K: foreign, Jt: 0, Jf: 1}, ret(lack))
	}
	for _, r := range rules {
		if r.deviceMode == 0 {
			prog = append(prog, equal(r.nr, 0, 1), ret(r.action))
			continue
		}
		prog = append(prog,
			equal(r.nr, 0, 6),
			load(dataArgs+8*uint32(r.deviceMode-1)),
			unix.SockFilter{Code: unix.BPF_ALU | unix.BPF_AND | unix.BPF_K, K: unix.S_IFMT},
			equal(unix.S_IFCHR, 1, 0),
			equal(unix.S_IFBLK, 0, 1),
			ret(r.action),
			ret(allow),
		)
	}
	return append(prog, ret(allow))
}

// installFilter puts the calling thread, and what it starts, under the filter
// and gives the descriptor that supervised calls are read from.
func installFilter() (int, error) {
	prog := assemble(auditArch, foreignBit, append(archRules(), commonRules()...))
	fprog := unix.SockFprog{Len: uint16(len(prog)), Filter: &prog[0]}
	const plain = unix.SECCOMP_FILTER_FLAG_NEW_LISTENER
	// A call that the supervisor has begun is not interrupted by signals, or it
	// would be done twice (Linux 5.19).
	for _, flags := range []uintptr{plain | unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, plain} {
		fd, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, flags, uintptr(unsafe.Pointer(&fprog)))
		if errno == 0 {
			unix.CloseOnExec(int(fd))
			return int(fd), nil
		}
		if errno != unix.EINVAL || flags == plain {
			return -1, fmt.Errorf("install seccomp filter: %w", errno)
		}
	}
	return -1, unix.EINVAL
}
