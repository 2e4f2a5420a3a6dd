// Package supervise runs the services of a machine: in order, each in its own
// session and control group, with a bounded log, started again by its policy.
//
// Vocabulary: a service is ready when its type says so (running or done). It is
// settled when waiting for it longer makes no sense: ready, failed, stopped, or
// ending again and again. After waits for settled, Requires for ready.
//
// One goroutine a service walks through its life; the table of states is under
// one lock. The package knows nothing of PID 1 and runs in any process.
package supervise

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"ashlar/internal/contract/control"
	"ashlar/internal/contract/machine"
	"ashlar/internal/device/account"
)

// Options says where and how services run.
type Options struct {
	Launcher  Launcher
	Accounts  func(user, group string) (account.Identity, error)
	Env       []string                   // KEY=VALUE, before what a service declares
	LogDir    string                     // one bounded log a service
	RunDir    string                     // notify sockets
	Cgroup    string                     // directory of a control group that is ours; empty: none
	Line      func(service, line string) // what services print, besides the log; nil: nothing
	Say       func(format string, args ...any)
	Uptime    func() time.Duration
	Milestone map[string]<-chan struct{} // closed when reached
}

// Supervisor runs the services of one plan.
type Supervisor struct {
	opt      Options
	plan     Plan
	services []*service
	byName   map[string]*service

	mu      sync.Mutex
	changed chan struct{} // closed and renewed at every change of a state
	closing bool
}

// New prepares the services; Start starts them.
func New(services []machine.Service, opt Options) (*Supervisor, error) {
	names := make([]string, 0, len(opt.Milestone))
	for name := range opt.Milestone {
		names = append(names, name)
	}
	if opt.Line == nil {
		opt.Line = func(string, string) {}
	}
	s := &Supervisor{opt: opt, plan: MakePlan(services, names), byName: map[string]*service{}, changed: make(chan struct{})}
	for _, problem := range s.plan.Problems {
		opt.Say("%s", problem)
	}
	if err := os.MkdirAll(opt.RunDir, 0o711); err != nil {
		return nil, fmt.Errorf("prepare services: %w", err)
	}
	for _, spec := range s.plan.Services {
		sv, err := newService(s, spec)
		if err != nil {
			return nil, fmt.Errorf("prepare service %s: %w", spec.Name, err)
		}
		s.services = append(s.services, sv)
		s.byName[spec.Name] = sv
	}
	return s, nil
}

// Start starts every service; it does not wait.
func (s *Supervisor) Start() {
	for name, reached := range s.opt.Milestone {
		if reached != nil {
			go func() {
				<-reached
				s.opt.Say("milestone %s reached", name)
				s.mu.Lock()
				s.broadcast()
				s.mu.Unlock()
			}()
		}
	}
	for _, sv := range s.services {
		sv.want = true
		go sv.life()
	}
}

// List shows the services by name.
func (s *Supervisor) List() []control.Service {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]control.Service, 0, len(s.services))
	for _, sv := range s.services {
		list = append(list, control.Service{Name: sv.spec.Name, State: sv.state, PID: sv.pid,
			Restarts: sv.restarts, Exit: sv.exit, Since: sv.since.Seconds()})
	}
	return list
}

// Settled waits until every service is settled; it fails when the machine goes
// down first.
func (s *Supervisor) Settled(ctx context.Context) error {
	closing := false
	err := s.wait(ctx, func() bool {
		if closing = s.closing; closing {
			return true
		}
		for _, sv := range s.services {
			if !s.settled(sv.spec.Name) {
				return false
			}
		}
		return true
	})
	if err == nil && closing {
		err = errClosing
	}
	return err
}

// errClosing tells that nothing starts any more.
var errClosing = errors.New("the machine is shutting down")

// StartService starts a service and waits until it is ready, or fails.
func (s *Supervisor) StartService(ctx context.Context, name string) error {
	sv, err := s.find(name)
	if err != nil {
		return err
	}
	s.mu.Lock()
	if s.closing {
		s.mu.Unlock()
		return fmt.Errorf("start %s: %w", name, errClosing)
	}
	sv.want, sv.failures = true, 0
	if !sv.active {
		sv.set(control.StateWaiting)
	}
	sv.poke()
	s.mu.Unlock()
	if err := s.wait(ctx, func() bool { return s.settled(name) }); err != nil {
		return fmt.Errorf("start %s: %w", name, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !sv.ready() {
		return fmt.Errorf("start %s: %s %s", name, sv.state, sv.exit)
	}
	return nil
}

// StopService stops a service and waits until it has ended.
func (s *Supervisor) StopService(ctx context.Context, name string) error {
	sv, err := s.find(name)
	if err != nil {
		return err
	}
	s.mu.Lock()
	sv.halt()
	s.mu.Unlock()
	if err := s.wait(ctx, func() bool { return !sv.active }); err != nil {
		return fmt.Errorf("stop %s: %w", name, err)
	}
	return nil
}

// Signal sends a signal to the main process of a service.
func (s *Supervisor) Signal(name, word string) error {
	sv, err := s.find(name)
	if err != nil {
		return err
	}
	number := unix.SignalNum(word)
	if number == 0 {
		return fmt.Errorf("signal %s: unknown signal %q", name, word)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if sv.pid == 0 {
		return fmt.Errorf("signal %s: it has no process", name)
	}
	if err := signal(sv.pid, number); err != nil {
		return fmt.Errorf("signal %s: %w", name, err)
	}
	return nil
}

// Logs gives about the last n bytes that a service printed.
func (s *Supervisor) Logs(name string, n int64) (string, error) {
	sv, err := s.find(name)
	if err != nil {
		return "", err
	}
	return sv.log.Tail(n)
}

// Shutdown stops all services, each after those that wait for it, and closes
// their logs. Nothing starts afterwards.
func (s *Supervisor) Shutdown() {
	s.mu.Lock()
	s.closing = true
	s.mu.Unlock()
	dependents := s.plan.Dependents()
	var all sync.WaitGroup
	for _, sv := range s.services {
		all.Go(func() {
			for _, name := range dependents[sv.spec.Name] {
				<-s.byName[name].gone
			}
			s.mu.Lock()
			sv.halt()
			s.mu.Unlock()
			<-sv.gone
		})
	}
	all.Wait()
	for _, sv := range s.services {
		sv.close()
	}
}

func (s *Supervisor) find(name string) (*service, error) {
	if sv, ok := s.byName[name]; ok {
		return sv, nil
	}
	return nil, fmt.Errorf("no service %q", name)
}

// wait returns when what holds under the lock, or ctx ends.
func (s *Supervisor) wait(ctx context.Context, what func() bool) error {
	for {
		s.mu.Lock()
		ok, changed := what(), s.changed
		s.mu.Unlock()
		if ok {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// broadcast wakes all that wait; the lock is held.
func (s *Supervisor) broadcast() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// crashLoop is how many ends in a row settle a service that is not ready.
const crashLoop = 3

// settled is asked under the lock; plans have no cycles.
func (s *Supervisor) settled(name string) bool {
	if reached, ok := s.opt.Milestone[name]; ok {
		return isClosed(reached)
	}
	sv := s.byName[name]
	switch sv.state {
	case control.StateRunning, control.StateDone, control.StateFailed, control.StateStopped:
		return true
	case control.StateWaiting:
		for _, need := range s.plan.Need[name] {
			if s.settled(need) && !s.isReady(need) {
				return true
			}
		}
	}
	return sv.failures >= crashLoop
}

func (s *Supervisor) isReady(name string) bool {
	if reached, ok := s.opt.Milestone[name]; ok {
		return isClosed(reached)
	}
	return s.byName[name].ready()
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func (s *Supervisor) logPath(name string) string {
	return filepath.Join(s.opt.LogDir, name+".log")
}
