package qemu

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"regexp"
	"strings"
	"testing"
	"time"

	"ashlar/internal/contract/control"
)

// client gives an agent client with the port open, and the guest's end.
func client(t testing.TB) (*AgentClient, net.Conn) {
	t.Helper()
	ours, theirs := net.Pipe()
	a := newAgentClient(ours)
	a.setOpen(true)
	t.Cleanup(func() {
		if err := errors.Join(a.close(), theirs.Close()); err != nil {
			t.Error(err)
		}
	})
	return a, theirs
}

func limit(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// TestAgentKeepsOrder gives up two requests; their answers come before the
// third's and must not be taken for it.
func TestAgentKeepsOrder(t *testing.T) {
	a, guest := client(t)
	requests := bufio.NewScanner(guest)
	asked := make(chan string)
	go func() {
		defer close(asked)
		for requests.Scan() {
			var request control.Request
			if json.Unmarshal(requests.Bytes(), &request) != nil {
				return
			}
			asked <- request.Op
		}
	}()
	for _, op := range []string{"first", "second"} {
		ctx, cancel := context.WithCancel(limit(t))
		go func() {
			<-asked
			cancel()
		}()
		if _, err := a.Do(ctx, control.Request{Op: op}); !errors.Is(err, context.Canceled) {
			t.Fatalf("%s: %v", op, err)
		}
	}
	go func() {
		<-asked
		// The error of a write shows as a missing answer.
		_, _ = io.WriteString(guest, `{"text":"first"}`+"\n"+`{"text":"second"}`+"\n"+`{"text":"third"}`+"\n")
	}()
	if response, err := a.Do(limit(t), control.Request{Op: "third"}); err != nil || response.Text != "third" {
		t.Errorf("response %+v, %v", response, err)
	}
}

// TestAgentForgetsReboot gives up a request that a reboot leaves unanswered.
func TestAgentForgetsReboot(t *testing.T) {
	a, guest := client(t)
	lines := bufio.NewScanner(guest)
	ctx, cancel := context.WithCancel(limit(t))
	go func() {
		lines.Scan()
		cancel()
	}()
	if _, err := a.Do(ctx, control.Request{Op: "lost"}); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	a.setOpen(false)
	a.setOpen(true)
	go func() {
		lines.Scan()
		_, _ = io.WriteString(guest, `{"text":"new"}`+"\n")
	}()
	if response, err := a.Do(limit(t), control.Request{Op: "new"}); err != nil || response.Text != "new" {
		t.Errorf("response %+v, %v", response, err)
	}
}

func TestAgentClosedPort(t *testing.T) {
	a, guest := client(t)
	go func() {
		bufio.NewScanner(guest).Scan()
		a.setOpen(false)
	}()
	if _, err := a.Do(limit(t), control.Request{Op: "x"}); err == nil || !strings.Contains(err.Error(), "closed the agent port") {
		t.Errorf("error %v", err)
	}
	done := make(chan error)
	go func() {
		_, err := a.Do(limit(t), control.Request{Op: "y"})
		done <- err
	}()
	if err := guest.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; !errors.Is(err, errStopped) {
		t.Errorf("error %v", err)
	}
}

func TestReadLine(t *testing.T) {
	long := strings.Repeat("x", control.MaxLine)
	r := bufio.NewReaderSize(strings.NewReader("a\n\n"+long[1:]+"\n"+long+"\nend\nrest"), 64)
	for i, want := range []struct {
		line string
		err  error
	}{{"a", nil}, {"", nil}, {long[1:], nil}, {"", errLongLine}, {"end", nil}, {"", io.EOF}} {
		line, err := readLine(r)
		if string(line) != want.line || !errors.Is(err, want.err) {
			t.Errorf("line %d: %d bytes, %v, want %d, %v", i, len(line), err, len(want.line), want.err)
		}
	}
}

// FuzzAgent answers a request with foreign bytes.
func FuzzAgent(f *testing.F) {
	f.Add([]byte(`{"text":"x"}` + "\n"))
	f.Add([]byte(`{"services":[{"name":1}]}` + "\n"))
	f.Add([]byte("\n\n\xff{"))
	f.Fuzz(func(t *testing.T, answer []byte) {
		ours, theirs := net.Pipe()
		a := newAgentClient(ours)
		a.setOpen(true)
		go func() {
			bufio.NewScanner(theirs).Scan()
			_, _ = theirs.Write(answer)
			theirs.Close()
		}()
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		response, err := a.Do(ctx, control.Request{Op: "x"})
		if line, _, whole := bytes.Cut(answer, []byte("\n")); !whole && err == nil {
			t.Errorf("%q was taken for an answer: %+v", answer, response)
		} else if whole && !json.Valid(line) && err == nil {
			t.Errorf("%q was taken for JSON", line)
		}
		if errors.Is(err, context.DeadlineExceeded) {
			t.Error("the client does not see the end")
		}
		if err := a.close(); err != nil {
			t.Error(err)
		}
	})
}

func TestSerial(t *testing.T) {
	ctx := limit(t)
	var tee bytes.Buffer
	s := newSerial(&tee)
	go func() {
		for _, text := range []string{"one tw", "o thr", "ee two\n"} {
			_, _ = s.Write([]byte(text))
		}
	}()
	for _, want := range []string{"two", "three", "two"} {
		if _, err := s.wait(ctx, regexp.MustCompile(want)); err != nil {
			t.Fatal(err)
		}
	}
	if tee.String() != "one two three two\n" {
		t.Errorf("tee got %q", tee.String())
	}
	given, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := s.wait(given, regexp.MustCompile("two")); !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "one two three two") {
		t.Errorf("error %v", err)
	}
	s.close()
	if _, err := s.wait(ctx, regexp.MustCompile("two")); !errors.Is(err, errStopped) {
		t.Errorf("error %v", err)
	}
}

// TestSerialBound writes more than is kept, in two steps, and waits for the end.
func TestSerialBound(t *testing.T) {
	s := newSerial(nil)
	_, _ = s.Write([]byte("start"))
	if _, err := s.wait(limit(t), regexp.MustCompile("start")); err != nil {
		t.Fatal(err)
	}
	_, _ = s.Write(bytes.Repeat([]byte("."), serialKeep-2))
	_, _ = s.Write([]byte("end"))
	if kept := s.bytes(); len(kept) != serialKeep || !bytes.HasSuffix(kept, []byte(".end")) {
		t.Errorf("kept %d bytes", len(kept))
	}
	if _, err := s.wait(limit(t), regexp.MustCompile("end")); err != nil {
		t.Error(err)
	}
}

func TestLastLines(t *testing.T) {
	in := "a\x1b[2J\x1b[01;01Hb\r\nc\x00\x07d\n\xff\n" + "e\n"
	if got := lastLines([]byte(in), 3); got != "  cd\n  ?\n  e" {
		t.Errorf("%q", got)
	}
}
