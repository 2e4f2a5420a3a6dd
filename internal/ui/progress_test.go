package ui

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"ashlar/internal/foundation/progress"
)

// rig is a Progress on a buffer, with a clock that the test moves.
type rig struct {
	*Progress
	out bytes.Buffer
	at  time.Time
}

func newRig(opt ProgressOptions, width int, env map[string]string) *rig {
	r := &rig{at: time.Unix(1000, 0)}
	opt.Now = func() time.Time { return r.at }
	opt.Width = func() int { return width }
	opt.Getenv = func(name string) string { return env[name] }
	r.Progress = NewProgress(&r.out, opt)
	return r
}

// download reports a download of 100 MiB in 10 s.
func (r *rig) download() {
	const step = 1 << 20
	for i := range int64(100) {
		r.Report(progress.Event{Task: "fetch", Item: fmt.Sprintf("package-%d", i), Done: i * step, Total: 100 * step, Unit: "bytes"})
		r.at = r.at.Add(100 * time.Millisecond)
	}
	r.Report(progress.Event{Task: "fetch", Done: 100 * step, Total: 100 * step, Unit: "bytes", End: true})
}

var xterm = map[string]string{"TERM": "xterm"}

func TestLines(t *testing.T) {
	for name, r := range map[string]*rig{
		"no terminal": newRig(ProgressOptions{}, 0, xterm),
		"dumb":        newRig(ProgressOptions{}, 80, map[string]string{"TERM": "dumb"}),
		"no TERM":     newRig(ProgressOptions{}, 80, nil),
	} {
		r.download()
		r.Close()
		lines := strings.Split(strings.TrimSuffix(r.out.String(), "\n"), "\n")
		if len(lines) != 10 {
			t.Errorf("%s: %d lines in ten seconds:\n%s", name, len(lines), r.out.String())
			continue
		}
		if want := "fetch         30%  30.0 MiB of 100.0 MiB  10.0 MiB/s  7s left  package-30"; lines[2] != want {
			t.Errorf("%s: got  %q\nwant %q", name, lines[2], want)
		}
		if want := "fetch        100.0 MiB in 10s (10.0 MiB/s)"; lines[9] != want {
			t.Errorf("%s: got  %q\nwant %q", name, lines[9], want)
		}
		if strings.ContainsAny(r.out.String(), "\x1b\r") {
			t.Errorf("%s: control characters", name)
		}
	}
}

func TestShortTaskIsOneLine(t *testing.T) {
	r := newRig(ProgressOptions{}, 0, nil)
	r.Report(progress.Event{Task: "unpack", Done: 1, Total: 3, Unit: "packages"})
	r.Report(progress.Event{Task: "unpack", Done: 3, Total: 3, Unit: "packages"})
	r.Report(progress.Event{Task: "unpack", End: true})
	if got := r.out.String(); got != "unpack       3 packages\n" {
		t.Errorf("%q", got)
	}
}

func TestQuiet(t *testing.T) {
	r := newRig(ProgressOptions{Quiet: true, JSON: true}, 80, xterm)
	r.download()
	r.Close()
	if r.out.Len() != 0 {
		t.Errorf("%q", r.out.String())
	}
}

func TestJSON(t *testing.T) {
	r := newRig(ProgressOptions{JSON: true}, 80, xterm)
	r.download()
	r.Report(progress.Event{Task: "fetch \"x\"\n", End: true})
	lines := strings.Split(strings.TrimSuffix(r.out.String(), "\n"), "\n")
	if len(lines) != 102 {
		t.Fatalf("%d lines", len(lines))
	}
	for _, line := range lines {
		var e jsonEvent
		if err := json.Unmarshal([]byte(line), &e); err != nil || e.Event != "progress" || e.Task == "" {
			t.Fatalf("%q: %v", line, err)
		}
	}
	if want := `{"event":"progress","task":"fetch","item":"package-5","done":5242880,"total":104857600,"unit":"bytes","end":false,"seconds":0.5}`; lines[5] != want {
		t.Errorf("got  %s\nwant %s", lines[5], want)
	}
	if want := `{"event":"progress","task":"fetch","done":104857600,"total":104857600,"unit":"bytes","end":true,"seconds":10}`; lines[100] != want {
		t.Errorf("got  %s\nwant %s", lines[100], want)
	}
}

func TestJSONIsBounded(t *testing.T) {
	r := newRig(ProgressOptions{JSON: true}, 0, nil)
	for i := range int64(1000) {
		r.Report(progress.Event{Task: "a", Done: i})
		r.at = r.at.Add(time.Millisecond)
	}
	if n := strings.Count(r.out.String(), "\n"); n > 11 {
		t.Errorf("%d lines in a second", n)
	}
}

// screen plays what a terminal does with our output.
type screen struct {
	lines  []string
	row    int
	widest int
}

var control = regexp.MustCompile(`^\x1b\[([0-9]*)([A-Za-z])`)

func play(t *testing.T, text string) *screen {
	t.Helper()
	s := &screen{lines: []string{""}}
	for text != "" {
		if m := control.FindStringSubmatch(text); m != nil {
			text = text[len(m[0]):]
			switch m[2] {
			case "A":
				n, err := strconv.Atoi(m[1])
				if s.row -= n; err != nil || s.row < 0 {
					t.Fatalf("the cursor leaves the screen")
				}
			case "J":
				s.lines = append(s.lines[:s.row], "")
			case "m":
			default:
				t.Fatalf("unexpected control sequence %q", m[0])
			}
			continue
		}
		r, size := utf8.DecodeRuneInString(text)
		text = text[size:]
		switch r {
		case '\n':
			if s.row++; s.row == len(s.lines) {
				s.lines = append(s.lines, "")
			}
		case '\r':
		default:
			s.lines[s.row] += string(r)
			s.widest = max(s.widest, utf8.RuneCountInString(s.lines[s.row]))
		}
	}
	return s
}

func TestBars(t *testing.T) {
	r := newRig(ProgressOptions{}, 100, xterm)
	r.Report(progress.Event{Task: "unpack", Item: "libc6", Done: 3, Unit: "packages"})
	for i := range int64(31) {
		r.Report(progress.Event{Task: "fetch", Item: "a-very-long-package-name-that-does-not-fit-the-line", Done: i << 20, Total: 100 << 20, Unit: "bytes"})
		r.at = r.at.Add(100 * time.Millisecond)
	}
	s := play(t, r.out.String())
	want := []string{
		"unpack       3 packages  libc6",
		"fetch        ━━━━━━━─────────────────   30%  30.0 MiB of 100.0 MiB  10.0 MiB/s  7s left  a-very-lo…",
		"",
	}
	if got := strings.Join(s.lines, "\n"); got != strings.Join(want, "\n") {
		t.Errorf("screen:\n%s\nwant:\n%s", got, strings.Join(want, "\n"))
	}
	r.Report(progress.Event{Task: "fetch", Done: 100 << 20, Total: 100 << 20, Unit: "bytes", End: true})
	r.Close()
	r.Close()
	r.Report(progress.Event{Task: "late"})
	s = play(t, r.out.String())
	if got := strings.Join(s.lines, "\n"); got != "fetch        100.0 MiB in 3s (32.3 MiB/s)\n" {
		t.Errorf("what stays on the screen: %q", got)
	}
}

// Nothing may wrap: the cursor would be lost.
func TestBarsFit(t *testing.T) {
	for width := 1; width < 130; width++ {
		r := newRig(ProgressOptions{}, width, xterm)
		for _, name := range []string{"fetch", "squashfs-with-a-long-name", "x"} {
			for i := range int64(5) {
				r.Report(progress.Event{Task: name, Item: "größe \x1b[31m item " + strings.Repeat("x", 50), Done: i * 1000, Total: 5000, Unit: "bytes"})
				r.at = r.at.Add(300 * time.Millisecond)
			}
		}
		r.Report(progress.Event{Task: "x", End: true})
		if s := play(t, r.out.String()); s.widest >= width && width > 1 {
			t.Fatalf("a line of %d on a terminal of %d columns:\n%s", s.widest, width, strings.Join(s.lines, "\n"))
		}
	}
}

func TestNoColor(t *testing.T) {
	colors := regexp.MustCompile(`\x1b\[[0-9]*m`)
	r := newRig(ProgressOptions{}, 100, map[string]string{"TERM": "xterm", "NO_COLOR": "1"})
	r.download()
	if colors.MatchString(r.out.String()) || !strings.Contains(r.out.String(), "━━") {
		t.Error("colours, or no bars")
	}
	r = newRig(ProgressOptions{}, 100, xterm)
	r.download()
	if !colors.MatchString(r.out.String()) {
		t.Error("no colours")
	}
}

func TestManyTasks(t *testing.T) {
	r := newRig(ProgressOptions{}, 80, xterm)
	for i := range 20 {
		r.at = r.at.Add(time.Second)
		r.Report(progress.Event{Task: fmt.Sprintf("task%d", i), Done: 1})
	}
	if s := play(t, r.out.String()); len(s.lines) != maxBars+1 {
		t.Errorf("%d lines", len(s.lines))
	}
}

// Reports of many goroutines: every line whole, every end told once.
func TestConcurrent(t *testing.T) {
	var out bytes.Buffer
	p := NewProgress(&out, ProgressOptions{JSON: true})
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			name := fmt.Sprintf("task%d", i)
			for n := range int64(500) {
				p.Report(progress.Event{Task: name, Done: n, Total: 500})
			}
			p.Report(progress.Event{Task: name, Done: 500, Total: 500, End: true})
		})
	}
	wg.Wait()
	p.Close()
	ends := map[string]int{}
	for _, line := range strings.Split(strings.TrimSpace(out.String()), "\n") {
		var e jsonEvent
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		if e.End {
			ends[e.Task]++
		}
	}
	if len(ends) != 8 || ends["task3"] != 1 {
		t.Errorf("ends: %v", ends)
	}
}

// A rate does not jump when events of several goroutines overtake each other,
// and begins anew when the task does.
func TestRate(t *testing.T) {
	at := time.Unix(0, 0)
	k := &task{name: "a", started: at}
	for i := range int64(100) {
		done := i * 10
		if i%7 == 3 {
			done -= 15
		}
		k.take(progress.Event{Task: "a", Done: done, Total: 2000}, at)
		at = at.Add(100 * time.Millisecond)
	}
	if rate := k.rate(at); rate < 90 || rate > 110 {
		t.Errorf("rate %f, want about 100", rate)
	}
	if left, ok := k.left(at); !ok || left < 9*time.Second || left > 12*time.Second {
		t.Errorf("left %v, %v", left, ok)
	}
	k.take(progress.Event{Task: "a", Done: 0, Total: 2000}, at)
	if rate := k.rate(at); rate != 0 {
		t.Errorf("rate %f after a new beginning", rate)
	}
}
