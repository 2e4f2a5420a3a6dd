package agent

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// retry is how often a port is looked for, and looked at while no host is
// connected: the kernel then gives an end of file at once.
const retry = 250 * time.Millisecond

// findFor is how long a port is looked for: a machine without one has none.
const findFor = 10 * time.Second

// ServePort serves the virtio serial port of the name until ctx ends. It
// returns early when the machine has no such port.
func ServePort(ctx context.Context, name string, h Handler) {
	deadline := time.Now().Add(findFor)
	for ctx.Err() == nil {
		node, ok := findPort("/sys/class/virtio-ports", name)
		if !ok {
			if time.Now().After(deadline) {
				return
			}
			sleep(ctx, retry)
			continue
		}
		servePort(ctx, node, h)
		sleep(ctx, retry)
	}
}

// findPort gives the device node of a port; there is no udev that would make
// a link by name.
func findPort(sys, name string) (string, bool) {
	files, err := filepath.Glob(filepath.Join(sys, "*", "name"))
	if err != nil {
		return "", false
	}
	for _, file := range files {
		if text, err := os.ReadFile(file); err == nil && strings.TrimSpace(string(text)) == name {
			return "/dev/" + filepath.Base(filepath.Dir(file)), true
		}
	}
	return "", false
}

// servePort serves one host after the other, on one open port.
func servePort(ctx context.Context, node string, h Handler) {
	port, err := os.OpenFile(node, os.O_RDWR, 0)
	if err != nil {
		return // busy or gone; the caller comes again
	}
	defer port.Close()
	stop := context.AfterFunc(ctx, func() { port.Close() })
	defer stop()
	for ctx.Err() == nil {
		// A half line of a host that went away is dropped with its reader.
		if err := Serve(ctx, port, h); err != nil {
			return
		}
		sleep(ctx, retry)
	}
}

func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
