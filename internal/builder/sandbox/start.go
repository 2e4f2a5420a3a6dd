package sandbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// childName is argv[0] of the init process.
const childName = "ashlar-sandbox-init"

// The files init inherits.
const (
	runFD = 3 + iota
	filesFD
	lockFD
)

// IsChild reports whether this process was started to be a sandbox's init. The
// program's main function asks first of all, and then exits with ChildMain.
func IsChild() bool { return len(os.Args) > 0 && os.Args[0] == childName }

const namespaces = unix.CLONE_NEWUSER | unix.CLONE_NEWNS | unix.CLONE_NEWPID |
	unix.CLONE_NEWNET | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC

// start makes the init process and waits until the root is ready.
func (s *Sandbox) start(ctx context.Context, p *plan) error {
	s.stderr = &tailWriter{next: s.log}
	err := s.spawn(namespaces | unix.CLONE_NEWCGROUP)
	if errors.Is(err, unix.EINVAL) { // a kernel without control groups
		err = s.spawn(namespaces)
	}
	if err != nil {
		return refused("make a user namespace", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = s.cmd.Process.Kill() })
	defer stop()
	var r reply
	err = s.run.send(request{Op: "start", Start: p})
	if err == nil {
		_, err = s.run.recv(&r)
	}
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		return s.initDied(err)
	case r.Err != nil:
		return refused(r.Err.Op+" "+r.Err.Path, r.Err.cause())
	}
	return nil
}

// spawn starts this program again in new namespaces.
func (s *Sandbox) spawn(flags uintptr) error {
	runHere, runThere, err := socketPair()
	if err != nil {
		return err
	}
	filesHere, filesThere, err := socketPair()
	if err != nil {
		return errors.Join(err, runHere.Close(), runThere.Close())
	}
	s.cmd = &exec.Cmd{
		Path:       "/proc/self/exe",
		Args:       []string{childName},
		Env:        []string{"GOTRACEBACK=single"},
		Dir:        s.dir,
		Stderr:     s.stderr,
		ExtraFiles: []*os.File{runThere, filesThere, s.lock},
		SysProcAttr: &syscall.SysProcAttr{
			Cloneflags:  flags,
			UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}},
			Setsid:      true,
		},
	}
	err = s.cmd.Start()
	err = errors.Join(err, runThere.Close(), filesThere.Close())
	if err != nil {
		s.cmd = nil
		return errors.Join(err, runHere.Close(), filesHere.Close())
	}
	go func() {
		_ = s.cmd.Wait() // its end is seen on the sockets
		close(s.waited)
	}()
	s.run, err = newConn(runHere)
	if err == nil {
		s.files, err = newConn(filesHere)
	}
	return err
}

// stop ends init, and with it everything in its pid namespace.
func (s *Sandbox) stop() {
	for _, c := range []*conn{s.run, s.files} {
		if c != nil {
			_ = c.sock.Close()
		}
	}
	if s.cmd != nil {
		_ = s.cmd.Process.Kill()
		<-s.waited
	}
}

// initDied explains a broken socket by what init said last.
func (s *Sandbox) initDied(err error) error {
	select {
	case <-s.waited:
	case <-time.After(time.Second):
	}
	return fmt.Errorf("sandbox init ended: %w: %s", err, s.stderr.tail())
}

// refused tells what to do when the kernel does not allow what sandboxes need.
func refused(step string, err error) error {
	if !errors.Is(err, unix.EPERM) && !errors.Is(err, unix.EACCES) && !errors.Is(err, unix.ENOSPC) &&
		!errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENODEV) && !errors.Is(err, unix.ENOSYS) && !errors.Is(err, unix.EUSERS) {
		return fmt.Errorf("%s: %w", step, err)
	}
	return &RefusedError{Step: step, Err: err, Hints: hints(step, readSysctl)}
}

// RefusedError says that the kernel denies what a sandbox is made of.
type RefusedError struct {
	Step  string   // what was tried
	Err   error    // the kernel's answer
	Hints []string // what to do, each a sentence
}

func (e *RefusedError) Error() string {
	return fmt.Sprintf("%s: %v: this system does not let programs run apart from it\n  %s", e.Step, e.Err, strings.Join(e.Hints, "\n  "))
}

func (e *RefusedError) Unwrap() error { return e.Err }

func readSysctl(name string) string {
	data, err := os.ReadFile("/proc/sys/" + strings.ReplaceAll(name, ".", "/"))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(data))
}

// hints gives the likely causes: those that settings show, else all.
func hints(step string, sysctl func(string) string) []string {
	var list []string
	if sysctl("kernel.unprivileged_userns_clone") == "0" {
		list = append(list, "kernel.unprivileged_userns_clone is 0; allow it: sysctl -w kernel.unprivileged_userns_clone=1")
	}
	if sysctl("user.max_user_namespaces") == "0" {
		list = append(list, "user.max_user_namespaces is 0; allow some: sysctl -w user.max_user_namespaces=15000")
	}
	if sysctl("kernel.apparmor_restrict_unprivileged_userns") == "1" {
		list = append(list, "kernel.apparmor_restrict_unprivileged_userns is 1; allow them: sysctl -w kernel.apparmor_restrict_unprivileged_userns=0, or give ashlar an AppArmor profile with \"userns,\"")
	}
	if len(list) > 0 {
		return list
	}
	switch {
	case strings.HasPrefix(step, "mount proc"), strings.HasPrefix(step, "mask proc"):
		list = append(list, "a new /proc may be mounted only where the present one is not masked; in a container: --security-opt systempaths=unconfined (Docker), --security-opt unmask=ALL (Podman)")
	case strings.HasPrefix(step, "mount overlay"):
		list = append(list, "an overlay in a user namespace needs Linux 5.11 and a work directory that is not on an overlay, NFS or 9p itself; in a container put the cache on a volume")
	}
	return append(list, "in a container: its seccomp profile must allow clone and mount in user namespaces: --security-opt seccomp=unconfined --security-opt apparmor=unconfined")
}

// tailWriter passes on and keeps the end for error messages.
type tailWriter struct {
	mu   sync.Mutex
	next io.Writer
	last []byte
}

func (w *tailWriter) Write(p []byte) (int, error) {
	const keepBytes = 4096
	w.mu.Lock()
	defer w.mu.Unlock()
	w.last = append(w.last, p...)
	if len(w.last) > keepBytes {
		w.last = append([]byte(nil), w.last[len(w.last)-keepBytes:]...)
	}
	if w.next != nil {
		return w.next.Write(p)
	}
	return len(p), nil
}

func (w *tailWriter) tail() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return string(bytes.TrimSpace(w.last))
}

// syncWriter lets several goroutines write.
type syncWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func lockedWriter(w io.Writer) io.Writer {
	if w == nil {
		return io.Discard
	}
	return &syncWriter{w: w}
}

func (s *syncWriter) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.w.Write(p)
}
