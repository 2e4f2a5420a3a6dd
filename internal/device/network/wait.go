package network

import (
	"context"
	"sync"
	"time"
)

// signal wakes all who wait for the next time it fires.
type signal struct {
	mu sync.Mutex
	ch chan struct{}
}

// next gives a channel that is closed when the signal fires next. Take it
// before looking at what the signal is about.
func (s *signal) next() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ch == nil {
		s.ch = make(chan struct{})
	}
	return s.ch
}

func (s *signal) fire() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ch != nil {
		close(s.ch)
		s.ch = nil
	}
}

// cable is whether an interface has a carrier, and how often it came.
type cable struct {
	mu     sync.Mutex
	in     bool
	times  int
	change signal
}

func (c *cable) set(in bool) {
	c.mu.Lock()
	changed := in != c.in
	c.in = in
	if changed && in {
		c.times++
	}
	c.mu.Unlock()
	if changed {
		c.change.fire()
	}
}

// state also gives the channel that is closed at the next change.
func (c *cable) state() (in bool, times int, next <-chan struct{}) {
	next = c.change.next()
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.in, c.times, next
}

// await waits until the cable is in: what is sent before is lost. It gives how
// often it was put in.
func (c *cable) await(ctx context.Context) (times int, err error) {
	for {
		in, times, next := c.state()
		if in {
			return times, ctx.Err()
		}
		select {
		case <-next:
		case <-ctx.Done():
			return times, ctx.Err()
		}
	}
}

// sleep waits for d, for the cable to be put in again (more often than seen)
// or for the end of ctx; it tells the first two apart.
func (c *cable) sleep(ctx context.Context, d time.Duration, seen int) (again bool, err error) {
	timer := time.NewTimer(max(0, d))
	defer timer.Stop()
	for {
		in, times, next := c.state()
		if in && times != seen {
			return true, ctx.Err()
		}
		select {
		case <-next:
		case <-timer.C:
			return false, ctx.Err()
		case <-ctx.Done():
			return false, ctx.Err()
		}
	}
}

// sleep waits; it reports false when ctx ended.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(max(0, d))
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
