package erofs

import (
	"sync"
	"testing"

	"ashlar/internal/foundation/progress"
)

// recorder keeps all events.
type recorder struct {
	mu     sync.Mutex
	events []progress.Event
}

// Report implements progress.Sink.
func (r *recorder) Report(e progress.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, e)
}

func TestProgress(t *testing.T) {
	var r recorder
	writeImage(t, sample(t), Options{Compressor: compressor(t, "lz4", 1), Fragments: true, Progress: &r})
	last := progress.Event{}
	for _, e := range r.events {
		if e.Task != "erofs" || e.Unit != "bytes" || e.Done < last.Done || e.Done > e.Total || last.End {
			t.Errorf("event %+v after %+v", e, last)
		}
		last = e
	}
	if !last.End || last.Done != last.Total || len(r.events) < 5 {
		t.Errorf("%d events, the last is %+v", len(r.events), last)
	}
}
