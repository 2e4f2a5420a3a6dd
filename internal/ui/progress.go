package ui

import (
	"io"
	"os"
	"sync"
	"time"

	"ashlar/internal/foundation/progress"

	"golang.org/x/term"
)

// ProgressOptions says how progress is shown. The zero value: bars on a
// terminal, a line a second anywhere else.
type ProgressOptions struct {
	JSON  bool // events as JSON, one a line
	Quiet bool // nothing at all; wins over JSON

	Getenv func(string) string // nil: os.Getenv. NO_COLOR and TERM are read.
	Now    func() time.Time    // nil: time.Now
	Width  func() int          // columns of the terminal, 0 for none; nil: asked of the writer
}

// Progress is a progress.Sink for people and programs. It is safe for use by
// many goroutines.
type Progress struct {
	mu    sync.Mutex
	now   func() time.Time
	view  view
	tasks []*task // that have not ended, in the order of their first event
}

var _ progress.Sink = (*Progress)(nil)

// view shows tasks; Progress calls it with its lock held.
type view interface {
	// update follows an event of the task t, which is still in all unless it has ended.
	update(t *task, all []*task, now time.Time)
	// close leaves the screen as if nothing had been on it but ended tasks.
	close()
}

// NewProgress shows progress on w, which is standard error as a rule.
func NewProgress(w io.Writer, opt ProgressOptions) *Progress {
	if opt.Getenv == nil {
		opt.Getenv = os.Getenv
	}
	if opt.Now == nil {
		opt.Now = time.Now
	}
	if opt.Width == nil {
		opt.Width = widthOf(w)
	}
	p := &Progress{now: opt.Now}
	switch dumb := opt.Getenv("TERM") == "" || opt.Getenv("TERM") == "dumb"; {
	case opt.Quiet:
	case opt.JSON:
		p.view = &jsonView{w: w}
	case dumb || opt.Width() <= 0:
		p.view = &lineView{w: w}
	default:
		p.view = &barView{w: w, width: opt.Width, color: opt.Getenv("NO_COLOR") == ""}
	}
	return p
}

// widthOf asks the terminal behind a writer, at every call, since windows change.
func widthOf(w io.Writer) func() int {
	f, ok := w.(*os.File)
	if !ok || !IsTerminal(f) {
		return func() int { return 0 }
	}
	return func() int {
		const usual = 80
		width, _, err := term.GetSize(int(f.Fd()))
		if err != nil || width <= 0 {
			return usual
		}
		return width
	}
}

// Report implements progress.Sink.
func (p *Progress) Report(e progress.Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.view == nil {
		return
	}
	now := p.now()
	t := p.task(e.Task, now)
	t.take(e, now)
	if e.End {
		for i := range p.tasks {
			if p.tasks[i] == t {
				p.tasks = append(p.tasks[:i], p.tasks[i+1:]...)
				break
			}
		}
	}
	p.view.update(t, p.tasks, now)
}

// Close takes bars off the screen. What is reported after it is not shown. It
// may be called more than once.
func (p *Progress) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.view != nil {
		p.view.close()
		p.view = nil
	}
}

func (p *Progress) task(name string, now time.Time) *task {
	for _, t := range p.tasks {
		if t.name == name {
			return t
		}
	}
	t := &task{name: name, started: now}
	p.tasks = append(p.tasks, t)
	return t
}
