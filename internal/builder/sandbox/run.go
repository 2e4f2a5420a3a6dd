package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Command is one program to run.
type Command struct {
	Args   []string  // the program, looked up in PATH of the merged root, and its arguments
	Env    []string  // added to the sandbox's, "NAME=value", later wins
	Dir    string    // in the merged root; "/" when empty
	Stdin  io.Reader // nil: empty
	Stdout io.Writer // nil: Options.Log
	Stderr io.Writer // nil: Options.Log
}

// ExitError says that a command ended, but not well.
type ExitError struct {
	Name   string
	Code   int // exit status, 0 when a signal ended it
	Signal int // 0 when it exited
}

func (e *ExitError) Error() string {
	if e.Signal != 0 {
		return fmt.Sprintf("run %s: ended by signal %s", e.Name, unix.SignalName(unix.Signal(e.Signal)))
	}
	return fmt.Sprintf("run %s: exit status %d", e.Name, e.Code)
}

// environment is the whole environment of commands: nothing is inherited.
// Hash seeds are fixed, since some programs write files in hash order.
func environment(extra []string) []string {
	return mergeEnv([]string{
		"DEBIAN_FRONTEND=noninteractive",
		"HOME=/root",
		"LANG=C.UTF-8",
		"LC_ALL=C.UTF-8",
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"PERL_HASH_SEED=0",
		"PYTHONDONTWRITEBYTECODE=1",
		"PYTHONHASHSEED=0",
		"SHELL=/bin/sh",
		"TERM=dumb",
		"TZ=UTC",
	}, extra)
}

// mergeEnv gives one value for each name, sorted by name.
func mergeEnv(lists ...[]string) []string {
	values := map[string]string{}
	for _, list := range lists {
		for _, kv := range list {
			name, value, _ := strings.Cut(kv, "=")
			values[name] = value
		}
	}
	out := make([]string, 0, len(values))
	for name, value := range values {
		out = append(out, name+"="+value)
	}
	slices.Sort(out)
	return out
}

// Run runs the command to its end. When it returns, no process that the
// command started is left. A command that does not exit with status 0 gives an
// *ExitError; when ctx ends first, all its processes are killed and ctx's error
// is given.
func (s *Sandbox) Run(ctx context.Context, c Command) error {
	if len(c.Args) == 0 {
		return errors.New("run command: no program named")
	}
	s.runMu.Lock()
	defer s.runMu.Unlock()
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("run %s: %w", c.Args[0], err)
	}
	io, err := s.openStreams(c)
	if err != nil {
		return fmt.Errorf("run %s: %w", c.Args[0], err)
	}
	s.serial++
	args := &runArgs{Serial: s.serial, Args: c.Args, Env: mergeEnv(s.env, c.Env), Dir: c.Dir}
	err = s.run.send(request{Op: "run", Run: args}, io.theirs...)
	err = errors.Join(err, closeFiles(io.theirs))
	stop := context.AfterFunc(ctx, func() { s.kill(args.Serial) })
	var r reply
	if err == nil {
		_, err = s.run.recv(&r)
	}
	stop()
	ioErr := io.finish()
	switch {
	case err != nil:
		return fmt.Errorf("run %s: %w", c.Args[0], s.initDied(err))
	case ctx.Err() != nil:
		return fmt.Errorf("run %s: %w", c.Args[0], ctx.Err())
	case r.Err != nil:
		return fmt.Errorf("run %s: %w", c.Args[0], r.Err.error())
	case r.Status != nil && *r.Status != exitStatus{}:
		return &ExitError{Name: c.Args[0], Code: r.Status.Code, Signal: r.Status.Signal}
	case ioErr != nil:
		return fmt.Errorf("run %s: %w", c.Args[0], ioErr)
	}
	return nil
}

// kill ends the command of that number, and no later one.
func (s *Sandbox) kill(serial uint64) {
	_, _, _ = s.call(request{Op: "kill", Run: &runArgs{Serial: serial}})
}

// streams are the pipes of a command. Files of the builder are never handed
// to it: a terminal would be shared.
type streams struct {
	theirs  []*os.File
	input   *os.File
	copying sync.WaitGroup
	mu      sync.Mutex
	err     error
}

func (s *Sandbox) openStreams(c Command) (*streams, error) {
	st := &streams{}
	inR, inW, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	st.theirs, st.input = append(st.theirs, inR), inW
	stdin := c.Stdin
	if stdin == nil {
		stdin = strings.NewReader("")
	}
	for n, w := range []io.Writer{c.Stdout, c.Stderr} {
		if n == 1 && sameWriter(c.Stdout, w) { // one pipe keeps the order of what is written
			fd, err := unix.FcntlInt(st.theirs[1].Fd(), unix.F_DUPFD_CLOEXEC, 0)
			if err != nil {
				return nil, errors.Join(err, closeFiles(st.theirs), st.finish())
			}
			st.theirs = append(st.theirs, os.NewFile(uintptr(fd), "output"))
			break
		}
		if w == nil {
			w = s.log
		}
		r, theirs, err := os.Pipe()
		if err != nil {
			return nil, errors.Join(err, closeFiles(st.theirs), st.finish())
		}
		st.theirs = append(st.theirs, theirs)
		st.copying.Go(func() {
			_, err := io.Copy(w, r)
			if err != nil { // drain, or the command hangs
				_, _ = io.Copy(io.Discard, r)
			}
			st.fail(errors.Join(err, r.Close()))
		})
	}
	// Not waited for: the reader may block for ever. finish closes the pipe.
	go func() {
		_, _ = io.Copy(inW, stdin)
		_ = inW.Close()
	}()
	return st, nil
}

// sameWriter reports whether both are one; it does not compare what can't be.
func sameWriter(a, b io.Writer) bool {
	return a == nil && b == nil || a != nil && b != nil && reflect.TypeOf(a).Comparable() && reflect.TypeOf(b).Comparable() && a == b
}

func (st *streams) fail(err error) {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.err = errors.Join(st.err, err)
}

// finish is called when all processes of the command are gone.
func (st *streams) finish() error {
	_ = st.input.SetWriteDeadline(time.Now())
	st.copying.Wait()
	_ = st.input.Close()
	return st.err
}
