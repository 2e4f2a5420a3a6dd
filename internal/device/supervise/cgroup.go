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

// open gives the directory for Launch.Cgroup, or nil.
func (g group) open() *os.File {
	if g.dir == "" {
		return nil
	}
	f, err := os.Open(g.dir)
	if err != nil {
		return nil
	}
	return f
}

// kill ends every process of the service at once. leader is a process that
// leads the service's session, or 0.
func (g group) kill(leader int) {
	if leader > 1 {
		_ = unix.Kill(-leader, unix.SIGKILL) // ended already: nothing to do
	}
	if g.dir == "" {
		return
	}
	if os.WriteFile(filepath.Join(g.dir, "cgroup.kill"), []byte("1"), 0) == nil {
		return
	}
	for _, pid := range g.pids() { // kernels before 5.14
		_ = unix.Kill(pid, unix.SIGKILL)
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

// awaitEmpty waits until no process is left, for as long as most.
func (g group) awaitEmpty(most time.Duration) error {
	const step = 10 * time.Millisecond
	for waited := time.Duration(0); len(g.pids()) > 0; waited += step {
		if waited >= most {
			return fmt.Errorf("end processes: %d are left", len(g.pids()))
		}
		time.Sleep(step)
	}
	return nil
}
