// Package console writes lines to every console of the machine without ever
// making the writer wait: a terminal that does not take its output loses lines,
// and says how many.
package console

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// queueLines bounds what waits for a slow console. A serial line at 115,200
// baud takes about 140 lines a second.
const queueLines = 512

// Console takes lines. All methods may be called at once.
type Console struct {
	out     []*os.File
	queue   chan string
	done    chan struct{}
	mu      sync.Mutex
	dropped int
	closed  bool
}

// Open opens every active console of the kernel.
func Open() *Console { return New(openAll()) }

// New makes a console of files, which it owns.
func New(out []*os.File) *Console {
	c := &Console{out: out, queue: make(chan string, queueLines), done: make(chan struct{})}
	go c.drain()
	return c
}

// openAll opens what /sys/class/tty/console/active names ("tty0 ttyS0"), or
// /dev/console.
func openAll() []*os.File {
	var out []*os.File
	active, _ := os.ReadFile("/sys/class/tty/console/active")
	for _, name := range strings.Fields(string(active)) {
		if f, err := os.OpenFile("/dev/"+name, os.O_WRONLY|unix.O_NOCTTY, 0); err == nil {
			out = append(out, f)
		}
	}
	if len(out) > 0 {
		return out
	}
	if f, err := os.OpenFile("/dev/console", os.O_WRONLY|unix.O_NOCTTY, 0); err == nil {
		out = append(out, f)
	}
	return out
}

// Line writes a line; control characters in it are replaced.
func (c *Console) Line(text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return
	}
	if c.dropped > 0 {
		select {
		case c.queue <- fmt.Sprintf("ashlar: console too slow, %d lines dropped", c.dropped):
			c.dropped = 0
		default:
		}
	}
	select {
	case c.queue <- Printable(text):
	default:
		c.dropped++
	}
}

// Say writes a message of PID 1: "ashlar: SECONDS text", seconds since boot.
func (c *Console) Say(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	for _, line := range strings.Split(strings.TrimRight(text, "\n"), "\n") {
		c.Line(fmt.Sprintf("ashlar: %.3f %s", Uptime().Seconds(), line))
	}
}

// Mark writes a line that programs wait for: "ashlar: text", without a time.
func (c *Console) Mark(format string, args ...any) {
	c.Line("ashlar: " + fmt.Sprintf(format, args...))
}

// Close writes what waits, for as long as most, and closes the consoles.
func (c *Console) Close(most time.Duration) {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return
	}
	c.closed = true
	close(c.queue)
	c.mu.Unlock()
	select {
	case <-c.done:
	case <-time.After(most):
	}
	for _, f := range c.out {
		f.Close()
	}
}

func (c *Console) drain() {
	defer close(c.done)
	for line := range c.queue {
		for _, f := range c.out {
			// A console that fails has nobody to tell it to.
			_, _ = f.WriteString(line + "\n")
		}
	}
}

// Printable replaces control characters, so that what a service prints cannot
// steer the terminal or forge a line.
func Printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r == '\t' {
			return ' '
		}
		if r < 0x20 || r == 0x7f || (r >= 0x80 && r < 0xa0) {
			return -1
		}
		return r
	}, strings.ToValidUTF8(text, "?"))
}

// Uptime is the time since boot.
func Uptime() time.Duration {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &now); err != nil {
		return 0
	}
	return time.Duration(now.Nano())
}
