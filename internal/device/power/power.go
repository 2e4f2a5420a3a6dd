// Package power ends a running machine: it listens to the power button, ends
// all processes, unmounts what is kept, and asks the kernel to go down.
package power

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Action is how a machine goes down.
type Action int

// The actions.
const (
	Off Action = iota + 1
	Reboot
)

// String names the action as the console shows it.
func (a Action) String() string {
	if a == Reboot {
		return "reboot"
	}
	return "power off"
}

// KillAll asks every process but this one to end, and makes those that have
// not after grace. Only PID 1 may call it; it must be reaping meanwhile.
func KillAll(grace time.Duration) {
	if os.Getpid() != 1 {
		return
	}
	if unix.Kill(-1, unix.SIGTERM) != nil {
		return // nobody is left
	}
	_ = unix.Kill(-1, unix.SIGCONT) // a stopped process must hear it
	if awaitNobody(grace) {
		return
	}
	_ = unix.Kill(-1, unix.SIGKILL) // gone meanwhile: as wanted
	awaitNobody(grace)
}

// awaitNobody waits until this is the only process, for as long as most.
func awaitNobody(most time.Duration) bool {
	const step = 20 * time.Millisecond
	for waited := time.Duration(0); ; waited += step {
		if others("/proc") == 0 {
			return true
		}
		if waited >= most {
			return false
		}
		time.Sleep(step)
	}
}

// others counts the processes besides PID 1 and the kernel's threads, which
// are PID 2 and its children.
func others(proc string) int {
	entries, err := os.ReadDir(proc)
	if err != nil {
		return 0
	}
	n := 0
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil || pid <= 2 {
			continue
		}
		text, err := os.ReadFile(filepath.Join(proc, entry.Name(), "stat"))
		if err != nil {
			continue // ended meanwhile
		}
		// PID (NAME) STATE PPID …, and the name may hold anything.
		_, rest, _ := strings.Cut(string(text[strings.LastIndexByte(string(text), ')')+1:]), " ")
		if f := strings.Fields(rest); len(f) >= 2 && f[1] != "2" {
			n++
		}
	}
	return n
}

// Unmount takes every mount of the device that holds dir away, dir last. What
// is still in use becomes read-only, which flushes it and leaves a clean
// journal as well.
func Unmount(dir string) error {
	unix.Sync()
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return fmt.Errorf("unmount %s: %w", dir, err)
	}
	var busy []error
	for _, target := range sameDevice(string(mounts), dir) {
		err := unix.Unmount(target, unix.UMOUNT_NOFOLLOW)
		if err == nil {
			continue
		}
		busy = append(busy, fmt.Errorf("unmount %s: %w", target, err))
		if target == dir {
			err := unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, "")
			if err == nil {
				return nil
			}
			busy = append(busy, fmt.Errorf("make %s read-only: %w", dir, err))
			break
		}
		_ = unix.Unmount(target, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW) // busy already says why
	}
	if len(sameDeviceNow(dir)) == 0 {
		return nil
	}
	return errors.Join(busy...)
}

func sameDeviceNow(dir string) []string {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil
	}
	return sameDevice(string(mounts), dir)
}

// sameDevice lists the mount points with the device of the mount at dir, the
// last mounted first and dir itself at the end. Format: proc_pid_mountinfo(5).
func sameDevice(mountinfo, dir string) []string {
	type point struct{ device, target string }
	var points []point
	device := ""
	for _, line := range strings.Split(mountinfo, "\n") {
		f := strings.Fields(line)
		if len(f) < 5 {
			continue
		}
		p := point{f[2], unescape(f[4])}
		if p.target == dir {
			device = p.device
		}
		points = append(points, p)
	}
	var out []string
	for i := len(points) - 1; i >= 0; i-- {
		if device != "" && points[i].device == device {
			out = append(out, points[i].target)
		}
	}
	sort.SliceStable(out, func(i, j int) bool { return out[i] != dir && out[j] == dir })
	return out
}

// unescape undoes the octal escapes of space, tab, newline and backslash.
func unescape(s string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}

// Down flushes everything and asks the kernel; it returns only when refused.
func Down(a Action) error {
	unix.Sync()
	command := unix.LINUX_REBOOT_CMD_POWER_OFF
	if a == Reboot {
		command = unix.LINUX_REBOOT_CMD_RESTART
	}
	if err := unix.Reboot(command); err != nil {
		return fmt.Errorf("%s: %w", a, err)
	}
	return nil
}
