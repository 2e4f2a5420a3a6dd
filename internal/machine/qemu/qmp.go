package qemu

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
)

// qmp speaks QEMU's machine protocol: JSON objects, a line each. The greeting
// comes first; then answers in the order of the commands, and events between.
type qmp struct {
	conn    net.Conn
	mu      sync.Mutex // held by the command under way
	answers chan qmpMessage
	events  func(name string, data json.RawMessage)
	ended   chan struct{} // closed when the emulator has gone
}

type qmpMessage struct {
	Greeting json.RawMessage `json:"QMP"`
	Return   json.RawMessage `json:"return"`
	Error    *struct {
		Class string `json:"class"`
		Desc  string `json:"desc"`
	} `json:"error"`
	Event string          `json:"event"`
	Data  json.RawMessage `json:"data"`
}

// openQMP waits for the greeting and turns commands on. events is called from
// the reading goroutine and must not run commands.
func openQMP(ctx context.Context, conn net.Conn, events func(string, json.RawMessage)) (*qmp, error) {
	q := &qmp{conn: conn, answers: make(chan qmpMessage, 1), events: events, ended: make(chan struct{})}
	go q.read()
	if _, err := q.answer(ctx); err != nil {
		return nil, err
	}
	_, err := q.do(ctx, "qmp_capabilities", nil)
	return q, err
}

func (q *qmp) read() {
	defer close(q.ended)
	decoder := json.NewDecoder(bufio.NewReader(q.conn))
	for {
		var m qmpMessage
		if err := decoder.Decode(&m); err != nil {
			return
		}
		if m.Event != "" {
			q.events(m.Event, m.Data)
			continue
		}
		// Room for one: a command waits for its answer, but may have given up.
		select {
		case <-q.answers:
		default:
		}
		q.answers <- m
	}
}

func (q *qmp) answer(ctx context.Context) (qmpMessage, error) {
	select {
	case m := <-q.answers:
		return m, nil
	case <-q.ended:
		return qmpMessage{}, fmt.Errorf("the emulator has ended: %w", io.ErrUnexpectedEOF)
	case <-ctx.Done():
		return qmpMessage{}, context.Cause(ctx)
	}
}

// do runs one command. After a command that was given up the next ones fail:
// answers have lost their order.
func (q *qmp) do(ctx context.Context, command string, arguments any) (json.RawMessage, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	line, err := json.Marshal(struct {
		Execute   string `json:"execute"`
		Arguments any    `json:"arguments,omitempty"`
	}{command, arguments})
	if err != nil {
		return nil, fmt.Errorf("tell the emulator %s: %w", command, err)
	}
	if _, err := q.conn.Write(append(line, '\n')); err != nil {
		return nil, fmt.Errorf("tell the emulator %s: %w", command, err)
	}
	m, err := q.answer(ctx)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("tell the emulator %s: %w", command, err), q.conn.Close())
	}
	if m.Error != nil {
		return nil, fmt.Errorf("tell the emulator %s: %s: %s", command, m.Error.Class, m.Error.Desc)
	}
	return m.Return, nil
}
