package ui

import (
	"fmt"
	"strings"
	"time"

	"ashlar/internal/foundation/progress"
)

// task is what is known of one running piece of work.
type task struct {
	name, item, unit string
	done, total      int64
	started, shown   time.Time
	ended            bool
	samples          []sample // of the last seconds, for the rate
}

// sample is how far a task was at a time.
type sample struct {
	at   time.Time
	done int64
}

// The rate is taken over the last rateWindow, from samples at least rateStep apart.
const (
	rateWindow = 5 * time.Second
	rateStep   = 200 * time.Millisecond
)

// take notes an event. The last one of a task may leave out how far it came.
func (t *task) take(e progress.Event, now time.Time) {
	t.item, t.ended = e.Item, e.End
	if e.Unit != "" {
		t.unit = e.Unit
	}
	if e.Total != 0 || !e.End {
		t.total = e.Total
	}
	if e.Done != 0 || !e.End {
		if e.Done < t.done/2 {
			t.samples, t.done = nil, 0 // begun again
		}
		t.done = max(t.done, e.Done) // events of several goroutines may overtake each other
	}
	if n := len(t.samples); n == 0 || now.Sub(t.samples[n-1].at) >= rateStep {
		t.samples = append(t.samples, sample{now, t.done})
	}
	for len(t.samples) > 2 && now.Sub(t.samples[1].at) >= rateWindow {
		t.samples = t.samples[1:]
	}
}

// rate gives units a second, 0 when it cannot be told yet.
func (t *task) rate(now time.Time) float64 {
	if len(t.samples) == 0 {
		return 0
	}
	first := t.samples[0]
	elapsed := now.Sub(first.at)
	if elapsed < rateStep {
		return 0
	}
	return float64(t.done-first.done) / elapsed.Seconds()
}

// left guesses the time to the end; ok is false when there is no telling.
func (t *task) left(now time.Time) (d time.Duration, ok bool) {
	rate := t.rate(now)
	if rate <= 0 || t.total <= 0 || t.done >= t.total {
		return 0, false
	}
	seconds := float64(t.total-t.done) / rate
	const longest = 100 * 3600
	if seconds > longest {
		return 0, false
	}
	return time.Duration(seconds * float64(time.Second)), true
}

// percent is at most 100.
func (t *task) percent() int64 {
	if t.total <= 0 {
		return 0
	}
	return int64(100 * min(1, max(0, float64(t.done)/float64(t.total))))
}

// figures tells how far the task is, how fast, and how long it will take.
func (t *task) figures(now time.Time) string {
	parts := []string{amount(t.done, t.unit)}
	if t.total > 0 {
		parts = []string{fmt.Sprintf("%3d%%", t.percent()), strings.TrimSuffix(amount(t.done, t.unit), " "+t.unit) + " of " + amount(t.total, t.unit)}
	}
	if rate := t.rate(now); rate > 0 {
		parts = append(parts, strings.TrimSuffix(amount(int64(rate), t.unit), " "+t.unit)+"/s")
	}
	if left, ok := t.left(now); ok {
		parts = append(parts, Duration(left)+" left")
	}
	return strings.Join(parts, "  ")
}

// summary tells what an ended task did.
func (t *task) summary(now time.Time) string {
	elapsed := now.Sub(t.started)
	text := t.label()
	if t.done > 0 {
		text += " " + amount(t.done, t.unit)
	}
	if elapsed >= time.Second {
		text += " in " + Duration(elapsed)
		if t.unit == "bytes" && t.done > 0 {
			text += " (" + Bytes(int64(float64(t.done)/elapsed.Seconds())) + "/s)"
		}
	}
	return strings.TrimRight(text, " ")
}

// label pads the name so that what follows stands in one column.
func (t *task) label() string { return fmt.Sprintf("%-12s", plain(t.name)) }
