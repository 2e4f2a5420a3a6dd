package supervise

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// group is the control group of one service (cgroup v2). With an empty dir
// there is none, and a process group takes its place.
type group struct{ dir string }

// makeGroup makes the group NAME below root; without a root, or where the
// kernel refuses, there is none.
func makeGroup(root, name string) group {
	if root == "" {
		return group{}
	}
	dir := filepath.Join(root, name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return group{}
	}
	if _, err := os.Stat(filepath.Join(dir, "cgroup.procs")); err != nil {
		return group{}
	}
	return group{dir: dir}
}

// renew gives an empty group again and opens it for Launch.Cgroup. Kernels up
// to 6.12 at least kill what is started into a group that was ever told to kill
// (clone3 compares the group's count of kills with that of the parent's group),
// so a group serves once.
func (g group) renew() *os.File {
	if g.dir == "" {
		return nil
	}
	removeGroups(g.dir)
	if err := os.MkdirAll(g.dir, 0o755); err != nil {
		return nil
	}
	f, err := os.Open(g.dir)
	if err != nil {
		return nil
	}
	return f
}

// removeGroups removes a group and those that the service made below it; one
// that still has processes stays.
func removeGroups(dir string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, entry := range entries {
		if entry.IsDir() {
			removeGroups(filepath.Join(dir, entry.Name()))
		}
	}
	_ = unix.Rmdir(dir) // in use: stays
}

// signal sends a signal to one process. Numbers that mean more than one
// process to kill(2), and PID 1, are refused: a wrong one would reach all.
func signal(pid int, number unix.Signal) error {
	if pid <= 1 {
		return fmt.Errorf("send signal: %d is no process of a service", pid)
	}
	return unix.Kill(pid, number)
}

// kill ends every process of the service at once. leader is a process that
// leads the service's session, or 0; it counts where there is no control group.
func (g group) kill(leader int) {
	if g.dir == "" {
		if leader > 1 {
			_ = unix.Kill(-leader, unix.SIGKILL) // ended already: nothing to do
		}
		return
	}
	pids := g.pids()
	if len(pids) == 0 {
		return
	}
	if os.WriteFile(filepath.Join(g.dir, "cgroup.kill"), []byte("1"), 0) == nil {
		return
	}
	for _, pid := range pids { // kernels before 5.14
		_ = signal(pid, unix.SIGKILL) // ended already: nothing to do
	}
}

// pids lists the processes of the group.
func (g group) pids() []int {
	if g.dir == "" {
		return nil
	}
	text, err := os.ReadFile(filepath.Join(g.dir, "cgroup.procs"))
	if err != nil {
		return nil
	}
	var pids []int
	for _, field := range strings.Fields(string(text)) {
		if pid, err := strconv.Atoi(field); err == nil && pid > 0 {
			pids = append(pids, pid)
		}
	}
	return pids
}

// holds reports whether the process is in the group; without a group nobody is.
func (g group) holds(pid int) bool {
	for _, p := range g.pids() {
		if p == pid {
			return true
		}
	}
	return false
}

// end kills what is left and waits until it is gone.
func (g group) end(leader int) error {
	const step, most = 10 * time.Millisecond, 2 * time.Second
	for waited := time.Duration(0); ; waited += step {
		g.kill(leader)
		left := len(g.pids())
		if left == 0 {
			return nil
		}
		if waited >= most {
			return fmt.Errorf("end processes: %d are left", left)
		}
		time.Sleep(step)
	}
}
