package sandbox

import (
	"bytes"
	"testing"

	"golang.org/x/sys/unix"
)

func FuzzOwner(f *testing.F) {
	for _, s := range []string{"0:0", "1:4294967295", "4294967296:0", "-1:0", "01:2", "1", "", "c:1:3", "b:8:0", "x:1:2", "c:1", "+1:2"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if o, err := parseOwner(s); err == nil && o.String() != s {
			t.Errorf("%q became %q", s, o)
		}
		if d, err := parseDevice(s); err == nil && d.String() != s {
			t.Errorf("%q became %q", s, d)
		}
	})
}

func FuzzCapability(f *testing.F) {
	v2 := append([]byte{1, 0, 0, 2}, make([]byte, 16)...)
	v3 := append([]byte{1, 0, 0, 3}, make([]byte, 20)...)
	for _, s := range [][]byte{nil, v2, v3, v2[:12], v3[:20]} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, value []byte) {
		plain, err := plainCapability(value)
		if err != nil {
			return
		}
		again, err := plainCapability(plain)
		if err != nil || !bytes.Equal(plain, again) || len(plain) != capRevision2Bytes || !bytes.Equal(plain[4:], value[4:20]) {
			t.Errorf("%x became %x, then %x, %v", value, plain, again, err)
		}
	})
}

// evaluate is the kernel's interpreter as far as our program needs it.
func evaluate(t *testing.T, prog []unix.SockFilter, data map[uint32]uint32) uint32 {
	t.Helper()
	var a uint32
	for pc := 0; pc < len(prog); pc++ {
		i := prog[pc]
		jump := func(yes bool) {
			if yes {
				pc += int(i.Jt)
			} else {
				pc += int(i.Jf)
			}
		}
		switch i.Code {
		case unix.BPF_LD | unix.BPF_W | unix.BPF_ABS:
			a = data[i.K]
		case unix.BPF_ALU | unix.BPF_AND | unix.BPF_K:
			a &= i.K
		case unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K:
			jump(a == i.K)
		case unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K:
			jump(a&i.K != 0)
		case unix.BPF_RET | unix.BPF_K:
			return i.K
		default:
			t.Fatalf("instruction %#x", i.Code)
		}
	}
	t.Fatal("ran off the end")
	return 0
}

func TestFilter(t *testing.T) {
	const amd64, x32 = unix.AUDIT_ARCH_X86_64, 0x40000000
	rules := append(archRules(), commonRules()...)
	prog := assemble(amd64, x32, rules)
	for _, c := range []struct {
		name           string
		arch, nr, arg3 uint32
		want           uint32
	}{
		{"getpid", amd64, unix.SYS_GETPID, 0, allow},
		{"getpid of i386", unix.AUDIT_ARCH_I386, unix.SYS_GETPID, 0, unix.SECCOMP_RET_KILL_PROCESS},
		{"getpid of x32", amd64, unix.SYS_GETPID | x32, 0, lack},
		{"fsync", amd64, unix.SYS_FSYNC, 0, succeed},
		{"setresuid", amd64, unix.SYS_SETRESUID, 0, succeed},
		{"fchownat", amd64, unix.SYS_FCHOWNAT, 0, supervise},
		{"mknodat of a device", amd64, unix.SYS_MKNODAT, unix.S_IFCHR | 0o644, supervise},
		{"mknodat of a disk", amd64, unix.SYS_MKNODAT, unix.S_IFBLK, supervise},
		{"mknodat of a fifo", amd64, unix.SYS_MKNODAT, unix.S_IFIFO | 0o644, allow},
		{"mknodat of a socket", amd64, unix.SYS_MKNODAT, unix.S_IFSOCK, allow},
		{"mknodat of a file", amd64, unix.SYS_MKNODAT, 0o644, allow},
		{"settimeofday", amd64, unix.SYS_SETTIMEOFDAY, 0, deny},
	} {
		if got := evaluate(t, prog, map[uint32]uint32{dataNr: c.nr, dataArch: c.arch, dataArgs + 16: c.arg3}); got != c.want {
			t.Errorf("%s: %#x, want %#x", c.name, got, c.want)
		}
	}
	for _, r := range rules {
		if c, ok := decode(int32(r.nr), [6]uint64{}); r.action == supervise && (!ok || c.kind == 0) {
			t.Errorf("call %d is supervised and not known", r.nr)
		}
	}
}

func TestHints(t *testing.T) {
	for _, c := range []struct{ step, key, value, want string }{
		{"make a user namespace", "kernel.unprivileged_userns_clone", "0", "sysctl -w kernel.unprivileged_userns_clone=1"},
		{"mount overlay", "kernel.apparmor_restrict_unprivileged_userns", "1", "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"},
		{"mount proc", "", "", "systempaths=unconfined"},
		{"mount overlay", "", "", "Linux 5.11"},
		{"make a user namespace", "", "", "seccomp=unconfined"},
	} {
		list := hints(c.step, func(name string) string {
			if name == c.key {
				return c.value
			}
			return ""
		})
		if len(list) == 0 || !bytes.Contains([]byte(list[0]), []byte(c.want)) {
			t.Errorf("%s with %s=%s: %q", c.step, c.key, c.value, list)
		}
	}
}
