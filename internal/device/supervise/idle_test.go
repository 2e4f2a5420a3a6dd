package supervise

import (
	"context"
	"errors"
	"testing"
	"time"

	"ashlar/internal/contract/machine"
)

func TestIdle(t *testing.T) {
	sh := func(name, script string, requires ...string) machine.Service {
		return machine.Service{Name: name, Type: machine.TypeOneshot, Exec: []string{"/bin/sh", "-c", script}, Requires: requires,
			Restart: machine.RestartNever, StartLimit: 30, StopLimit: 5, LogBytes: 4096}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	b := start(t, sh("done", "exit 0"), sh("fails", "exit 1"), sh("needs", "exit 0", "fails"))
	if err := b.Idle(ctx); err != nil {
		t.Errorf("all have ended, and Idle says %v", err)
	}

	stays := sh("stays", "exec sleep 1000")
	stays.Type = machine.TypeSimple
	b = start(t, sh("done", "exit 0"), stays)
	short, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if err := b.Idle(short); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("one runs, and Idle says %v", err)
	}
	if err := b.StopService(ctx, "stays"); err != nil {
		t.Fatal(err)
	}
	short, cancel = context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := b.Idle(short); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("one was stopped by a user, and Idle says %v", err)
	}
	b.Shutdown()
	if err := b.Idle(ctx); !errors.Is(err, errClosing) {
		t.Errorf("going down, and Idle says %v", err)
	}
}
