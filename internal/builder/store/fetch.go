package store

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"ashlar/internal/foundation/digest"
	"ashlar/internal/foundation/progress"
)

// Request asks for one blob.
type Request struct {
	Name   string // for messages: "nginx 1.26.3-3"
	Digest digest.Digest
	Size   int64    // bytes
	URLs   []string // http, https or file; tried in order
}

// FetchOptions says how. The zero value works.
type FetchOptions struct {
	Parallel int           // downloads at once; 0 means 8
	Offline  bool          // missing blobs are an error; file: URLs are read all the same
	Progress progress.Sink // nil: nothing is said
	Client   *http.Client  // nil: one that follows the proxy variables of the environment
	Retries  int           // further tries of a URL after a failure that may pass; 0 means 3, negative none
	Backoff  time.Duration // before the first retry, doubled for each further one; 0 means 500 ms
	Stall    time.Duration // a connection that gives nothing for so long is given up; 0 means 60 s
}

func (o FetchOptions) orDefault() FetchOptions {
	if o.Parallel <= 0 {
		o.Parallel = 8
	}
	if o.Progress == nil {
		o.Progress = progress.Discard{}
	}
	if o.Client == nil {
		o.Client = http.DefaultClient
	}
	switch {
	case o.Retries == 0:
		o.Retries = 3
	case o.Retries < 0:
		o.Retries = 0
	}
	if o.Backoff <= 0 {
		o.Backoff = 500 * time.Millisecond
	}
	if o.Stall <= 0 {
		o.Stall = time.Minute
	}
	return o
}

// Fetch makes sure that every requested blob is in the store. Sizes and digests
// are checked while the bytes arrive; what does not match is never named.
// The first failure ends it; blobs that arrived before stay.
func (s *Store) Fetch(ctx context.Context, requests []Request, opt FetchOptions) error {
	opt = opt.orDefault()
	missing := s.missing(requests)
	if opt.Offline {
		missing = s.fromFiles(ctx, missing, opt)
		return s.offlineError(missing)
	}
	if len(missing) == 0 {
		return nil
	}
	tally := &tally{sink: opt.Progress}
	for _, r := range missing {
		tally.total += r.Size
	}
	defer tally.end()
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(opt.Parallel)
	for _, r := range missing {
		if ctx.Err() != nil {
			break
		}
		group.Go(func() error { return s.fetchOne(ctx, r, opt, tally) })
	}
	return group.Wait()
}

// missing gives the requests that the store does not answer, each digest once.
func (s *Store) missing(requests []Request) []Request {
	var out []Request
	seen := map[digest.Digest]bool{}
	for _, r := range requests {
		s.Use(r.Digest)
		if seen[r.Digest] || s.HasSize(r.Digest, r.Size) {
			continue
		}
		seen[r.Digest] = true
		out = append(out, r)
	}
	return out
}

// fromFiles answers from file: URLs, which need no network, and gives the rest.
func (s *Store) fromFiles(ctx context.Context, requests []Request, opt FetchOptions) []Request {
	var rest []Request
	for _, r := range requests {
		var local []string
		for _, u := range r.URLs {
			if strings.HasPrefix(u, "file:") {
				local = append(local, u)
			}
		}
		if len(local) > 0 {
			l := r
			l.URLs = local
			if s.fetchOne(ctx, l, opt, &tally{sink: progress.Discard{}}) == nil {
				continue
			}
		}
		rest = append(rest, r)
	}
	return rest
}

func (s *Store) offlineError(missing []Request) error {
	if len(missing) == 0 {
		return nil
	}
	const show = 10
	var names []string
	for _, r := range missing[:min(show, len(missing))] {
		names = append(names, r.Name)
	}
	list := strings.Join(names, ", ")
	if n := len(missing) - show; n > 0 {
		list += fmt.Sprintf(" and %d more", n)
	}
	return &fetchError{fmt.Sprintf("fetch offline: the store %s lacks %s; with a network, run: ashlar fetch DIR", s.dir, list), ErrUnavailable}
}

// fetchOne tries the URLs in order.
func (s *Store) fetchOne(ctx context.Context, r Request, opt FetchOptions, t *tally) error {
	if len(r.URLs) == 0 {
		return fmt.Errorf("fetch %s: the store does not have it and no URL is known", r.Name)
	}
	var faults []string
	kind := ErrUnavailable
	for _, u := range r.URLs {
		err := s.fetchURL(ctx, r, u, opt, t)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("fetch %s: %w", r.Name, context.Cause(ctx))
		}
		var local *localError
		if errors.As(err, &local) {
			return fmt.Errorf("fetch %s: %w", r.Name, local.err)
		}
		var content *contentError
		if errors.As(err, &content) {
			kind = ErrMismatch
		}
		faults = append(faults, fmt.Sprintf("%s: %v", u, err))
	}
	return &fetchError{fmt.Sprintf("fetch %s: %s", r.Name, strings.Join(faults, "; ")), kind}
}

// fetchURL tries one URL until it works or fails for good.
func (s *Store) fetchURL(ctx context.Context, r Request, url string, opt FetchOptions, t *tally) error {
	return retry(ctx, opt, func() error {
		got := int64(0)
		err := s.download(ctx, r, url, opt, func(n int64) {
			got += n
			t.add(r.Name, n)
		})
		if err != nil {
			t.add(r.Name, -got)
		}
		return err
	})
}

// tally adds the bytes of all downloads up for the progress sink.
type tally struct {
	sink  progress.Sink
	total int64
	done  atomic.Int64
}

func (t *tally) add(item string, n int64) {
	if n == 0 {
		return
	}
	t.sink.Report(progress.Event{Task: "fetch", Item: item, Done: t.done.Add(n), Total: t.total, Unit: "bytes"})
}

func (t *tally) end() {
	t.sink.Report(progress.Event{Task: "fetch", Done: t.done.Load(), Total: t.total, Unit: "bytes", End: true})
}
