package facts

import (
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ashlar/internal/testenv"
)

func TestParseMeminfo(t *testing.T) {
	for _, c := range []struct {
		text             string
		total, available int64
	}{
		{"MemTotal:         122112 kB\nMemFree:           10 kB\nMemAvailable:      80000 kB\n", 122112 << 10, 80000 << 10},
		{"MemTotal: 5 kB", 5 << 10, 0},
		{"MemTotal:\nMemAvailable: many kB\n\n:\n", 0, 0},
		{"MemTotal: 9223372036854775807 kB\n", 0, 0}, // as bytes more than an int64
		{"", 0, 0},
	} {
		if total, available := parseMeminfo(c.text); total != c.total || available != c.available {
			t.Errorf("%q: %d and %d", c.text, total, available)
		}
	}
}

func FuzzParseMeminfo(f *testing.F) {
	f.Add("MemTotal:         122112 kB\nMemAvailable:      80000 kB\n")
	f.Add("MemTotal: -1\nMemAvailable: 0x10\n")
	f.Fuzz(func(t *testing.T, text string) {
		if total, available := parseMeminfo(text); !strings.Contains(text, "-") && (total < 0 || available < 0) {
			t.Errorf("%q: %d and %d", text, total, available)
		}
	})
}

// TestGather compares with what the kernel tells by other ways.
func TestGather(t *testing.T) {
	st := Gather()
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		t.Fatal(err)
	}
	if want := unix.ByteSliceToString(u.Nodename[:]); st.Hostname != want {
		t.Errorf("host name %q, want %q", st.Hostname, want)
	}
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err != nil {
		t.Fatal(err)
	}
	// A container may be shown less than the machine has.
	if total := int64(info.Totalram) * int64(info.Unit); st.MemTotal <= 0 || st.MemTotal > total {
		t.Errorf("%d bytes of memory, sysinfo says %d", st.MemTotal, total)
	}
	if st.MemAvail <= 0 || st.MemAvail > st.MemTotal {
		t.Errorf("%d bytes available of %d", st.MemAvail, st.MemTotal)
	}
	if late := float64(info.Uptime) + time.Minute.Seconds(); st.Uptime <= 0 || st.Uptime > late {
		t.Errorf("up %v s, sysinfo says %d", st.Uptime, info.Uptime)
	}
	const uuidLength = 36
	if len(st.BootID) != uuidLength || st.BootID != Gather().BootID {
		t.Errorf("boot id %q, then %q", st.BootID, Gather().BootID)
	}
	if !slices.IsSorted(st.Addresses) {
		t.Errorf("addresses %q", st.Addresses)
	}
	for _, text := range st.Addresses {
		if ip, _, err := net.ParseCIDR(text); err != nil || ip.IsLoopback() || ip.IsLinkLocalUnicast() {
			t.Errorf("address %q: %v", text, err)
		}
	}
}

func TestWord(t *testing.T) {
	name := t.TempDir() + "/f"
	if err := os.WriteFile(name, []byte("  one two\n\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := word(name); got != "one two" {
		t.Errorf("%q", got)
	}
	if got := word(name + "-none"); got != "" {
		t.Errorf("of no file: %q", got)
	}
}

// TestStateBytes: memory is no state.
func TestStateBytes(t *testing.T) {
	testenv.RequireRoot(t)
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=1m"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	if n := stateBytes(dir); n != 0 {
		t.Errorf("a tmpfs has %d bytes of state", n)
	}
	if n := stateBytes(dir + "/none"); n != 0 {
		t.Errorf("what is not there has %d bytes of state", n)
	}
	var fs unix.Statfs_t
	if err := unix.Statfs("/sys", &fs); err != nil || fs.Type == unix.TMPFS_MAGIC {
		t.Fatalf("no /sys: %v", err)
	}
	if n := stateBytes("/proc"); n != 0 { // of no blocks
		t.Errorf("/proc has %d bytes of state", n)
	}
}
