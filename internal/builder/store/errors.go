package store

import "errors"

// The kinds of failures of Fetch and Get that callers tell apart, by errors.Is.
var (
	// ErrUnavailable: no mirror gave the file, or the network may not be used.
	ErrUnavailable = errors.New("not to be had")
	// ErrMismatch: a mirror gave something else than was asked for.
	ErrMismatch = errors.New("not what was asked for")
)

// fetchError is a failed fetch; kind is one of the errors above.
type fetchError struct {
	text string
	kind error
}

func (e *fetchError) Error() string        { return e.text }
func (e *fetchError) Is(target error) bool { return target == e.kind }
