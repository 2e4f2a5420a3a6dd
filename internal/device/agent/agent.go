// Package agent speaks contract/control: it serves requests on the control
// socket and on the virtio port of the host, and is the client for the
// commands on the machine.
//
// It knows nothing of services: a Handler answers. Each connection is served by
// its own goroutine, one request after the other.
package agent

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"ashlar/internal/contract/control"
)

// Handler answers requests. It is called from several goroutines.
type Handler interface {
	Handle(ctx context.Context, req control.Request) control.Response
}

// errTooLong tells of a line that is longer than the protocol allows.
var errTooLong = fmt.Errorf("request longer than %d bytes", control.MaxLine)

// ReadRequest reads one request; io.EOF is the end between two requests. After
// a *RequestError the next one can be read.
func ReadRequest(r *bufio.Reader) (control.Request, error) {
	var req control.Request
	line, err := readLine(r)
	if err != nil {
		return req, err
	}
	if err := json.Unmarshal(line, &req); err != nil {
		return control.Request{}, &RequestError{err}
	}
	return req, nil
}

// RequestError is a line that is no request.
type RequestError struct{ cause error }

func (e *RequestError) Error() string { return "read request: " + e.cause.Error() }

// Unwrap gives the cause.
func (e *RequestError) Unwrap() error { return e.cause }

// readLine reads to the newline; an overlong line is read to its end and
// refused. Empty lines are passed over: they let a host find the start.
func readLine(r *bufio.Reader) ([]byte, error) {
	for {
		var line []byte
		total := 0
		for {
			part, err := r.ReadSlice('\n')
			total += len(part)
			if total <= control.MaxLine {
				line = append(line, part...)
			}
			if err == nil {
				break
			}
			if !errors.Is(err, bufio.ErrBufferFull) {
				if errors.Is(err, io.EOF) && total > 0 {
					err = io.ErrUnexpectedEOF
				}
				return nil, err
			}
		}
		if total > control.MaxLine {
			return nil, &RequestError{errTooLong}
		}
		if total > 1 {
			return line, nil
		}
	}
}

// Serve answers the requests of one connection until it ends; a connection
// that ends between requests is no error.
func Serve(ctx context.Context, conn io.ReadWriter, h Handler) error {
	r := bufio.NewReader(conn)
	for {
		req, err := ReadRequest(r)
		var bad *RequestError
		var resp control.Response
		switch {
		case errors.As(err, &bad):
			resp.Error = bad.Error()
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		default:
			resp = answer(ctx, h, req)
		}
		if err := WriteLine(conn, resp); err != nil {
			return err
		}
	}
}

// answer keeps a fault of one request from ending the process, which may be
// PID 1.
func answer(ctx context.Context, h Handler, req control.Request) (resp control.Response) {
	defer func() {
		if fault := recover(); fault != nil {
			resp = control.Response{Error: fmt.Sprintf("%s: internal fault: %v", req.Op, fault)}
		}
	}()
	return h.Handle(ctx, req)
}

// WriteLine writes a value as one line. A text that makes the line too long is
// cut at its start.
func WriteLine(w io.Writer, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("write line: %w", err)
	}
	if resp, ok := v.(control.Response); ok && len(data) >= control.MaxLine && resp.Text != "" {
		// An escaped byte takes at most six.
		const most = control.MaxLine / 8
		resp.Text = resp.Text[max(0, len(resp.Text)-most):]
		return WriteLine(w, resp)
	}
	_, err = w.Write(append(data, '\n'))
	return err
}

// Call asks one thing on a connection.
func Call(conn io.ReadWriter, req control.Request) (control.Response, error) {
	var resp control.Response
	if err := WriteLine(conn, req); err != nil {
		return resp, fmt.Errorf("ask %s: %w", req.Op, err)
	}
	line, err := readLine(bufio.NewReader(conn))
	if err != nil {
		return resp, fmt.Errorf("ask %s: read answer: %w", req.Op, err)
	}
	if err := json.Unmarshal(line, &resp); err != nil {
		return resp, fmt.Errorf("ask %s: read answer: %w", req.Op, err)
	}
	return resp, nil
}
