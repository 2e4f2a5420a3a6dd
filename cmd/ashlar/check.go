package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"ashlar/internal/builder/definition"
	"ashlar/internal/machine/qemu"
)

// retryPause is between two tries of a check that has not succeeded yet. A try
// is short at first, since the emulator holds a connection made before the
// machine listens, and longer each time, for what is slow to answer.
const (
	retryPause = 200 * time.Millisecond
	firstTry   = 3 * time.Second
	longestTry = 20 * time.Second
)

// checkOne makes one declared check, again and again until it succeeds or its
// time is over.
func checkOne(ctx context.Context, vm *qemu.VM, t definition.Test) error {
	within, err := time.ParseDuration(t.Within)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	if t.Service != "" {
		return serviceRunning(ctx, vm, t.Service, within)
	}
	addr := vm.ForwardedAddr(guestPort(t))
	for limit := firstTry; ; limit = min(2*limit, longestTry) {
		try, done := context.WithTimeout(ctx, limit)
		if t.HTTP != "" {
			err = checkHTTP(try, addr, t)
		} else {
			err = checkTCP(try, addr)
		}
		done()
		if err == nil {
			return nil
		}
		select {
		case <-time.After(retryPause):
		case <-vm.Done():
			return errors.New("the machine has stopped")
		case <-ctx.Done():
			return fmt.Errorf("not within %s: %w", t.Within, err)
		}
	}
}

func checkHTTP(ctx context.Context, addr string, t definition.Test) error {
	u, err := url.Parse(t.HTTP)
	if err != nil {
		return err
	}
	u.Host = addr
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	const limit = 4 << 20
	body, err := io.ReadAll(io.LimitReader(resp.Body, limit))
	switch {
	case err != nil:
		return err
	case resp.StatusCode != http.StatusOK:
		return fmt.Errorf("answers %s", resp.Status)
	case !strings.Contains(string(body), t.Expect):
		return fmt.Errorf("answers without %q", t.Expect)
	}
	return nil
}

// checkTCP waits for a connection on which the other side does not hang up at
// once, as the emulator does while nobody listens in the guest. A server that
// waits for the client to speak first counts as answering.
func checkTCP(ctx context.Context, addr string) error {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	const silence = 2 * time.Second
	if err := conn.SetReadDeadline(time.Now().Add(silence)); err != nil {
		return err
	}
	_, err = bufio.NewReader(conn).ReadByte()
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		return nil
	}
	return err
}

// guestPort is the port that a check connects to, or 0.
func guestPort(t definition.Test) int {
	host := strings.TrimPrefix(t.TCP, ":")
	if t.HTTP != "" {
		u, err := url.Parse(t.HTTP)
		if err != nil {
			return 0
		}
		if host = u.Port(); host == "" {
			host = "80"
		}
	}
	port, err := strconv.Atoi(host)
	if err != nil {
		return 0
	}
	return port
}

func testName(t definition.Test) string {
	switch {
	case t.HTTP != "":
		return "http " + t.HTTP
	case t.TCP != "":
		return "tcp " + t.TCP
	}
	return "service " + t.Service
}
