package agent

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ashlar/internal/contract/control"
)

// echo answers with what was asked, and faults on request.
type echo struct{}

func (echo) Handle(_ context.Context, req control.Request) control.Response {
	switch req.Op {
	case "fault":
		panic("on request")
	case "long":
		return control.Response{Text: strings.Repeat("\x01", control.MaxLine) + "end"}
	}
	return control.Response{Text: req.Op + " " + req.Service}
}

func socket(t *testing.T) (string, *net.UnixConn) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "deep", "control.sock")
	if err := ListenSocket(t.Context(), path, echo{}); err != nil {
		t.Fatal(err)
	}
	conn, err := Dial(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return path, conn
}

func TestSocketAnswersInOrder(t *testing.T) {
	path, conn := socket(t)
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("socket: %v, %v; want mode 0600", info, err)
	}
	for _, c := range []struct {
		op, text, fault string
	}{
		{op: "ps", text: "ps x"},
		{op: "fault", fault: "internal fault"},
		{op: "stop", text: "stop x"},
	} {
		resp, err := Call(conn, control.Request{Op: c.op, Service: "x"})
		if err != nil || resp.Text != c.text || !strings.Contains(resp.Error, c.fault) {
			t.Errorf("%s: %+v, %v", c.op, resp, err)
		}
	}
}

func TestSocketSurvivesBadLines(t *testing.T) {
	_, conn := socket(t)
	overlong := strings.Repeat("z", control.MaxLine+5)
	if _, err := conn.Write([]byte("\n\nno json\n{\"op\":5}\n" + overlong + "\n{\"op\":\"ps\"}\n")); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(conn)
	for _, want := range []string{"invalid character", "cannot unmarshal", "longer than", `"text":"ps "`} {
		line, err := r.ReadString('\n')
		if err != nil || !strings.Contains(line, want) {
			t.Errorf("answer %q, %v; want %s in it", line, err, want)
		}
	}
}

func TestLongTextIsCutAtItsStart(t *testing.T) {
	_, conn := socket(t)
	resp, err := Call(conn, control.Request{Op: "long"})
	if err != nil || !strings.HasSuffix(resp.Text, "end") || len(resp.Text) < control.MaxLine/16 {
		t.Errorf("%d bytes, %v", len(resp.Text), err)
	}
}

func TestFindPort(t *testing.T) {
	sys := t.TempDir()
	for port, name := range map[string]string{"vport0p1": "other", "vport1p2": control.OpStatus} {
		if err := os.Mkdir(filepath.Join(sys, port), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(sys, port, "name"), []byte(name+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if node, ok := findPort(sys, control.OpStatus); !ok || node != "/dev/vport1p2" {
		t.Errorf("found %q, %v", node, ok)
	}
	if node, ok := findPort(sys, "none"); ok {
		t.Errorf("found %q", node)
	}
}

func FuzzReadRequest(f *testing.F) {
	f.Add([]byte(`{"op":"ps"}` + "\n" + `{"op":"logs","service":"a","bytes":-1}` + "\n"))
	f.Add([]byte("\n\n{\n"))
	f.Add(bytes.Repeat([]byte("a"), 5000))
	f.Fuzz(func(t *testing.T, data []byte) {
		r := bufio.NewReaderSize(bytes.NewReader(data), 16)
		lines := bytes.Count(data, []byte("\n"))
		for i := 0; ; i++ {
			_, err := ReadRequest(r)
			var bad *RequestError
			if err != nil && !errors.As(err, &bad) {
				if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
					t.Fatal(err)
				}
				return
			}
			if i >= lines {
				t.Fatalf("%d requests out of %d lines", i+1, lines)
			}
		}
	})
}
