package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ashlar/internal/contract/control"
)

func TestParseArgs(t *testing.T) {
	for line, want := range map[string]options{
		"status":             {command: "status"},
		"--json ps":          {command: "ps", json: true},
		"logs -f web":        {command: "logs", service: "web", follow: true},
		"logs web -n 100 -f": {command: "logs", service: "web", follow: true, bytes: 100},
		"restart web --json": {command: "restart", service: "web", json: true},
		"stop --help":        {command: "help"},
	} {
		if got, err := parseArgs(strings.Fields(line)); err != nil || got != want {
			t.Errorf("%q: %+v, %v; want %+v", line, got, err, want)
		}
	}
	for _, line := range []string{"", "nonsense", "start", "start a b", "status x", "ps -x", "logs a -n", "logs a -n 0", "ps -f", "signal a"} {
		if got, err := parseArgs(strings.Fields(line)); !errors.Is(err, errUsage) {
			t.Errorf("%q: %+v, %v; want a usage error", line, got, err)
		}
	}
}

func TestPrint(t *testing.T) {
	var out bytes.Buffer
	services := []control.Service{{Name: "web", State: "running", PID: 7, Restarts: 2, Since: 1.25, Exit: "signal: killed"}}
	if err := printServices(&out, services); err != nil {
		t.Fatal(err)
	}
	const want = "NAME  STATE    PID  RESTARTS  SINCE  LAST END\nweb   running  7    2         1.2 s  signal: killed\n"
	if out.String() != want {
		t.Errorf("printed\n%s", out.String())
	}
	out.Reset()
	if err := printJSON(&out, control.OpPS, control.Response{Services: services}); err != nil {
		t.Fatal(err)
	}
	if got := out.String(); !strings.HasPrefix(got, `[{"name":"web","state":"running"`) || !strings.HasSuffix(got, "}]\n") {
		t.Errorf("printed %s", got)
	}
	if err := printStatus(&out, nil); err == nil {
		t.Error("no status is printed")
	}
}

func TestRotatedFindsTheNewFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.log")
	if err := os.WriteFile(path, []byte("old"), 0o644); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if next := rotated(f, path); next != nil {
		t.Error("the same file is taken for a new one")
	}
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	if next := rotated(f, path); next != nil {
		t.Error("a missing file is taken for a new one")
	}
	if err := os.WriteFile(path, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	next := rotated(f, path)
	if next == nil {
		t.Fatal("the new file is not seen")
	}
	next.Close()
}
