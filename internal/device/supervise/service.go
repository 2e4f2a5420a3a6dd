package supervise

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"ashlar/internal/contract/control"
	"ashlar/internal/contract/machine"
)

// Limits for a service that declares none.
const (
	defaultStartLimit = 90 * time.Second
	defaultStopLimit  = 10 * time.Second
)

// service is one service through its whole life. Fields below the line are
// under the supervisor's lock.
type service struct {
	sup     *Supervisor
	spec    machine.Service
	log     *Log
	output  *os.File // write end of the pipe that becomes the service's output
	input   *os.File
	group   group
	wake    chan struct{} // something was asked
	gone    chan struct{} // closed when the life is over
	pause   backoff
	limits  limits
	drained chan struct{} // closed when the output is read to its end

	want     bool // to be running
	active   bool // an attempt is under way
	cancel   context.CancelFunc
	state    string
	pid      int
	restarts int
	failures int // ends in a row without having run for long
	exit     string
	since    time.Duration
}

type limits struct{ start, stop time.Duration }

func newService(sup *Supervisor, spec machine.Service) (*service, error) {
	if strings.ContainsAny(spec.Name, "/\x00") || strings.HasPrefix(spec.Name, ".") {
		return nil, fmt.Errorf("name %q: cannot be a file name", spec.Name)
	}
	log, err := OpenLog(sup.logPath(spec.Name), spec.LogBytes)
	if log == nil {
		return nil, err
	}
	if err != nil { // a full or read-only disk; lines still go to the console
		sup.opt.Say("service %s: %v", spec.Name, err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	sv := &service{sup: sup, spec: spec, log: log, input: r, output: w,
		wake: make(chan struct{}, 1), gone: make(chan struct{}), drained: make(chan struct{}),
		state: control.StateWaiting, group: makeGroup(sup.opt.Cgroup, spec.Name)}
	sv.limits.start = seconds(spec.StartLimit, defaultStartLimit)
	sv.limits.stop = seconds(spec.StopLimit, defaultStopLimit)
	go sv.readOutput()
	return sv, nil
}

func seconds(n int, otherwise time.Duration) time.Duration {
	if n <= 0 {
		return otherwise
	}
	return time.Duration(n) * time.Second
}

func (sv *service) readOutput() {
	defer close(sv.drained)
	eachLine(sv.input, func(line string) {
		_ = sv.log.Line(time.Now(), line) // a full disk must not stop the service
		sv.sup.opt.Line(sv.spec.Name, line)
	})
}

// close ends the log. A process that still holds the pipe is not waited for.
func (sv *service) close() {
	sv.output.Close()
	select {
	case <-sv.drained:
	case <-time.After(200 * time.Millisecond):
	}
	sv.input.Close()
	if err := sv.log.Close(); err != nil {
		sv.sup.opt.Say("service %s: close log: %v", sv.spec.Name, err)
	}
}

// poke, halt, set and ready are called under the lock.

func (sv *service) poke() {
	select {
	case sv.wake <- struct{}{}:
	default:
	}
	sv.sup.broadcast()
}

func (sv *service) halt() {
	sv.want = false
	if sv.cancel != nil {
		sv.cancel()
	}
	sv.poke()
}

func (sv *service) set(state string) {
	sv.state, sv.since = state, sv.sup.opt.Uptime()
	sv.sup.broadcast()
}

func (sv *service) ready() bool {
	return sv.state == control.StateRunning || sv.state == control.StateDone
}

func (sv *service) setState(state string) {
	sv.sup.mu.Lock()
	defer sv.sup.mu.Unlock()
	sv.set(state)
}

// life runs the service whenever it is wanted, until the machine goes down.
func (sv *service) life() {
	defer close(sv.gone)
	for {
		ctx, ok := sv.begin()
		if !ok {
			return
		}
		final := sv.attempts(ctx)
		sv.sup.mu.Lock()
		sv.cancel()
		sv.cancel, sv.active, sv.pid = nil, false, 0
		if final != control.StateStopped || ctx.Err() == nil {
			sv.want = false // ended by itself
		}
		sv.set(final)
		sv.sup.mu.Unlock()
	}
}

// begin waits until the service is wanted; not ok: the machine goes down.
func (sv *service) begin() (context.Context, bool) {
	for {
		sv.sup.mu.Lock()
		if sv.sup.closing {
			sv.sup.mu.Unlock()
			return nil, false
		}
		if sv.want {
			ctx, cancel := context.WithCancel(context.Background())
			sv.active, sv.cancel = true, cancel
			sv.set(control.StateWaiting)
			sv.sup.mu.Unlock()
			return ctx, true
		}
		if sv.state == control.StateWaiting {
			sv.set(control.StateStopped)
		}
		sv.sup.mu.Unlock()
		<-sv.wake
	}
}

// attempts starts the service, again and again as its policy says, and gives
// the state in which it stays. ctx ends when it is to stop.
func (sv *service) attempts(ctx context.Context) string {
	if why, broken := sv.sup.plan.Broken[sv.spec.Name]; broken {
		return sv.fail(errors.New(why))
	}
	if err := sv.awaitOthers(ctx); err != nil {
		if ctx.Err() != nil {
			return control.StateStopped
		}
		return sv.fail(err)
	}
	for {
		ran, err := sv.once(ctx)
		if ctx.Err() != nil {
			return control.StateStopped
		}
		if final := sv.verdict(err); final != "" {
			return final
		}
		pause := sv.pause.after(ran)
		sv.again(ran, pause, err)
		select {
		case <-ctx.Done():
			return control.StateStopped
		case <-time.After(pause):
		}
	}
}

// ended is how an attempt ended when a process did.
type ended struct {
	what string // mainProcess, "exec_pre …"
	exit Exit
}

const mainProcess = "main process"

func (e *ended) Error() string { return e.what + ": " + e.exit.String() }

// verdict gives the state that an end leads to, or "" for another start.
func (sv *service) verdict(err error) string {
	end := new(ended)
	isEnd := errors.As(err, &end)
	oneshot := sv.spec.Type == machine.TypeOneshot
	switch {
	case err == nil && oneshot:
		return control.StateDone
	case sv.spec.Restart == machine.RestartAlways && !(oneshot && err == nil):
		return ""
	case err == nil, isEnd && end.exit.Clean() && !oneshot:
		return control.StateStopped
	case sv.spec.Restart == machine.RestartNever:
		return sv.fail(err)
	}
	return ""
}

func (sv *service) fail(err error) string {
	sv.sup.opt.Say("service %s failed: %v", sv.spec.Name, err)
	sv.sup.mu.Lock()
	defer sv.sup.mu.Unlock()
	if end := new(ended); !errors.As(err, &end) || end.what != mainProcess {
		sv.exit = err.Error()
	}
	return control.StateFailed
}

func (sv *service) again(ran, pause time.Duration, err error) {
	what := "ended: exit status 0"
	if err != nil {
		what = "ended: " + err.Error()
	}
	sv.sup.opt.Say("service %s %s; started again in %s", sv.spec.Name, what, pause)
	sv.sup.mu.Lock()
	defer sv.sup.mu.Unlock()
	sv.restarts++
	sv.failures++
	if ran >= backoffReset {
		sv.failures = 0
	}
	sv.pid = 0
	sv.set(control.StateBackoff)
}

// awaitOthers waits for what the service is after and for what it requires.
func (sv *service) awaitOthers(ctx context.Context) error {
	sup, name := sv.sup, sv.spec.Name
	var failed error
	err := sup.wait(ctx, func() bool {
		for _, need := range sup.plan.Need[name] {
			if other := sup.byName[need]; other != nil &&
				(other.state == control.StateFailed || other.state == control.StateStopped) {
				failed = fmt.Errorf("requires %s, which is %s", need, other.state)
				return true
			}
			if !sup.isReady(need) {
				return false
			}
		}
		for _, other := range sup.plan.Wait[name] {
			if !sup.settled(other) {
				return false
			}
		}
		return true
	})
	return errors.Join(err, failed)
}
