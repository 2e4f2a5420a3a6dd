package imagetest

import (
	"sync"
	"testing"

	"ashlar/internal/foundation/progress"
)

// Recorder is a progress.Sink that keeps all events.
type Recorder struct {
	mu     sync.Mutex
	events []progress.Event
}

// Report implements progress.Sink.
func (r *Recorder) Report(e progress.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, e)
}

// Check wants at least some events of a task that counts bytes: it must never
// go back, and end once, when all is done.
func (r *Recorder) Check(t testing.TB, task string, least int) {
	t.Helper()
	last := progress.Event{}
	for _, e := range r.events {
		if e.Task != task || e.Unit != "bytes" || e.Done < last.Done || e.Done > e.Total || last.End {
			t.Errorf("event %+v after %+v", e, last)
		}
		last = e
	}
	if !last.End || last.Done != last.Total || len(r.events) < least {
		t.Errorf("%d events, the last is %+v", len(r.events), last)
	}
}
