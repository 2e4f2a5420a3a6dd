package supervise

import (
	"errors"
	"fmt"
	"os"
	ossignal "os/signal"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"ashlar/internal/device/account"
)

// Exit is how a process ended.
type Exit struct{ Status syscall.WaitStatus }

// OK reports an end with status 0.
func (e Exit) OK() bool { return e.Status.Exited() && e.Status.ExitStatus() == 0 }

// Clean reports an end with status 0 or by a signal that asks to end.
func (e Exit) Clean() bool {
	if e.Status.Signaled() {
		switch e.Status.Signal() {
		case unix.SIGTERM, unix.SIGINT, unix.SIGHUP, unix.SIGPIPE:
			return true
		}
	}
	return e.OK()
}

// String says it as the os package does: "exit status 1", "signal: killed".
func (e Exit) String() string {
	if e.Status.Signaled() {
		return "signal: " + e.Status.Signal().String()
	}
	return fmt.Sprintf("exit status %d", e.Status.ExitStatus())
}

// Launch says how a process is to be started.
type Launch struct {
	Path     string // of the program
	Argv     []string
	Env      []string
	Dir      string
	Identity account.Identity
	Output   *os.File // standard output and error
	Cgroup   *os.File // directory of the control group; nil: the parent's
}

// Process is a started process.
type Process struct {
	PID  int
	Done <-chan Exit // gives the end, once
}

// Launcher starts processes. Reaper is the one of a machine.
type Launcher interface {
	Launch(Launch) (Process, error)
	// Adopt waits for a process that this one did not start but inherits.
	Adopt(pid int) Process
}

// Reaper starts processes and collects every child that ends, its own and
// the orphans that PID 1 inherits. All children of the process must be started
// through it.
type Reaper struct {
	mu      sync.Mutex // held from fork until the pid is known: no end is missed
	waiting map[int]chan Exit
	signals chan os.Signal
	stop    chan struct{}
}

// NewReaper starts reaping.
func NewReaper() *Reaper {
	r := &Reaper{waiting: map[int]chan Exit{}, signals: make(chan os.Signal, 1), stop: make(chan struct{})}
	ossignal.Notify(r.signals, unix.SIGCHLD)
	go r.loop()
	return r
}

// Close ends the reaping.
func (r *Reaper) Close() {
	ossignal.Stop(r.signals)
	close(r.stop)
}

func (r *Reaper) loop() {
	for {
		select {
		case <-r.signals:
			for r.reapOne() {
			}
		case <-r.stop:
			return
		}
	}
}

func (r *Reaper) reapOne() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	var status syscall.WaitStatus
	pid, err := syscall.Wait4(-1, &status, syscall.WNOHANG, nil)
	if errors.Is(err, syscall.EINTR) {
		return true
	}
	if err != nil || pid <= 0 {
		return false
	}
	if done, ok := r.waiting[pid]; ok {
		delete(r.waiting, pid)
		done <- Exit{status}
	}
	return true
}

// Launch implements Launcher. The process leads a session of its own and has
// /dev/null for input.
func (r *Reaper) Launch(l Launch) (Process, error) {
	null, err := os.Open("/dev/null")
	if err != nil {
		return Process{}, fmt.Errorf("start %s: %w", l.Path, err)
	}
	defer null.Close()
	attr := &syscall.ProcAttr{
		Dir:   l.Dir,
		Env:   l.Env,
		Files: []uintptr{null.Fd(), l.Output.Fd(), l.Output.Fd()},
		Sys:   &syscall.SysProcAttr{Setsid: true},
	}
	if os.Geteuid() == 0 {
		attr.Sys.Credential = &syscall.Credential{Uid: l.Identity.UID, Gid: l.Identity.GID, Groups: l.Identity.Groups}
	}
	if l.Cgroup != nil {
		attr.Sys.UseCgroupFD = true
		attr.Sys.CgroupFD = int(l.Cgroup.Fd())
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	pid, err := syscall.ForkExec(l.Path, l.Argv, attr)
	if err != nil {
		return Process{}, fmt.Errorf("start %s: %w", l.Path, err)
	}
	return r.watch(pid), nil
}

// Adopt implements Launcher.
func (r *Reaper) Adopt(pid int) Process {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.watch(pid)
}

func (r *Reaper) watch(pid int) Process {
	done := make(chan Exit, 1)
	r.waiting[pid] = done
	return Process{PID: pid, Done: done}
}
