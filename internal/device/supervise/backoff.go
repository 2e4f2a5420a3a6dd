package supervise

import "time"

// The pause before a service is started again: doubled each time, and back to
// the first when it had run for long enough.
const (
	backoffFirst = 100 * time.Millisecond
	backoffMost  = 30 * time.Second
	backoffReset = 60 * time.Second
)

// backoff is the pause of one service. The zero value is a fresh one.
type backoff struct{ next time.Duration }

// after gives the pause when the service had been running for ran.
func (b *backoff) after(ran time.Duration) time.Duration {
	if ran >= backoffReset || b.next == 0 {
		b.next = backoffFirst
	}
	pause := b.next
	b.next = min(2*b.next, backoffMost)
	return pause
}
