package network

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv6"
)

// retransmission is how often a message is sent (RFC 8415, 15 and 7.6).
type retransmission struct {
	first, most time.Duration // IRT and MRT; most 0: no bound
	count       int           // MRC; 0: no bound
	end         time.Time     // of MRD; zero: no bound
}

// The table of RFC 8415, 7.6.
const (
	maxDelay6    = time.Second // SOL_MAX_DELAY, CNF_MAX_DELAY, INF_MAX_DELAY
	solTimeout   = time.Second
	solMaxRT     = time.Hour
	reqTimeout   = time.Second
	reqMaxRT     = 30 * time.Second
	reqMaxRC     = 10
	cnfTimeout   = time.Second
	cnfMaxRT     = 4 * time.Second
	cnfMaxRD     = 10 * time.Second
	renTimeout   = 10 * time.Second
	renMaxRT     = 10 * time.Minute
	rebTimeout   = 10 * time.Second
	rebMaxRT     = 10 * time.Minute
	infTimeout   = time.Second
	infMaxRT     = time.Hour
	decTimeout   = time.Second
	decMaxRC     = 4
	elapsedLimit = 0xffff * 10 * time.Millisecond
)

// question6 is a message and what to do with what comes back.
type question6 struct {
	message *dhcpv6.Message
	times   retransmission
	answer  func(*dhcpv6.Message) (done bool) // of each message that is for us
	enough  func() bool                       // asked after each time-out; nil: no
	unheard func()                            // when triesSaid tries were in vain; nil: nothing
}

// ask sends until an answer is accepted or the tries are over: errSilent, or
// until the cable is put in again: errCable.
func (c *client6) ask(ctx context.Context, wire wire6, q question6) error {
	_, seen, _ := c.cable.state()
	begin, rt := time.Now(), time.Duration(0)
	for tries := 1; ; tries++ {
		rt = nextRT(rt, q.times, q.message.MessageType == dhcpv6.MessageTypeSolicit)
		q.message.UpdateOption(dhcpv6.OptElapsedTime(min(time.Since(begin), elapsedLimit)))
		sendErr := wire.send(q.message)
		until := time.Now().Add(rt)
		last := q.times.count > 0 && tries >= q.times.count
		if end := q.times.end; !end.IsZero() && !until.Before(end) {
			until, last = end, true
		}
		err := c.await(ctx, wire, q, until, seen)
		switch {
		case !errors.Is(err, errSilent):
			return err
		case q.enough != nil && q.enough():
			return nil
		case last && sendErr != nil:
			return fmt.Errorf("%w (%w)", errSilent, sendErr)
		case last:
			return errSilent
		case tries == triesSaid && q.unheard != nil:
			q.unheard()
		}
	}
}

// await takes what comes until the given time.
func (c *client6) await(ctx context.Context, wire wire6, q question6, until time.Time, seen int) error {
	timer := time.NewTimer(time.Until(until))
	defer timer.Stop()
	for {
		in, times, plug := c.cable.state()
		if in && times != seen {
			return errCable
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-plug:
		case <-timer.C:
			return errSilent
		case m := <-wire.inbox():
			if m.TransactionID == q.message.TransactionID && sameDUID(m.Options.ClientID(), c.duid) && q.answer(m) {
				return nil
			}
		}
	}
}

// nextRT gives the next time to wait (RFC 8415, 15): twice the last one, bound,
// and a tenth more or less by chance; the first of a Solicit is never shorter
// than IRT (18.2.1).
func nextRT(last time.Duration, r retransmission, solicit bool) time.Duration {
	random := func(d time.Duration) time.Duration { return rand.N(d/5+1) - d/10 }
	if last == 0 {
		if solicit {
			return r.first + 1 + rand.N(r.first/10)
		}
		return r.first + random(r.first)
	}
	rt := 2*last + random(last)
	if r.most > 0 && rt > r.most {
		rt = r.most + random(r.most)
	}
	return rt
}

func sameDUID(a, b dhcpv6.DUID) bool {
	return a != nil && b != nil && string(a.ToBytes()) == string(b.ToBytes())
}
