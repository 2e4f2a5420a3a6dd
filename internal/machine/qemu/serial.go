package qemu

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"sync"
)

// serialKeep is how much of the serial line's output is kept.
const serialKeep = 1 << 20

// serial is what a machine has said, and who waits for more.
type serial struct {
	mu      sync.Mutex
	kept    []byte
	waited  int           // how much of kept earlier waits have used up
	closed  bool          // nothing will come any more
	changed chan struct{} // closed and replaced with every change
	tee     io.Writer
}

func newSerial(tee io.Writer) *serial { return &serial{changed: make(chan struct{}), tee: tee} }

// Write takes output of the machine, from one goroutine. The tee gets it
// before those who wait; one that fails gets no more.
func (s *serial) Write(data []byte) (int, error) {
	if s.tee != nil {
		if _, err := s.tee.Write(data); err != nil {
			s.tee = nil
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kept = append(s.kept, data...)
	if extra := len(s.kept) - serialKeep; extra > 0 {
		s.kept = append([]byte(nil), s.kept[extra:]...)
		s.waited = max(0, s.waited-extra)
	}
	s.wake()
	return len(data), nil
}

func (s *serial) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	s.wake()
}

func (s *serial) wake() {
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *serial) bytes() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return bytes.Clone(s.kept)
}

var errStopped = errors.New("the machine has stopped")

// wait waits for a match after the last one and returns it with its groups.
func (s *serial) wait(ctx context.Context, pattern *regexp.Regexp) ([]string, error) {
	for {
		s.mu.Lock()
		rest := s.kept[s.waited:]
		if at := pattern.FindSubmatchIndex(rest); at != nil {
			var groups []string
			for _, group := range pattern.FindSubmatch(rest) {
				groups = append(groups, string(group))
			}
			s.waited += at[1]
			s.mu.Unlock()
			return groups, nil
		}
		closed, changed := s.closed, s.changed
		s.mu.Unlock()
		if closed {
			return nil, s.failed(pattern, errStopped)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, s.failed(pattern, context.Cause(ctx))
		}
	}
}

func (s *serial) failed(pattern *regexp.Regexp, cause error) error {
	return fmt.Errorf("wait for %q on the serial line: %w; its last lines:\n%s", pattern, cause, lastLines(s.bytes(), 25))
}

var escapes = regexp.MustCompile(`\x1b\[[0-9;?]*[A-Za-z]|\x1b[=>()][0-9A-Za-z]?|[^\n\t\x20-\x{10ffff}]`)

// lastLines gives the end of terminal output as plain text.
func lastLines(output []byte, count int) string {
	text := escapes.ReplaceAllString(strings.ToValidUTF8(string(output), "?"), "")
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return "  " + strings.Join(lines[max(0, len(lines)-count):], "\n  ")
}
