package qemu

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"ashlar/internal/contract/control"
)

// AgentClient speaks contract/control with the machine over the virtio port
// layout.AgentPort. Requests are sent one at a time; it may be used from
// several goroutines.
type AgentClient struct {
	conn    net.Conn
	lines   chan []byte   // lines of the guest
	ended   chan struct{} // closed when the emulator has gone
	quit    chan struct{} // closed by close
	request chan struct{} // holds a token when no request is under way

	mu     sync.Mutex
	open   bool          // the guest has the port open
	change chan struct{} // closed and replaced when open changes
	owed   int           // answers to requests that were given up
}

// lostAnswer is how long an answer may take that the guest wrote before it
// closed the port: it is on its way through the emulator already.
const lostAnswer = 2 * time.Second

func newAgentClient(conn net.Conn) *AgentClient {
	a := &AgentClient{
		conn: conn, lines: make(chan []byte, 16), ended: make(chan struct{}), quit: make(chan struct{}),
		request: make(chan struct{}, 1), change: make(chan struct{}),
	}
	a.request <- struct{}{}
	go a.read()
	return a
}

func (a *AgentClient) read() {
	defer close(a.ended)
	lines := bufio.NewReaderSize(a.conn, 64<<10)
	for {
		line, err := readLine(lines)
		if err != nil && !errors.Is(err, errLongLine) {
			return
		}
		select {
		case a.lines <- line:
		case <-a.quit:
			return
		}
	}
}

// close ends the reader.
func (a *AgentClient) close() error {
	close(a.quit)
	return a.conn.Close()
}

var errClosed = errors.New("the machine has closed the agent port")

var errLongLine = errors.New("line too long")

// readLine reads a line of at most control.MaxLine bytes. Of a longer one
// nothing is kept, so that no guest can fill the host's memory.
func readLine(r *bufio.Reader) ([]byte, error) {
	var line []byte
	long := false
	for {
		part, err := r.ReadSlice('\n')
		if long = long || len(line)+len(part) > control.MaxLine; long {
			line = nil
		} else {
			line = append(line, part...)
		}
		switch {
		case err == nil && long:
			return nil, errLongLine
		case err == nil:
			return bytes.TrimSuffix(line, []byte("\n")), nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, err
		}
	}
}

// setOpen notes that the guest opened or closed the port. What it owed before
// will not come.
func (a *AgentClient) setOpen(open bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.open = open
	if open {
		a.owed = 0
		for range len(a.lines) {
			<-a.lines
		}
	}
	close(a.change)
	a.change = make(chan struct{})
}

func (a *AgentClient) state() (open bool, change <-chan struct{}) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.open, a.change
}

func (a *AgentClient) waitOpen(ctx context.Context) error {
	for {
		open, change := a.state()
		if open {
			return nil
		}
		select {
		case <-change:
		case <-a.ended:
			return errStopped
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// Do sends a request and returns its response; a response that is an error
// is returned as one, too. Do waits until the machine listens.
func (a *AgentClient) Do(ctx context.Context, request control.Request) (control.Response, error) {
	response, err := a.do(ctx, request)
	if err == nil && response.Error != "" {
		err = errors.New(response.Error)
	}
	if err != nil {
		err = fmt.Errorf("ask the machine for %s: %w", request.Op, err)
	}
	return response, err
}

func (a *AgentClient) do(ctx context.Context, request control.Request) (response control.Response, err error) {
	line, err := json.Marshal(request)
	if err != nil {
		return response, err
	}
	if len(line) >= control.MaxLine {
		return response, errLongLine
	}
	select {
	case <-a.request:
		defer func() { a.request <- struct{}{} }()
	case <-ctx.Done():
		return response, context.Cause(ctx)
	}
	if err := a.waitOpen(ctx); err != nil {
		return response, err
	}
	if _, err := a.conn.Write(append(line, '\n')); err != nil {
		return response, err
	}
	answer, err := a.answer(ctx)
	if err != nil {
		a.mu.Lock()
		a.owed++
		a.mu.Unlock()
		return response, err
	}
	if err := json.Unmarshal(answer, &response); err != nil {
		return response, fmt.Errorf("read the answer: %w", err)
	}
	return response, nil
}

// answer takes the answer to the request just sent, after those owed.
func (a *AgentClient) answer(ctx context.Context) ([]byte, error) {
	var lost <-chan time.Time
	_, change := a.state()
	for {
		select {
		case line := <-a.lines:
			if a.settle() {
				continue
			}
			return line, nil
		case <-change:
			var open bool
			if open, change = a.state(); !open {
				lost = time.After(lostAnswer)
			}
		case <-lost:
			return nil, errClosed
		case <-a.ended:
			select {
			case line := <-a.lines:
				if a.settle() {
					continue
				}
				return line, nil
			default:
				return nil, fmt.Errorf("%w: %w", errStopped, io.ErrUnexpectedEOF)
			}
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// settle reports whether the line just read was owed.
func (a *AgentClient) settle() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.owed == 0 {
		return false
	}
	a.owed--
	return true
}

// Ready waits until every service is ready or has failed.
func (a *AgentClient) Ready(ctx context.Context, timeout time.Duration) ([]control.Service, error) {
	for {
		response, err := a.Do(ctx, control.Request{Op: control.OpReady, Timeout: int(timeout / time.Second)})
		// UEFI firmware opens the port and leaves it again before the machine does.
		if errors.Is(err, errClosed) && ctx.Err() == nil {
			if err := a.waitOpen(ctx); err != nil {
				return nil, fmt.Errorf("ask the machine for ready: %w", err)
			}
			continue
		}
		return response.Services, err
	}
}

// PS lists the services.
func (a *AgentClient) PS(ctx context.Context) ([]control.Service, error) {
	response, err := a.Do(ctx, control.Request{Op: control.OpPS})
	return response.Services, err
}

// Status says how the machine is.
func (a *AgentClient) Status(ctx context.Context) (*control.Status, error) {
	response, err := a.Do(ctx, control.Request{Op: control.OpStatus})
	if err == nil && response.Status == nil {
		err = errors.New("ask the machine for status: the answer has none")
	}
	return response.Status, err
}

// Logs gives the end of a service's log.
func (a *AgentClient) Logs(ctx context.Context, service string) (string, error) {
	response, err := a.Do(ctx, control.Request{Op: control.OpLogs, Service: service})
	return response.Text, err
}

// PowerOff asks the machine to shut down; VM.Wait waits for it.
func (a *AgentClient) PowerOff(ctx context.Context) error {
	_, err := a.Do(ctx, control.Request{Op: control.OpPowerOff})
	return err
}
