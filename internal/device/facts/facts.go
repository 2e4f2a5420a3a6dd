// Package facts gathers what a machine can say of itself whatever its init.
package facts

import (
	"net"
	"os"
	"sort"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"ashlar/internal/contract/control"
	"ashlar/internal/contract/layout"
)

// Gather fills in all of a Status that the kernel and files tell; the rest is
// the init's. What cannot be read stays empty.
func Gather() control.Status {
	var st control.Status
	if name, err := os.Hostname(); err == nil {
		st.Hostname = name
	}
	st.BootID = word("/proc/sys/kernel/random/boot_id")
	st.MachineID = word("/etc/machine-id")
	uptime, _, _ := strings.Cut(word("/proc/uptime"), " ")
	if seconds, err := strconv.ParseFloat(uptime, 64); err == nil {
		st.Uptime = seconds
	}
	if text, err := os.ReadFile("/proc/meminfo"); err == nil {
		st.MemTotal, st.MemAvail = parseMeminfo(string(text))
	}
	st.StateBytes = stateBytes(layout.StateMount)
	st.Addresses = addresses()
	return st
}

func word(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}

// parseMeminfo reads /proc/meminfo, whose values are in KiB.
func parseMeminfo(text string) (total, available int64) {
	for _, line := range strings.Split(text, "\n") {
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		n, err := strconv.ParseInt(fields[1], 10, 53)
		if err != nil {
			continue
		}
		switch fields[0] {
		case "MemTotal:":
			total = n << 10
		case "MemAvailable:":
			available = n << 10
		}
	}
	return total, available
}

// stateBytes is the size of the state file system, 0 when it is volatile.
func stateBytes(dir string) int64 {
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil || fs.Type == unix.TMPFS_MAGIC {
		return 0
	}
	return int64(fs.Blocks) * fs.Bsize
}

// addresses lists the machine's addresses that others may reach.
func addresses() []string {
	all, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	var out []string
	for _, a := range all {
		if n, ok := a.(*net.IPNet); ok && n.IP.IsGlobalUnicast() {
			out = append(out, n.String())
		}
	}
	sort.Strings(out)
	return out
}
