package supervise

import (
	"context"
	"errors"
	"testing"
	"time"

	"ashlar/internal/contract/machine"
)

// once is a service that runs a script and is not started again.
func once(name, script string, requires ...string) machine.Service {
	return machine.Service{Name: name, Type: machine.TypeOneshot, Exec: []string{"/bin/sh", "-c", script}, Requires: requires,
		Restart: machine.RestartNever, StartLimit: 30, StopLimit: 5, LogBytes: 4096}
}

func TestIdleWhenAllHaveEnded(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	b := start(t, once("done", "exit 0"), once("fails", "exit 1"), once("needs", "exit 0", "fails"))
	if err := b.Idle(ctx); err != nil {
		t.Errorf("all have ended, and Idle says %v", err)
	}
}

func TestNotIdleWhileOneMayRun(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	stays := once("stays", "exec sleep 1000")
	stays.Type = machine.TypeSimple
	b := start(t, once("done", "exit 0"), stays)
	if err := b.Settled(ctx); err != nil {
		t.Fatal(err)
	}
	notIdle := func(what string) {
		t.Helper()
		short, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if err := b.Idle(short); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s, and Idle says %v", what, err)
		}
	}
	notIdle("one runs")
	if err := b.StopService(ctx, "stays"); err != nil {
		t.Fatal(err)
	}
	notIdle("one was stopped by a user")
	b.Shutdown()
	if err := b.Idle(ctx); !errors.Is(err, errClosing) {
		t.Errorf("going down, and Idle says %v", err)
	}
}
