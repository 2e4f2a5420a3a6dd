package sandbox

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// A command is one that init is to start.
type command struct {
	args  *runArgs
	path  string
	files []*os.File
	done  chan reply
}

type filterResult struct {
	fd  int
	err error
}

// run starts a command, waits for it and ends all that it left.
func (p *initProcess) run(req *request, files []*os.File) reply {
	defer func() { _ = closeFiles(files) }()
	if req.Run == nil || len(req.Run.Args) == 0 || len(files) != 3 {
		return reply{Err: toWire("run", "", unix.EINVAL)}
	}
	path, err := lookPath(req.Run)
	if err != nil {
		return reply{Err: toWire("run", req.Run.Args[0], err)}
	}
	c := &command{args: req.Run, path: path, files: files, done: make(chan reply)}
	p.commands <- c
	return <-c.done
}

// lookPath finds the program as execvp(3) does.
func lookPath(r *runArgs) (string, error) {
	name := r.Args[0]
	if strings.Contains(name, "/") {
		return name, nil
	}
	var denied error = unix.ENOENT
	for _, kv := range r.Env {
		list, ok := strings.CutPrefix(kv, "PATH=")
		if !ok {
			continue
		}
		for _, dir := range filepath.SplitList(list) {
			path := filepath.Join(dir, name)
			info, err := os.Stat(path)
			if err != nil || info.IsDir() {
				continue
			}
			if info.Mode()&0o111 != 0 {
				return path, nil
			}
			denied = unix.EACCES
		}
	}
	return "", &fs.PathError{Op: "run", Path: name, Err: denied}
}

// keptCapabilities are what maintainer scripts may need inside their root.
// Without the rest they cannot mount, trace init or change the network.
var keptCapabilities = [...]int{
	unix.CAP_CHOWN, unix.CAP_DAC_OVERRIDE, unix.CAP_DAC_READ_SEARCH, unix.CAP_FOWNER, unix.CAP_FSETID,
	unix.CAP_KILL, unix.CAP_SETGID, unix.CAP_SETUID, unix.CAP_SETPCAP, unix.CAP_SETFCAP, unix.CAP_SYS_CHROOT,
	unix.CAP_AUDIT_WRITE,
}

// startCommands is a thread that has the filter and few capabilities, both of
// which commands inherit. Init's other threads keep theirs. It must not be the
// first thread: /proc/1 would show it, and with it the files of init, to
// processes that have the same capabilities.
func (p *initProcess) startCommands(ready chan<- filterResult) {
	runtime.LockOSThread()
	if unix.Gettid() == unix.Getpid() {
		go p.startCommands(ready)
		select {}
	}
	fd, err := installFilter()
	if err == nil {
		err = dropCapabilities()
	}
	ready <- filterResult{fd, err}
	for c := range p.commands {
		c.done <- p.start1(c)
	}
}

// dropCapabilities takes capabilities from what this thread executes.
func dropCapabilities() error {
	keep := map[int]bool{}
	for _, c := range keptCapabilities {
		keep[c] = true
	}
	for c := 0; c <= 63; c++ {
		if keep[c] {
			continue
		}
		err := unix.Prctl(unix.PR_CAPBSET_DROP, uintptr(c), 0, 0, 0)
		if errors.Is(err, unix.EINVAL) {
			return nil // the kernel's last one was before
		}
		if err != nil {
			return fmt.Errorf("drop capability %d: %w", c, err)
		}
	}
	return nil
}

// start1 runs a command on the calling thread.
func (p *initProcess) start1(c *command) reply {
	dir := c.args.Dir
	if dir == "" {
		dir = "/"
	}
	fds := make([]uintptr, len(c.files))
	for i, f := range c.files {
		fds[i] = f.Fd()
	}
	pid, err := syscall.ForkExec(c.path, c.args.Args, &syscall.ProcAttr{
		Dir: dir, Env: c.args.Env, Files: fds, Sys: &syscall.SysProcAttr{Setsid: true},
	})
	_ = closeFiles(c.files)
	if err != nil {
		return reply{Err: toWire("run", c.path, err)}
	}
	if p.killed.Load() == c.args.Serial { // the order came before there was whom to kill
		killAll()
	}
	return reply{Status: waitAll(pid)}
}

// waitAll waits for the process, reaping what else ends; then kills the rest.
func waitAll(pid int) *exitStatus {
	var status exitStatus
	for {
		var ws unix.WaitStatus
		got, err := unix.Wait4(-1, &ws, 0, nil)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil { // ECHILD: none left
			return &status
		}
		if got != pid {
			continue
		}
		if ws.Signaled() {
			status.Signal = int(ws.Signal())
		} else {
			status.Code = ws.ExitStatus()
		}
		// Once is enough: a fork under way fails or its child gets the signal too.
		killAll()
	}
}

// killAll ends every process of the sandbox but init. It must never run where
// it would reach others.
func killAll() {
	if os.Getpid() == 1 && IsChild() {
		_ = unix.Kill(-1, unix.SIGKILL)
	}
}
