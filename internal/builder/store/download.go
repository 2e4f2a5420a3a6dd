package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"time"

	"ashlar/internal/foundation/digest"
)

// passingError marks failures that may not happen again: the same URL is worth
// another try.
type passingError struct{ err error }

func (e *passingError) Error() string { return e.err.Error() }
func (e *passingError) Unwrap() error { return e.err }

// localError marks failures of the store itself, which no other URL mends.
type localError struct{ err error }

func (e *localError) Error() string { return e.err.Error() }
func (e *localError) Unwrap() error { return e.err }

// contentError tells that what arrived is not what was asked for.
type contentError struct{ msg string }

func (e *contentError) Error() string { return e.msg }

// download gets the URL once.
func (s *Store) download(ctx context.Context, r Request, rawURL string, opt FetchOptions, report func(int64)) error {
	c, err := connect(ctx, rawURL, opt)
	if err != nil {
		return err
	}
	defer c.close()
	if c.length >= 0 && c.length != r.Size {
		return &contentError{fmt.Sprintf("has %d bytes, want %d", c.length, r.Size)}
	}
	source := &meter{r: io.LimitReader(c, r.Size+1), read: report}
	_, _, err = s.put(source, inode{mode: plainMode}, func(d digest.Digest, n int64) error {
		switch {
		case n > r.Size:
			return &contentError{fmt.Sprintf("has more than the %d bytes wanted", r.Size)}
		case n < r.Size:
			return &passingError{&contentError{fmt.Sprintf("ended after %d of %d bytes", n, r.Size)}}
		case d != r.Digest:
			return &contentError{fmt.Sprintf("has the SHA-256 %s, want %s", d, r.Digest)}
		}
		return nil
	})
	var content *contentError
	if err == nil || source.err != nil || errors.As(err, &content) {
		return err
	}
	return &localError{err}
}

// connection is an answer being read. It is given up when nothing arrives for
// a while; failures to read are marked as passing.
type connection struct {
	body   io.ReadCloser
	length int64 // as announced; -1 when it is not
	ctx    context.Context
	cancel context.CancelCauseFunc
	watch  *time.Timer
	stall  time.Duration
}

func connect(ctx context.Context, rawURL string, opt FetchOptions) (*connection, error) {
	c := &connection{stall: opt.Stall}
	c.ctx, c.cancel = context.WithCancelCause(ctx)
	c.watch = time.AfterFunc(c.stall, func() { c.cancel(fmt.Errorf("nothing arrived for %s", c.stall)) })
	var err error
	c.body, c.length, err = open(c.ctx, rawURL, opt.Client)
	if err != nil {
		err = c.explain(err)
		c.watch.Stop()
		c.cancel(nil)
		return nil, err
	}
	return c, nil
}

func (c *connection) Read(p []byte) (int, error) {
	n, err := c.body.Read(p)
	if n > 0 {
		c.watch.Reset(c.stall)
	}
	if err != nil && err != io.EOF {
		err = c.explain(&passingError{err})
	}
	return n, err
}

func (c *connection) close() {
	c.watch.Stop()
	c.cancel(nil)
	// What was read was checked; a failed close tells nothing more.
	_ = c.body.Close()
}

// explain names the stall where the library would say "context canceled".
func (c *connection) explain(err error) error {
	if cause := context.Cause(c.ctx); cause != nil && !errors.Is(cause, context.Canceled) && !errors.Is(cause, context.DeadlineExceeded) {
		return &passingError{cause}
	}
	return err
}

// open gives the body and its length, -1 when it is not told.
func open(ctx context.Context, rawURL string, client *http.Client) (io.ReadCloser, int64, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return nil, 0, err
	}
	if u.Scheme == "file" {
		f, err := os.Open(u.Path)
		if err != nil {
			return nil, 0, err
		}
		return f, -1, nil
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, rawURL, nil)
	if err != nil {
		return nil, 0, err
	}
	// A body that is unpacked on the way would not have the size we were told.
	req.Header.Set("Accept-Encoding", "identity")
	req.Header.Set("User-Agent", "ashlar")
	resp, err := client.Do(req)
	if err != nil {
		return nil, 0, &passingError{err}
	}
	if resp.StatusCode == http.StatusOK {
		return resp.Body, resp.ContentLength, nil
	}
	err = fmt.Errorf("the server answers %s", resp.Status)
	if resp.StatusCode >= 500 || resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode == http.StatusRequestTimeout {
		err = &passingError{err}
	}
	return nil, 0, errors.Join(err, resp.Body.Close())
}

// retry calls do until it works, fails for good or has failed too often.
func retry(ctx context.Context, opt FetchOptions, do func() error) error {
	wait := opt.Backoff
	for try := 0; ; try++ {
		err := do()
		var passing *passingError
		if err == nil || try >= opt.Retries || !errors.As(err, &passing) {
			return err
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-timer.C:
		}
		wait *= 2
	}
}

// Get gives the body of a URL whose digest is not known beforehand, at most
// limit bytes of it. It retries as Fetch does.
func Get(ctx context.Context, rawURL string, limit int64, opt FetchOptions) ([]byte, error) {
	opt = opt.orDefault()
	var data []byte
	err := retry(ctx, opt, func() (err error) {
		data, err = get(ctx, rawURL, limit, opt)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("get %s: %w", rawURL, err)
	}
	return data, nil
}

func get(ctx context.Context, rawURL string, limit int64, opt FetchOptions) ([]byte, error) {
	c, err := connect(ctx, rawURL, opt)
	if err != nil {
		return nil, err
	}
	defer c.close()
	if c.length > limit {
		return nil, fmt.Errorf("has %d bytes, at most %d are expected", c.length, limit)
	}
	data, err := io.ReadAll(io.LimitReader(c, limit+1))
	switch {
	case err != nil:
		return nil, err
	case int64(len(data)) > limit:
		return nil, fmt.Errorf("has more than %d bytes", limit)
	}
	return data, nil
}
