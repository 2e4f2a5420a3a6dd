package supervise

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ashlar/internal/contract/control"
	"ashlar/internal/contract/machine"
	"ashlar/internal/device/account"
)

// TestMain makes this process what PID 1 is: the parent of orphans. No test of
// this package starts a process but through the one reaper.
func TestMain(m *testing.M) {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// bench is a supervisor with real processes.
type bench struct {
	*Supervisor
	dir string
	mu  sync.Mutex
	out []string
}

func start(t *testing.T, services ...machine.Service) *bench {
	t.Helper()
	b := &bench{dir: t.TempDir()}
	b.run(t, services...)
	return b
}

func (b *bench) run(t *testing.T, services ...machine.Service) {
	t.Helper()
	reaper := NewReaper()
	note := func(line string) {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.out = append(b.out, line)
	}
	network := make(chan struct{})
	close(network)
	began := time.Now()
	sup, err := New(services, Options{
		Launcher: reaper,
		Accounts: func(string, string) (account.Identity, error) {
			return account.Identity{UID: uint32(os.Getuid()), GID: uint32(os.Getgid())}, nil
		},
		Env:       []string{"PATH=/usr/bin:/bin", "DIR=" + b.dir},
		LogDir:    filepath.Join(b.dir, "log"),
		RunDir:    filepath.Join(b.dir, "run"),
		Line:      func(service, line string) { note(service + ": " + line) },
		Say:       func(format string, args ...any) { note(fmt.Sprintf(format, args...)) },
		Uptime:    func() time.Duration { return time.Since(began) },
		Milestone: map[string]<-chan struct{}{"network": network},
	})
	if err != nil {
		t.Fatal(err)
	}
	b.Supervisor = sup
	t.Cleanup(func() {
		sup.Shutdown()
		reaper.Close()
		if t.Failed() {
			b.mu.Lock()
			defer b.mu.Unlock()
			t.Logf("said:\n%s", strings.Join(b.out, "\n"))
		}
	})
	sup.Start()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := sup.Settled(ctx); err != nil {
		t.Errorf("not settled: %v", err)
	}
}

// until waits for a service to be as ok says.
func (b *bench) until(t *testing.T, name string, ok func(control.Service) bool) control.Service {
	t.Helper()
	var last control.Service
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for {
		b.Supervisor.mu.Lock()
		changed := b.changed
		b.Supervisor.mu.Unlock()
		for _, s := range b.List() {
			if s.Name == name {
				last = s
			}
		}
		if ok(last) {
			return last
		}
		select {
		case <-changed:
		case <-ctx.Done():
			t.Fatalf("service %s stays %+v", name, last)
		}
	}
}

func (b *bench) state(t *testing.T, name, want string) control.Service {
	t.Helper()
	return b.until(t, name, func(s control.Service) bool { return s.State == want })
}

func sh(name, script string) machine.Service {
	return machine.Service{Name: name, Type: machine.TypeSimple, Exec: []string{"sh", "-c", script},
		Restart: machine.RestartNever, StartLimit: 10, StopLimit: 5}
}

func alive(pid int) bool { return unix.Kill(pid, 0) == nil }

func TestKilledServiceComesBack(t *testing.T) {
	s := sh("app", "exec sleep 1000")
	s.Restart = machine.RestartAlways
	b := start(t, s)
	first := b.state(t, "app", control.StateRunning)
	if err := b.Signal("app", "SIGKILL"); err != nil {
		t.Fatal(err)
	}
	second := b.until(t, "app", func(s control.Service) bool { return s.State == control.StateRunning && s.PID != first.PID })
	if second.Restarts != 1 || second.Exit != "signal: killed" {
		t.Errorf("after the kill: %+v", second)
	}
	if alive(first.PID) || !alive(second.PID) {
		t.Errorf("alive: first %v, second %v", alive(first.PID), alive(second.PID))
	}
	if err := b.Signal("app", "SIGNONSENSE"); err == nil {
		t.Error("an unknown signal is taken")
	}
}

func TestOrderAndFailures(t *testing.T) {
	first := sh("first", "sleep 0.3; echo first >> $DIR/order")
	first.Type = machine.TypeOneshot
	second := sh("second", "echo second >> $DIR/order; exec sleep 1000")
	second.Requires, second.After = []string{"first"}, []string{"network"}
	bad := sh("bad", "exit 3")
	bad.Type = machine.TypeOneshot
	needs := sh("needs-bad", "exec sleep 1000")
	needs.Requires = []string{"bad"}
	after := sh("after-bad", "exec sleep 1000")
	after.After = []string{"bad"}
	missing := sh("missing", "")
	missing.Exec = []string{"no-such-program"}
	flap := sh("flap", "exit 1")
	flap.Restart, flap.Type = machine.RestartOnFailure, machine.TypeOneshot
	b := start(t, first, second, bad, needs, after, missing, flap)
	got := map[string]string{}
	for _, s := range b.List() {
		got[s.Name] = s.State
	}
	for name, want := range map[string]string{"first": control.StateDone, "second": control.StateRunning, "bad": control.StateFailed,
		"needs-bad": control.StateFailed, "after-bad": control.StateRunning, "missing": control.StateFailed} {
		if got[name] != want {
			t.Errorf("%s is %s, want %s", name, got[name], want)
		}
	}
	b.until(t, "second", func(control.Service) bool {
		order, _ := os.ReadFile(filepath.Join(b.dir, "order"))
		return string(order) == "first\nsecond\n"
	})
	if s := b.state(t, "bad", control.StateFailed); s.Exit != "exit status 3" {
		t.Errorf("bad ended by %q", s.Exit)
	}
}

// notify says something on the socket whose path a service writes to a file.
func (b *bench) notify(file, text string) {
	for range 500 {
		path, _ := os.ReadFile(filepath.Join(b.dir, file))
		if fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0); err == nil {
			err = unix.Sendto(fd, []byte(text), 0, &unix.SockaddrUnix{Name: strings.TrimSpace(string(path))})
			unix.Close(fd)
			if err == nil {
				return
			}
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func TestNotifyAndPre(t *testing.T) {
	// A shell cannot send a datagram: the notice comes from this process, which
	// is the same user.
	s := sh("daemon", "echo main $FROM; exec sleep 1000")
	s.Type = machine.TypeNotify
	s.Environment = []machine.Setting{{Name: "FROM", Value: "env"}}
	s.ExecPre = []machine.Command{{"sh", "-c", "echo pre one"}, {"sh", "-c", "echo pre two; echo $NOTIFY_SOCKET > $DIR/socket"}}
	late := sh("late", "exec sleep 1000")
	late.Type, late.StartLimit = machine.TypeNotify, 1
	b := &bench{dir: t.TempDir()}
	go b.notify("socket", "READY=1")
	b.run(t, s, late)
	b.state(t, "daemon", control.StateRunning)
	if s := b.state(t, "late", control.StateFailed); !strings.Contains(s.Exit, "not ready within 1s") {
		t.Errorf("late: %q", s.Exit)
	}
	b.until(t, "daemon", func(control.Service) bool {
		log, _ := b.Logs("daemon", 1000)
		return strings.Contains(log, " pre one\n") && strings.Contains(log, " pre two\n") && strings.HasSuffix(log, " main env\n")
	})
}

func TestStopStartRestart(t *testing.T) {
	polite := sh("polite", "trap 'echo asked; exit 0' USR1; while :; do sleep 0.05; done")
	polite.StopSignal, polite.Restart = "SIGUSR1", machine.RestartAlways
	stubborn := sh("stubborn", "trap '' TERM; while :; do sleep 0.05; done")
	stubborn.StopLimit = 1
	b := start(t, polite, stubborn)
	time.Sleep(200 * time.Millisecond) // until the shells have set their traps
	pid := b.state(t, "stubborn", control.StateRunning).PID
	for _, name := range []string{"polite", "stubborn"} {
		if err := b.StopService(t.Context(), name); err != nil {
			t.Fatal(err)
		}
		b.state(t, name, control.StateStopped)
	}
	if alive(pid) {
		t.Error("stubborn is alive after its stop")
	}
	b.until(t, "polite", func(control.Service) bool {
		log, _ := b.Logs("polite", 1000)
		return strings.Contains(log, "asked")
	})
	if err := b.StartService(t.Context(), "polite"); err != nil {
		t.Fatal(err)
	}
	if s := b.state(t, "polite", control.StateRunning); s.PID == 0 {
		t.Errorf("started again: %+v", s)
	}
	if err := b.StartService(t.Context(), "nobody"); err == nil {
		t.Error("an unknown service starts")
	}
}

func TestShutdownEndsInReverseAndReapsOrphans(t *testing.T) {
	base := sh("base", "trap 'echo base >> $DIR/down; exit 0' TERM; while :; do sleep 0.05; done")
	// The orphan's parent ends at once; it stays in the session's process group.
	top := sh("top", "(sleep 1000 & echo $! > $DIR/orphan) ; trap 'sleep 0.2; echo top >> $DIR/down; exit 0' TERM; while :; do sleep 0.05; done")
	top.After = []string{"base"}
	b := start(t, base, top)
	var orphan int
	for range 100 {
		text, _ := os.ReadFile(filepath.Join(b.dir, "orphan"))
		if _, err := fmt.Sscan(string(text), &orphan); err == nil {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	if !alive(orphan) {
		t.Fatalf("no orphan %d", orphan)
	}
	b.Shutdown()
	if err := b.Settled(t.Context()); err == nil {
		t.Error("a machine that went down calls itself ready")
	}
	if down, _ := os.ReadFile(filepath.Join(b.dir, "down")); string(down) != "top\nbase\n" {
		t.Errorf("went down in the order %q", down)
	}
	for range 100 {
		if !alive(orphan) {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Error("the orphan is alive, or a zombie that nobody reaped")
}
