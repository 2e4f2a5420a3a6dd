package pid1

import (
	"context"
	"errors"
	"fmt"
	"time"

	"ashlar/internal/contract/control"
	"ashlar/internal/device/facts"
	"ashlar/internal/device/power"
)

// Bounds and defaults of requests.
const (
	defaultTimeout = 60 // seconds
	maxTimeout     = 24 * 60 * 60
	defaultLogs    = 64 << 10
	// answerDelay lets the answer to poweroff reach the one who asked.
	answerDelay = 150 * time.Millisecond
)

// Handle answers a request of the agent.
func (s *stage2) Handle(ctx context.Context, req control.Request) control.Response {
	seconds := req.Timeout
	if seconds <= 0 {
		seconds = defaultTimeout
	}
	limit := time.Duration(min(seconds, maxTimeout)) * time.Second
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("not within %s", limit))
	defer cancel()
	resp, err := s.handle(ctx, req)
	if err != nil {
		resp.Error = err.Error()
	}
	return resp
}

func (s *stage2) handle(ctx context.Context, req control.Request) (resp control.Response, err error) {
	switch req.Op {
	case control.OpStatus:
		resp.Status = s.status()
	case control.OpPS:
		resp.Services = s.sup.List()
	case control.OpStart:
		err = s.sup.StartService(ctx, req.Service)
	case control.OpStop:
		err = s.sup.StopService(ctx, req.Service)
	case control.OpRestart:
		if err = s.sup.StopService(ctx, req.Service); err == nil {
			err = s.sup.StartService(ctx, req.Service)
		}
	case control.OpSignal:
		err = s.sup.Signal(req.Service, req.Signal)
	case control.OpLogs:
		n := req.Bytes
		if n <= 0 {
			n = defaultLogs
		}
		resp.Text, err = s.sup.Logs(req.Service, int64(min(n, control.MaxLine)))
	case control.OpReady:
		err = s.sup.Settled(ctx)
		resp.Status = s.status()
		resp.Services = s.sup.List()
	case control.OpPowerOff:
		time.AfterFunc(answerDelay, func() { s.ask(power.Off, "request") })
	case control.OpReboot:
		time.AfterFunc(answerDelay, func() { s.ask(power.Reboot, "request") })
	default:
		err = errors.New("unknown operation " + fmt.Sprintf("%.40q", req.Op))
	}
	return resp, err
}

// The states of a machine.
const (
	machineReady    = "ready"
	machineStarting = "starting"
	machineDegraded = "degraded"
)

func (s *stage2) status() *control.Status {
	st := facts.Gather()
	st.Name = s.hand.Boot.Name
	st.Generation = s.hand.Generation
	st.RootMode = s.hand.Boot.RootMode
	st.State = s.state()
	if s.hand.State != stateKept {
		st.StateBytes = 0
	}
	return &st
}

// state is degraded when something went wrong that somebody should look at.
func (s *stage2) state() string {
	now, cancel := context.WithCancel(context.Background())
	cancel()
	if s.sup.Settled(now) != nil {
		return machineStarting
	}
	if s.problems.Load() > 0 || s.hand.State == stateLost {
		return machineDegraded
	}
	for _, sv := range s.sup.List() {
		if sv.State == control.StateFailed || sv.State == control.StateBackoff {
			return machineDegraded
		}
	}
	return machineReady
}
