package pipeline

import (
	"context"

	"ashlar/internal/contract/layout"
	"ashlar/internal/foundation/progress"
	"ashlar/internal/foundation/tree"
)

// ahead compresses, while maintainer scripts run, what the root image will most
// likely hold. All that comes of it are blocks in the cache: a wrong guess costs
// time and reaches no byte.
type ahead struct {
	b      *build
	ctx    context.Context
	cancel context.CancelFunc
	done   chan struct{} // closed when it has ended; nil: never begun
}

func (b *build) newAhead(ctx context.Context) *ahead {
	a := &ahead{b: b}
	a.ctx, a.cancel = context.WithCancel(ctx)
	return a
}

// start takes the guess; it does not wait.
func (a *ahead) start(guess func() (*tree.Tree, error)) {
	w, err := imageWriterOf(a.b.p.def.Image)
	if err != nil || a.b.env.NoCache {
		return
	}
	// One processor is for the scripts.
	opt := a.b.imageOptions(layout.GenRoot, progress.Discard{})
	opt.workers = max(1, a.b.env.workers()-1)
	a.done = make(chan struct{})
	go func() {
		defer close(a.done)
		if t, err := guess(); err == nil {
			_ = w.write(a.ctx, nowhere{}, t, opt) // what fails here fails again where it is told
		}
	}()
}

// stop ends it, done or not, and waits until the cache has what was begun.
func (a *ahead) stop() {
	a.cancel()
	if a.done != nil {
		<-a.done
	}
}

// nowhere takes an image and keeps nothing.
type nowhere struct{}

// WriteAt implements io.WriterAt.
func (nowhere) WriteAt(p []byte, _ int64) (int, error) { return len(p), nil }

// aside names tasks that run beside others of the same name.
type aside struct {
	sink progress.Sink
	what string
}

// Report implements progress.Sink.
func (a aside) Report(e progress.Event) {
	if a.sink != nil {
		e.Task = a.what + " " + e.Task
		a.sink.Report(e)
	}
}
