package supervise

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"ashlar/internal/contract/control"
	"ashlar/internal/contract/machine"
	"ashlar/internal/device/account"
)

// once runs the service from its first to its last process. It gives how long
// it was ready, and how it ended: nil for exit status 0.
func (sv *service) once(ctx context.Context) (ran time.Duration, err error) {
	sv.setState(control.StateStarting)
	life, end := context.WithCancel(context.Background())
	defer end()
	run, err := sv.prepare(life)
	if err != nil {
		return 0, err
	}
	limit := time.NewTimer(sv.limits.start)
	defer limit.Stop()
	for _, command := range sv.spec.ExecPre {
		if err := sv.runPre(ctx, run, command, limit.C); err != nil {
			return 0, err
		}
	}
	main, err := run.launch(sv.spec.Exec)
	if err != nil {
		return 0, err
	}
	sv.sup.mu.Lock()
	sv.pid = main.PID
	if sv.spec.Type != machine.TypeOneshot && sv.spec.Type != machine.TypeNotify {
		sv.set(control.StateRunning)
	}
	sv.sup.mu.Unlock()
	return sv.watch(ctx, run, main, limit.C)
}

// running is what one attempt holds.
type running struct {
	sv       *service
	identity account.Identity
	env      []string
	notices  chan Notice
}

func (sv *service) prepare(life context.Context) (*running, error) {
	id, err := sv.sup.opt.Accounts(sv.spec.User, sv.spec.Group)
	if err != nil {
		return nil, err
	}
	r := &running{sv: sv, identity: id, env: environment(sv.sup.opt.Env, id, sv.spec)}
	if err := makeDirectories(sv.spec.Directories); err != nil {
		return nil, err
	}
	if sv.spec.Type == machine.TypeNotify {
		path := filepath.Join(sv.sup.opt.RunDir, sv.spec.Name+".sock")
		r.env = append(r.env, "NOTIFY_SOCKET="+path)
		r.notices = make(chan Notice)
		err := listenNotify(life, path, id.UID, func(n Notice) {
			select {
			case r.notices <- n:
			case <-life.Done():
			}
		})
		if err != nil {
			return nil, err
		}
	}
	return r, nil
}

// environment gives the variables of a service; what it declares wins.
func environment(base []string, id account.Identity, spec machine.Service) []string {
	env := append([]string(nil), base...)
	env = append(env, "HOME="+id.Home, "SHELL="+id.Shell)
	if id.Name != "" {
		env = append(env, "USER="+id.Name, "LOGNAME="+id.Name)
	}
	for _, v := range spec.Environment {
		env = append(env, v.Name+"="+v.Value)
	}
	last := map[string]int{}
	for i, v := range env {
		key, _, _ := strings.Cut(v, "=")
		last[key] = i
	}
	var out []string
	for i, v := range env {
		key, _, _ := strings.Cut(v, "=")
		if last[key] == i {
			out = append(out, v)
		}
	}
	return out
}

func makeDirectories(dirs []machine.State) error {
	for _, d := range dirs {
		if err := os.MkdirAll(d.Path, 0o755); err != nil {
			return fmt.Errorf("make directory: %w", err)
		}
		if err := os.Chown(d.Path, int(d.UID), int(d.GID)); err != nil {
			return fmt.Errorf("make directory: %w", err)
		}
		if err := unix.Chmod(d.Path, d.Mode&0o7777); err != nil {
			return fmt.Errorf("make directory %s: %w", d.Path, err)
		}
	}
	return nil
}

// launch starts a command as the service's user.
func (r *running) launch(command []string) (Process, error) {
	if len(command) == 0 {
		return Process{}, errors.New("start: no program is declared")
	}
	path, err := lookup(command[0], r.env)
	if err != nil {
		return Process{}, err
	}
	dir := r.sv.spec.WorkDir
	if dir == "" {
		dir = "/"
	}
	cgroup := r.sv.group.renew()
	if cgroup != nil {
		defer cgroup.Close()
	}
	return r.sv.sup.opt.Launcher.Launch(Launch{Path: path, Argv: command, Env: r.env, Dir: dir,
		Identity: r.identity, Output: r.sv.output, Cgroup: cgroup})
}

// lookup finds a program that is named without a slash in the PATH of env.
func lookup(name string, env []string) (string, error) {
	if strings.Contains(name, "/") {
		return name, nil
	}
	for _, v := range env {
		list, ok := strings.CutPrefix(v, "PATH=")
		if !ok {
			continue
		}
		for _, dir := range filepath.SplitList(list) {
			path := filepath.Join(dir, name)
			if info, err := os.Stat(path); err == nil && !info.IsDir() && info.Mode()&0o111 != 0 {
				return path, nil
			}
		}
	}
	return "", fmt.Errorf("start %s: no such program in PATH", name)
}

func (sv *service) setPID(pid int) {
	sv.sup.mu.Lock()
	defer sv.sup.mu.Unlock()
	sv.pid = pid
	sv.sup.broadcast()
}

// runPre runs one of the commands before the main one.
func (sv *service) runPre(ctx context.Context, run *running, command machine.Command, limit <-chan time.Time) error {
	p, err := run.launch(command)
	if err != nil {
		return err
	}
	sv.setPID(p.PID)
	defer sv.setPID(0)
	what := "exec_pre " + command[0]
	select {
	case exit := <-p.Done:
		if err := sv.group.end(p.PID); err != nil {
			return err
		}
		if exit.OK() {
			return nil
		}
		return &ended{what, exit}
	case <-limit:
		sv.group.kill(p.PID)
		<-p.Done
		return fmt.Errorf("%s: no end within %s", what, sv.limits.start)
	case <-ctx.Done():
		sv.group.kill(p.PID)
		<-p.Done
		return ctx.Err()
	}
}

// watch follows the main process to its end, then ends what it left behind.
func (sv *service) watch(ctx context.Context, run *running, main Process, limit <-chan time.Time) (time.Duration, error) {
	leader := main.PID
	defer func() {
		if err := sv.group.end(leader); err != nil {
			sv.sup.opt.Say("service %s: %v", sv.spec.Name, err)
		}
	}()
	began := time.Now()
	if sv.spec.Type != machine.TypeOneshot && sv.spec.Type != machine.TypeNotify {
		limit = nil
	}
	for {
		select {
		case exit := <-main.Done:
			sv.noteExit(exit)
			if exit.OK() {
				return time.Since(began), nil
			}
			return time.Since(began), &ended{mainProcess, exit}
		case n := <-run.notices:
			if n.MainPID != 0 && n.MainPID != main.PID && sv.group.holds(n.MainPID) {
				main = sv.sup.opt.Launcher.Adopt(n.MainPID)
				sv.setPID(main.PID)
			}
			if n.Ready {
				limit = nil
				sv.setState(control.StateRunning)
			}
		case <-limit:
			sv.group.kill(main.PID)
			<-main.Done
			return 0, fmt.Errorf("not ready within %s", sv.limits.start)
		case <-ctx.Done():
			sv.stop(run, main)
			return time.Since(began), nil
		}
	}
}

// noteExit takes the end of the main process; what it left behind is still to
// be ended, and what comes then to be decided.
func (sv *service) noteExit(exit Exit) {
	sv.sup.mu.Lock()
	defer sv.sup.mu.Unlock()
	sv.exit, sv.pid = exit.String(), 0
	sv.set(control.StateStopping)
}

// stop asks the main process to end, and makes it when it does not in time.
func (sv *service) stop(run *running, main Process) {
	sv.setState(control.StateStopping)
	number := unix.SIGTERM
	if n := unix.SignalNum(sv.spec.StopSignal); n != 0 {
		number = n
	}
	_ = signal(main.PID, number) // ended by itself: Done tells
	limit := time.NewTimer(sv.limits.stop)
	defer limit.Stop()
	for {
		select {
		case exit := <-main.Done:
			sv.noteExit(exit)
			return
		case <-run.notices: // nothing that is said now changes anything
		case <-limit.C:
			sv.sup.opt.Say("service %s did not stop within %s: killed", sv.spec.Name, sv.limits.stop)
			sv.group.kill(main.PID)
			_ = signal(main.PID, unix.SIGKILL) // in the group, as a rule
			sv.noteExit(<-main.Done)
			return
		}
	}
}
