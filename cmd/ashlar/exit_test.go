package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"ashlar/internal/builder/definition"
	"ashlar/internal/builder/distro/deb"
	"ashlar/internal/builder/distro/deb/resolve"
	"ashlar/internal/builder/lock"
	"ashlar/internal/builder/pipeline"
	"ashlar/internal/builder/sandbox"
	"ashlar/internal/builder/store"
)

// TestExitCodes: each kind of failure has its code, however deep it is wrapped.
func TestExitCodes(t *testing.T) {
	for _, c := range []struct {
		err  error
		code int
	}{
		{errors.New("anything"), 1},
		{&usageError{errors.New("x")}, 2}, {pipeline.ErrNotDeclared, 2},
		{definition.Errors{{Message: "x"}}, 3}, {&resolve.Error{}, 3},
		{pipeline.ErrNoLock, 4}, {pipeline.ErrBadLock, 4}, {lock.ErrStale, 4},
		{store.ErrUnavailable, 5},
		{store.ErrMismatch, 6}, {deb.ErrUntrusted, 6},
		{syscall.ENOSPC, 7}, {&sandbox.RefusedError{}, 7},
		{errDifferent, 8},
		{errInterrupted, 130},
		{&childError{errors.New("x"), 5}, 5},
	} {
		for _, err := range []error{c.err, fmt.Errorf("deep: %w", fmt.Errorf("deeper: %w", c.err)), errors.Join(errors.New("other"), c.err)} {
			if got := exitCode(err); got != c.code {
				t.Errorf("%T %v: exit code %d, want %d", err, err, got, c.code)
			}
		}
	}
	seen := map[int]bool{exitOK: true, exitFailed: true}
	for _, row := range exitCodes {
		if seen[row.code] || row.meaning == "" {
			t.Errorf("exit code %d is there twice or means nothing", row.code)
		}
		seen[row.code] = true
	}
}

func TestReport(t *testing.T) {
	wrong := definition.Errors{{Position: definition.Position{File: "f", Line: 2, Column: 3}, Key: "name", Message: "is \"<bad>\""}}
	for _, c := range []struct {
		err        error
		text, json string
	}{
		{nil, "", ""},
		{errors.New("read x: gone"), "ashlar: read x: gone\n", `{"event":"error","error":"read x: gone","exit":1}`},
		{errDifferent, "", ""},
		{wrong, "f:2:3: name: is \"<bad>\"\n", `{"event":"error","error":"f:2:3: name: is \"\u003cbad\u003e\"","exit":3,"definition":[{"position":{"file":"f","line":2,"column":3},"key":"name","message":"is \"\u003cbad\u003e\""}]}`},
	} {
		var text, line bytes.Buffer
		if a, b := report(c.err, &text, false), report(c.err, &line, true); a != b {
			t.Errorf("%v: exit code %d, with JSON %d", c.err, a, b)
		}
		if text.String() != c.text || strings.TrimSuffix(line.String(), "\n") != c.json {
			t.Errorf("%v is told as\n%s%s", c.err, &text, &line)
		}
		if line.Len() > 0 && !json.Valid(line.Bytes()) {
			t.Errorf("no JSON: %s", &line)
		}
	}
}

// TestInterrupted sends a signal while a mirror is silent.
func TestInterrupted(t *testing.T) {
	asked, done := make(chan string, 100), make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		asked <- strings.Split(r.URL.Path, "/")[1]
		<-done
	}))
	defer server.Close()
	defer close(done)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "ashlar.toml"), []byte("name = \"x\"\nbase.suite = \"trixie\"\nbase.mirrors = [\""+server.URL+"\"]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, signal := range []os.Signal{os.Interrupt, syscall.SIGTERM} {
		cmd := exec.Command("ashlar", "lock", dir)
		cmd.Env = append(os.Environ(), "ASHLAR_STORE="+filepath.Join(dir, ".store"), "ASHLAR_MIRROR_DEBIAN="+server.URL+"/"+signal.String())
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		patience := time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() }) // then the code is another
		for who := ""; who != signal.String(); who = <-asked {                     // not one before it
		}
		if err := cmd.Process.Signal(signal); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait() // the code tells
		patience.Stop()
		if code := cmd.ProcessState.ExitCode(); code != 130 || !strings.Contains(stderr.String(), "interrupted") {
			t.Errorf("%v: exit code %d\n%s", signal, code, &stderr)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "ashlar.lock")); err == nil {
		t.Error("a lock was written")
	}
	left, err := filepath.Glob(filepath.Join(dir, ".store", "tmp", "*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left in the store: %q, %v", left, err)
	}
}

// TestSecondSignal: what waits in the kernel, here for the lock that is a pipe,
// ends too.
func TestSecondSignal(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "ashlar.toml"), []byte("name = \"x\"\nbase.suite = \"trixie\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "ashlar.lock"), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("ashlar", "build", dir)
	cmd.Env = append(os.Environ(), "ASHLAR_STORE="+filepath.Join(dir, ".store"))
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }() // the state tells
	const pause, tries = 50 * time.Millisecond, 200
	for range tries {
		select {
		case <-ended:
			if status := cmd.ProcessState.Sys().(syscall.WaitStatus); status.Signal() != syscall.SIGINT {
				t.Errorf("it ended by itself: %v", cmd.ProcessState)
			}
			return
		case <-time.After(pause):
			_ = cmd.Process.Signal(os.Interrupt) // or it ends right now
		}
	}
	_ = cmd.Process.Kill() // it is stuck
	<-ended
	t.Errorf("%d signals did not end it", tries)
}
