package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"syscall"

	"ashlar/internal/builder/definition"
	"ashlar/internal/builder/distro/deb"
	"ashlar/internal/builder/distro/deb/resolve"
	"ashlar/internal/builder/flash"
	"ashlar/internal/builder/lock"
	"ashlar/internal/builder/pipeline"
	"ashlar/internal/builder/sandbox"
	"ashlar/internal/builder/store"
)

// The exit codes are part of the interface: a number never changes its meaning.
const (
	exitOK          = 0
	exitFailed      = 1   // anything that no other code says
	exitUsage       = 2   // the command line is wrong
	exitDefinition  = 3   // ashlar.toml is wrong, or asks for packages that can't stand together
	exitLock        = 4   // the lock is missing, stale or unreadable
	exitUnavailable = 5   // an input can't be had: no network, not on the mirrors, not in the store
	exitUntrusted   = 6   // a signature, a digest or a verification does not hold
	exitHost        = 7   // this machine refuses: no space, no user namespaces
	exitDifferent   = 8   // verify or diff found differences
	exitInterrupted = 130 // by a signal
)

// exitCodes is the one table of them, in order of test, for main and the manual.
var exitCodes = []struct {
	code    int
	meaning string
	is      func(error) bool
}{
	{exitInterrupted, "interrupted by a signal", func(err error) bool { return errors.Is(err, errInterrupted) }},
	{exitUsage, "the command line is wrong", func(err error) bool {
		return asError[*usageError](err) || errors.Is(err, pipeline.ErrNotDeclared)
	}},
	{exitDefinition, "ashlar.toml is wrong, or asks for packages that can't stand together", func(err error) bool {
		return asError[definition.Errors](err) || asError[*resolve.Error](err)
	}},
	{exitLock, "the lock is missing, stale or unreadable", func(err error) bool {
		return errors.Is(err, pipeline.ErrNoLock) || errors.Is(err, pipeline.ErrBadLock) || errors.Is(err, lock.ErrStale)
	}},
	{exitHost, "this machine refuses: no space, no user namespaces", func(err error) bool {
		return errors.Is(err, syscall.ENOSPC) || errors.Is(err, flash.ErrRefused) || asError[*sandbox.RefusedError](err)
	}},
	{exitUntrusted, "a signature, a digest or a date does not hold", func(err error) bool {
		return errors.Is(err, store.ErrMismatch) || errors.Is(err, deb.ErrUntrusted)
	}},
	{exitUnavailable, "an input can't be had: no network, not on the mirrors, not in the store", func(err error) bool {
		return errors.Is(err, store.ErrUnavailable)
	}},
	{exitDifferent, "verify or diff found differences", func(err error) bool { return errors.Is(err, errDifferent) }},
}

func asError[E error](err error) bool {
	var target E
	return errors.As(err, &target)
}

// errDifferent is how verify and diff end when there is something to tell; the
// answer is printed already.
var errDifferent = errors.New("different")

// errInterrupted is how everything ends that a signal ended.
var errInterrupted = errors.New("interrupted; nothing half-made is in use, the same command begins again")

// childError is the failure of a process of this program, which has told it
// already and whose exit code is passed on.
type childError struct {
	error
	code int
}

// usageError is a wrong command line.
type usageError struct{ error }

// failure is an error as JSON, on one line behind the lines of progress.
type failure struct {
	Event      string            `json:"event"` // "error"; lines of progress have others
	Error      string            `json:"error"`
	Exit       int               `json:"exit"`
	Definition definition.Errors `json:"definition,omitempty"` // each that is wrong in ashlar.toml
}

// report prints an error as the story's end and gives its exit code.
func report(err error, stderr io.Writer, asJSON bool) int {
	if err == nil {
		return exitOK
	}
	code := exitCode(err)
	var list definition.Errors
	errors.As(err, &list)
	switch {
	case errors.Is(err, errDifferent): // the answer tells
	case asJSON:
		line, jsonErr := json.Marshal(failure{"error", err.Error(), code, list})
		if jsonErr != nil {
			line = []byte(jsonErr.Error()) // of plain data: never
		}
		fmt.Fprintf(stderr, "%s\n", line)
	case list != nil:
		fmt.Fprint(stderr, list.Text())
	default:
		fmt.Fprintf(stderr, "ashlar: %v\n", err)
	}
	return code
}

func exitCode(err error) int {
	var child *childError
	if errors.As(err, &child) {
		return child.code
	}
	for _, row := range exitCodes {
		if row.is(err) {
			return row.code
		}
	}
	return exitFailed
}
