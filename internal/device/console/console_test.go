package console

import (
	"bufio"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"
)

func TestLinesAndMarks(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	c := New([]*os.File{w})
	c.Line("web: \x1b[2Jforged\r\nashlar: ready\tx\xff")
	c.Say("two\nlines")
	c.Mark("ready NAME=%s", "x")
	c.Close(5 * time.Second)
	c.Line("after the end")
	c.Close(time.Second)
	var got []string
	for lines := bufio.NewScanner(r); lines.Scan(); {
		got = append(got, lines.Text())
	}
	want := []string{`^web: \[2Jforgedashlar: ready x\?$`, `^ashlar: \d+\.\d{3} two$`, `^ashlar: \d+\.\d{3} lines$`, `^ashlar: ready NAME=x$`}
	if len(got) != len(want) {
		t.Fatalf("lines %q", got)
	}
	for i := range want {
		if !regexp.MustCompile(want[i]).MatchString(got[i]) {
			t.Errorf("line %q, want %s", got[i], want[i])
		}
	}
}

// TestSlowConsoleLosesLines: a terminal that takes nothing stops nobody.
func TestSlowConsoleLosesLines(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	c := New([]*os.File{w})
	const lines = 5000
	for i := range lines { // a pipe holds 64 KiB, less than a quarter of this
		c.Line(fmt.Sprintf("%d %s", i, strings.Repeat("x", 60)))
	}
	go func() {
		time.Sleep(50 * time.Millisecond)
		c.Line("last")
		c.Close(5 * time.Second)
	}()
	n := 0
	for in := bufio.NewScanner(r); in.Scan(); n++ {
	}
	if n >= lines || n < queueLines {
		t.Errorf("%d lines of %d came through", n, lines)
	}
}
