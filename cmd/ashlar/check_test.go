package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"ashlar/internal/builder/definition"
	"ashlar/internal/machine/qemu"
)

func TestCheckHTTP(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.RequestURI() {
		case "/page?q=1":
			fmt.Fprint(w, "Welcome to the page")
		default:
			http.NotFound(w, r)
		}
	}))
	defer server.Close()
	addr := strings.TrimPrefix(server.URL, "http://")
	for _, c := range []struct {
		test definition.Test
		want string // of the error; "" for none
	}{
		{definition.Test{HTTP: "http://:80/page?q=1"}, ""},
		{definition.Test{HTTP: "http://:80/page?q=1", Expect: "to the"}, ""},
		{definition.Test{HTTP: "http://:80/page?q=1", Expect: "goodbye"}, `answers without "goodbye"`},
		{definition.Test{HTTP: "http://:80/none"}, "answers 404 Not Found"},
	} {
		err := checkHTTP(t.Context(), addr, c.test)
		if got := fmt.Sprint(err); c.want == "" && err != nil || c.want != "" && got != c.want {
			t.Errorf("%+v: %v, want %q", c.test, err, c.want)
		}
	}
	server.Close()
	if err := checkHTTP(t.Context(), addr, definition.Test{HTTP: "http://:80/"}); err == nil {
		t.Error("nobody listens, and the check succeeds")
	}
}

// listen serves connections with one handler.
func listen(t *testing.T, handle func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go handle(conn)
		}
	}()
	return l.Addr().String()
}

// TestCheckTCP: who greets or waits is there; who hangs up is not.
func TestCheckTCP(t *testing.T) {
	greets := listen(t, func(c net.Conn) { fmt.Fprintln(c, "SSH-2.0-x"); c.Close() })
	hangsUp := listen(t, func(c net.Conn) { c.Close() })
	waits := listen(t, func(c net.Conn) { time.Sleep(time.Minute); c.Close() })
	for addr, want := range map[string]bool{greets: true, hangsUp: false, waits: true} {
		if err := checkTCP(t.Context(), addr); (err == nil) != want {
			t.Errorf("%s: %v", addr, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := checkTCP(ctx, greets); err == nil {
		t.Error("a check that is over succeeds")
	}
}

func TestGuestPort(t *testing.T) {
	for _, c := range []struct {
		test definition.Test
		port int
		name string
	}{
		{definition.Test{HTTP: "http://:8080/x"}, 8080, "http http://:8080/x"},
		{definition.Test{HTTP: "http://localhost/"}, 80, "http http://localhost/"},
		{definition.Test{TCP: ":22"}, 22, "tcp :22"},
		{definition.Test{TCP: "22"}, 22, "tcp 22"},
		{definition.Test{Service: "nginx"}, 0, "service nginx"},
	} {
		if got := guestPort(c.test); got != c.port || testName(c.test) != c.name {
			t.Errorf("%+v: port %d, name %q", c.test, got, testName(c.test))
		}
	}
}

func TestParsePublish(t *testing.T) {
	for text, want := range map[string]qemu.PortForward{
		"8080:80":           {HostPort: 8080, GuestPort: 80},
		"0:22":              {GuestPort: 22}, // any free port of the host
		"127.0.0.2:8080:80": {HostAddr: "127.0.0.2", HostPort: 8080, GuestPort: 80},
		"0.0.0.0:1:65535":   {HostAddr: "0.0.0.0", HostPort: 1, GuestPort: 65535},
	} {
		if got, err := parsePublish(text); err != nil || got != want {
			t.Errorf("%q: %+v, %v", text, got, err)
		}
	}
	for _, bad := range []string{"", "80", ":", "a:80", "80:0", "80:65536", "-1:80", "1:2:3", "localhost:1:2", "1.2.3.4:1:2:3", "80:80/tcp", " 80:80", "+80:80"} {
		if got, err := parsePublish(bad); err == nil {
			t.Errorf("%q: %+v", bad, got)
		}
	}
}

func TestCheckResultText(t *testing.T) {
	for r, want := range map[checkResult]string{
		{Check: "tcp :22", OK: true}:                   "ok   tcp :22",
		{Check: "tcp :22", Error: "the machine ended"}: "FAIL tcp :22: the machine ended",
	} {
		if r.String() != want {
			t.Errorf("%q", r)
		}
	}
}
