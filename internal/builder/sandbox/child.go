package sandbox

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// initProcess is pid 1 of the sandbox.
type initProcess struct {
	upper      int // descriptor of the upper layer
	supervisor *supervisor
	commands   chan *command
	killed     atomic.Uint64 // serial of the last command to be killed
}

// ChildMain is the main function of the init process; it gives the exit status.
func ChildMain() int {
	if err := initMain(); err != nil {
		fmt.Fprintln(os.Stderr, "sandbox init:", err)
		return 1
	}
	return 0
}

func initMain() error {
	for _, fd := range []int{runFD, filesFD, lockFD} {
		unix.CloseOnExec(fd)
	}
	run, err1 := newConn(os.NewFile(runFD, "run"))
	files, err2 := newConn(os.NewFile(filesFD, "files"))
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	var req request
	if _, err := run.recv(&req); err != nil {
		return err
	}
	if req.Start == nil {
		return fmt.Errorf("first request is %q, not start", req.Op)
	}
	p := &initProcess{commands: make(chan *command)}
	if err := p.start(req.Start); err != nil {
		return run.send(reply{Err: toWire("start", "", err)})
	}
	if err := run.send(reply{}); err != nil {
		return err
	}
	go func() {
		p.serveFiles(files)
		os.Exit(0) // the builder is gone, and with this process goes the namespace
	}()
	return p.serveRuns(run)
}

// start sets root, limits, supervisor and the thread that starts commands up.
func (p *initProcess) start(plan *plan) error {
	catchSignals()
	unix.Umask(0o022)
	var err error
	if p.upper, err = enter(plan); err != nil {
		return err
	}
	if err := setLimits(); err != nil {
		return err
	}
	if p.supervisor, err = newSupervisor(); err != nil {
		return err
	}
	if err := p.holdLowerOwners(plan.Owners); err != nil {
		return err
	}
	listener := make(chan filterResult)
	go p.startCommands(listener)
	got := <-listener
	if got.err != nil {
		return got.err
	}
	p.supervisor.listener = got.fd
	go func() {
		err := p.supervisor.serve()
		fmt.Fprintln(os.Stderr, "sandbox init: supervisor:", err)
		os.Exit(1) // or every chown would hang
	}()
	return nil
}

// catchSignals keeps programs from ending init ("telinit u", "kill 1"). The
// signals are caught, not ignored: programs would inherit that.
func catchSignals() {
	c := make(chan os.Signal, 1)
	signal.Notify(c, unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGUSR1, unix.SIGUSR2, unix.SIGALRM, unix.SIGTERM,
		unix.SIGPWR, unix.SIGWINCH, unix.SIGTSTP, unix.SIGTTIN, unix.SIGTTOU)
	go func() {
		for range c { // dropped
		}
	}()
}

// setLimits gives every program the same limits, as far as the caller's allow.
func setLimits() error {
	for resource, want := range map[int]uint64{
		unix.RLIMIT_NOFILE: 4096,
		unix.RLIMIT_CORE:   0,
		unix.RLIMIT_STACK:  8 << 20,
	} {
		var now unix.Rlimit
		if err := unix.Getrlimit(resource, &now); err != nil {
			return fmt.Errorf("get limit: %w", err)
		}
		now.Cur = min(want, now.Max)
		if resource == unix.RLIMIT_NOFILE {
			now.Max = now.Cur
		}
		if err := unix.Setrlimit(resource, &now); err != nil {
			return fmt.Errorf("set limit: %w", err)
		}
	}
	return nil
}

// holdLowerOwners records owners that the lower layer's inodes cannot carry.
func (p *initProcess) holdLowerOwners(list []pathOwner) error {
	for _, o := range list {
		fd, err := unix.Open("/"+o.Path, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err != nil {
			continue // below a mount point: not seen
		}
		var st unix.Stat_t
		err = unix.Fstat(fd, &st)
		if err == nil && st.Dev == p.supervisor.rootDev {
			p.supervisor.owners[st.Ino] = o.Owner // the lower layer keeps the number
		}
		if err := errors.Join(err, unix.Close(fd)); err != nil {
			return fmt.Errorf("record owner of %s: %w", o.Path, err)
		}
	}
	return nil
}

func (p *initProcess) serveRuns(c *conn) error {
	for {
		var req request
		files, err := c.recv(&req)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := c.send(p.run(&req, files)); err != nil {
			return err
		}
	}
}
