package ui

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"
)

// How often a task is shown.
const (
	barPause  = 100 * time.Millisecond // all bars together
	linePause = time.Second            // each task
	jsonPause = 100 * time.Millisecond // each task
)

// due reports whether a task may be shown again, and notes that it is.
func (t *task) due(now time.Time, pause time.Duration) bool {
	if !t.ended && now.Sub(t.shown) < pause {
		return false
	}
	t.shown = now
	return true
}

// lineView writes lines for logs and for terminals that cannot move the
// cursor: for each task at most one a second, and one at its end.
type lineView struct{ w io.Writer }

func (v *lineView) update(t *task, _ []*task, now time.Time) {
	if t.shown.IsZero() && !t.ended {
		t.shown = t.started // a short task gets the line at its end only
	}
	switch {
	case !t.due(now, linePause):
	case t.ended:
		fmt.Fprintln(v.w, t.summary(now))
	default:
		fmt.Fprintln(v.w, strings.TrimRight(t.label()+" "+t.figures(now)+"  "+plain(t.item), " "))
	}
}

func (v *lineView) close() {}

// jsonView writes events as JSON lines, for each task at most ten a second, and
// its last one.
type jsonView struct{ w io.Writer }

// jsonEvent is one line of --json.
type jsonEvent struct {
	Event   string  `json:"event"` // "progress"
	Task    string  `json:"task"`
	Item    string  `json:"item,omitempty"`
	Done    int64   `json:"done"`
	Total   int64   `json:"total,omitempty"`
	Unit    string  `json:"unit,omitempty"`
	End     bool    `json:"end"`
	Seconds float64 `json:"seconds"` // since the task's first event
}

func (v *jsonView) update(t *task, _ []*task, now time.Time) {
	if !t.due(now, jsonPause) {
		return
	}
	line, err := json.Marshal(jsonEvent{
		Event: "progress", Task: t.name, Item: t.item, Done: t.done, Total: t.total, Unit: t.unit, End: t.ended,
		Seconds: now.Sub(t.started).Round(time.Millisecond).Seconds(),
	})
	if err == nil {
		fmt.Fprintf(v.w, "%s\n", line)
	}
}

func (v *jsonView) close() {}

// barView keeps a bar for each running task at the bottom of a terminal and
// leaves a line behind for each that has ended.
type barView struct {
	w     io.Writer
	width func() int
	color bool
	lines int // bars on the screen; the cursor is below them
	drawn time.Time
}

// maxBars bounds the bars on the screen.
const maxBars = 8

func (v *barView) update(t *task, all []*task, now time.Time) {
	if !t.ended && now.Sub(v.drawn) < barPause {
		return
	}
	v.drawn = now
	var out strings.Builder
	out.WriteString(v.erase())
	width := max(v.width()-1, 1) // the last column would wrap
	if t.ended {
		out.WriteString(cut(t.summary(now), width) + "\n")
	}
	for i, running := range all {
		if i == maxBars {
			break
		}
		out.WriteString(v.bar(running, now, width) + "\n")
		v.lines++
	}
	fmt.Fprint(v.w, out.String())
}

func (v *barView) close() { fmt.Fprint(v.w, v.erase()) }

// erase moves to the first bar and clears from there on.
func (v *barView) erase() string {
	if v.lines == 0 {
		return ""
	}
	n := v.lines
	v.lines = 0
	return fmt.Sprintf("\x1b[%dA\r\x1b[J", n)
}

// bar gives the line of a running task: name, bar, figures, what it works on.
func (v *barView) bar(t *task, now time.Time, width int) string {
	const longest, shortest = 24, 8
	left, figures := t.label()+" ", t.figures(now)
	room := width - len([]rune(left)) - len([]rune(figures)) - 4
	if t.total <= 0 || room < shortest {
		return cut(left+figures+"  "+plain(t.item), width)
	}
	cells := min(room, longest)
	full := int(t.percent()) * cells / 100
	filled, empty := strings.Repeat("━", full), strings.Repeat("─", cells-full)
	if v.color {
		filled, empty = "\x1b[36m"+filled+"\x1b[0m", "\x1b[2m"+empty+"\x1b[0m"
	}
	rest := width - len([]rune(left)) - cells - 2 - len([]rune(figures)) - 2
	return left + filled + empty + "  " + figures + "  " + cut(plain(t.item), rest)
}
