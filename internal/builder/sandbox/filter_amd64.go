package sandbox

import "golang.org/x/sys/unix"

const (
	auditArch  = unix.AUDIT_ARCH_X86_64
	foreignBit = 0x40000000 // __X32_SYSCALL_BIT
)

// archRules are for calls that newer architectures lack.
func archRules() []rule {
	return []rule{
		{nr: unix.SYS_STAT, action: supervise},
		{nr: unix.SYS_LSTAT, action: supervise},
		{nr: unix.SYS_CHOWN, action: supervise},
		{nr: unix.SYS_LCHOWN, action: supervise},
		{nr: unix.SYS_MKNOD, action: supervise, deviceMode: 2},
	}
}

// legacyCall translates those calls into the form that all architectures have.
func legacyCall(nr int32, a [6]uint64) (call, bool) {
	switch nr {
	case unix.SYS_STAT:
		return call{kind: statCall, dirfd: unix.AT_FDCWD, path: a[0], out: a[1]}, true
	case unix.SYS_LSTAT:
		return call{kind: statCall, dirfd: unix.AT_FDCWD, path: a[0], out: a[1], flags: unix.AT_SYMLINK_NOFOLLOW}, true
	case unix.SYS_CHOWN:
		return call{kind: chownCall, dirfd: unix.AT_FDCWD, path: a[0], uid: uint32(a[1]), gid: uint32(a[2])}, true
	case unix.SYS_LCHOWN:
		return call{kind: chownCall, dirfd: unix.AT_FDCWD, path: a[0], uid: uint32(a[1]), gid: uint32(a[2]), flags: unix.AT_SYMLINK_NOFOLLOW}, true
	case unix.SYS_MKNOD:
		return call{kind: mknodCall, dirfd: unix.AT_FDCWD, path: a[0], mode: uint32(a[1]), dev: a[2]}, true
	}
	return call{}, false
}
