package supervise

import (
	"context"

	"ashlar/internal/contract/control"
)

// Idle waits until no service runs or will run by itself: each is done, has failed
// for good, or waits for one that has. A stopped one may be started again, so it is
// not idle. It fails when the machine goes down first.
func (s *Supervisor) Idle(ctx context.Context) error {
	closing := false
	err := s.wait(ctx, func() bool {
		if closing = s.closing; closing {
			return true
		}
		for _, sv := range s.services {
			switch sv.state {
			case control.StateDone, control.StateFailed:
			case control.StateWaiting:
				if !s.settled(sv.spec.Name) {
					return false
				}
			default:
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
