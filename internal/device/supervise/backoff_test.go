package supervise

import (
	"context"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"ashlar/internal/contract/control"
	"ashlar/internal/contract/machine"
	"ashlar/internal/device/account"
)

// scripted starts nothing: each process lives for as long as the script says,
// and then exits with 1.
type scripted struct {
	lives  []time.Duration
	starts []time.Time
	cancel context.CancelFunc
}

func (s *scripted) Launch(Launch) (Process, error) {
	done := make(chan Exit, 1)
	s.starts = append(s.starts, time.Now())
	if len(s.starts) > len(s.lives) {
		s.cancel()
		done <- Exit{}
		return Process{Done: done}, nil
	}
	time.AfterFunc(s.lives[len(s.starts)-1], func() { done <- Exit{syscall.WaitStatus(1 << 8)} })
	return Process{Done: done}, nil
}

func (s *scripted) Adopt(int) Process { return Process{} }

// TestBackoff walks a service through its ends in false time.
func TestBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const short = time.Second
		ctx, cancel := context.WithCancel(t.Context())
		lives := []time.Duration{short, short, short, short, short, short, short, short, short, short, short, time.Minute, short}
		launcher := &scripted{lives: lives, cancel: cancel}
		sup := &Supervisor{changed: make(chan struct{}), byName: map[string]*service{}, opt: Options{
			Launcher: launcher,
			Accounts: func(string, string) (account.Identity, error) { return account.Identity{}, nil },
			Say:      func(string, ...any) {},
			Uptime:   func() time.Duration { return 0 },
		}}
		sv := &service{sup: sup, output: os.Stderr, limits: limits{time.Second, time.Second},
			spec: machine.Service{Name: "flap", Type: machine.TypeSimple, Exec: []string{"/flap"}, Restart: machine.RestartAlways}}
		if final := sv.attempts(ctx); final != control.StateStopped {
			t.Errorf("ends as %s", final)
		}
		const ms = time.Millisecond
		want := []time.Duration{100 * ms, 200 * ms, 400 * ms, 800 * ms, 1600 * ms, 3200 * ms, 6400 * ms, 12800 * ms,
			25600 * ms, 30000 * ms, 30000 * ms, 100 * ms, 200 * ms}
		for i, pause := range want {
			if got := launcher.starts[i+1].Sub(launcher.starts[i]) - lives[i]; got != pause {
				t.Errorf("pause %d: %s, want %s", i, got, pause)
			}
		}
		if sv.restarts != len(lives) {
			t.Errorf("%d restarts counted, want %d", sv.restarts, len(lives))
		}
	})
}
