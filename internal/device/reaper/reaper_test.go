package reaper

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"net/netip"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ashlar/internal/device/power"
)

var testMAC = [6]byte{0x52, 0x54, 0, 0x12, 0x34, 0x56}

// server answers a client's messages: a wire whose other end is a function.
type server struct {
	answer func(n int, m []byte) [][]byte
	asked  [][]byte
	queue  [][]byte
}

func (s *server) send(m []byte) error {
	s.asked = append(s.asked, m)
	s.queue = append(s.queue, s.answer(len(s.asked), m)...)
	return nil
}

func (s *server) receive(time.Duration) ([]byte, error) {
	if len(s.queue) == 0 {
		return nil, unix.EAGAIN
	}
	m := s.queue[0]
	s.queue = s.queue[1:]
	return m, nil
}

// reply makes a server's answer to a client's message.
func reply(to []byte, kind byte, options ...byte) []byte {
	b := slices.Clone(to[:headerSize])
	b[0] = 2
	copy(b[16:], []byte{192, 0, 2, 7})
	b = append(b, cookie...)
	b = append(b, optPad, optType, 1, kind, optServer, 4, 192, 0, 2, 1)
	return append(append(b, options...), optEnd)
}

var leaseOptions = []byte{optMask, 4, 255, 255, 255, 192, optRouter, 4, 192, 0, 2, 2, optDNS, 8, 192, 0, 2, 3, 192, 0, 2, 4, optLease, 4, 0, 0, 14, 16}

func option(m []byte, code byte) []byte {
	for rest := m[headerSize+4:]; len(rest) > 0 && rest[0] != optEnd; rest = rest[2+int(rest[1]):] {
		if rest[0] == code {
			return rest[2 : 2+int(rest[1])]
		}
	}
	return nil
}

func testClient(s *server) client {
	return client{wire: s, hardware: testMAC, first: 10 * time.Millisecond, tries: 3}
}

// TestObtain: an offer is requested, whatever else is heard, and the answer read.
func TestObtain(t *testing.T) {
	s := &server{answer: func(n int, m []byte) [][]byte {
		other := reply(m, offer)
		binary.BigEndian.PutUint32(other[4:], 1)
		switch n {
		case 1:
			return nil // lost
		case 2:
			return [][]byte{other, []byte("garbage"), reply(m, offer)}
		}
		return [][]byte{reply(m, offer), reply(m, ack, leaseOptions...)}
	}}
	lease, err := testClient(s).obtain()
	if err != nil {
		t.Fatal(err)
	}
	prefix, err := lease.prefix()
	if err != nil || prefix.String() != "192.0.2.7/26" || lease.router.String() != "192.0.2.2" || lease.lease != time.Hour || len(lease.dns) != 2 {
		t.Errorf("%+v, %s, %v", lease, prefix, err)
	}
	if len(s.asked) != 3 || string(option(s.asked[2], optRequested)) != "\xc0\x00\x02\x07" || string(option(s.asked[2], optServer)) != "\xc0\x00\x02\x01" {
		t.Errorf("%d messages; the last: %s", len(s.asked), hex.EncodeToString(s.asked[len(s.asked)-1]))
	}
	for _, m := range s.asked {
		if len(m) < leastSize || m[10] != 0x80 || string(m[28:34]) != string(testMAC[:]) {
			t.Errorf("asked %s", hex.EncodeToString(m))
		}
	}
}

func TestRenew(t *testing.T) {
	s := &server{answer: func(_ int, m []byte) [][]byte { return [][]byte{reply(m, ack, leaseOptions...)} }}
	before := message{yours: netip.MustParseAddr("192.0.2.7"), bits: 26}
	after, err := testClient(s).renew(before)
	if err != nil || sameLease(before, after) || string(s.asked[0][12:16]) != "\xc0\x00\x02\x07" || option(s.asked[0], optServer) != nil {
		t.Errorf("%+v, %v, asked %s", after, err, hex.EncodeToString(s.asked[0]))
	}
	if got := pause(after); got != 30*time.Minute {
		t.Errorf("a lease of an hour is left alone for %s", got)
	}
	if got := pause(message{}); got > time.Minute {
		t.Errorf("no lease is left alone for %s", got)
	}
}

func TestObtainFails(t *testing.T) {
	for want, answer := range map[string]func(int, []byte) [][]byte{
		"no DHCP server answers": func(int, []byte) [][]byte { return nil },
		"refuses the address": func(n int, m []byte) [][]byte {
			return [][]byte{reply(m, map[bool]byte{true: offer, false: nak}[n == 1])}
		},
		"gives the address 0.0.0.0": func(n int, m []byte) [][]byte {
			b := reply(m, map[bool]byte{true: offer, false: ack}[n == 1])
			clear(b[16:20])
			return [][]byte{b}
		},
	} {
		if _, err := testClient(&server{answer: answer}).obtain(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an error with %q", err, want)
		}
	}
}

func FuzzParseMessage(f *testing.F) {
	m := message{kind: discover, hardware: testMAC}.encode()
	f.Add(m)
	f.Add(reply(m, ack, leaseOptions...))
	f.Add(reply(m, ack, leaseOptions...)[:headerSize+9])
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := parseMessage(data)
		if err == nil && (m.kind == 0 || m.bits > 32 || len(m.dns) > 3) {
			t.Errorf("%+v", m)
		}
	})
}

func TestHardwareOf(t *testing.T) {
	if mac, err := hardwareOf("52:54:00:12:34:56\n"); err != nil || mac != testMAC {
		t.Errorf("%x, %v", mac, err)
	}
	for _, bad := range []string{"", "52:54:00:12:34", "00:00:00:00:00:00", "zz:54:00:12:34:56"} {
		if mac, err := hardwareOf(bad); err == nil {
			t.Errorf("%q: %x", bad, mac)
		}
	}
}

func TestMaskOf(t *testing.T) {
	for bits, want := range map[int][4]byte{0: {}, 1: {128}, 8: {255}, 26: {255, 255, 255, 192}, 32: {255, 255, 255, 255}} {
		if got := maskOf(bits); got != want {
			t.Errorf("%d bits: %v, want %v", bits, got, want)
		}
	}
}

func TestFindCard(t *testing.T) {
	dir := t.TempDir()
	for name, kind := range map[string]string{"lo": "772", "sit0": "776", "eth1": "1", "eth0": "1"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name, "type"), []byte(kind+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for asked, want := range map[string]string{"": "eth0", "eth1": "eth1", "sit0": "sit0"} {
		if got, err := findCard(dir, asked, 0); err != nil || got != want {
			t.Errorf("%q: %s, %v", asked, got, err)
		}
	}
	if _, err := findCard(dir, "eth7", 30*time.Millisecond); err == nil || !strings.Contains(err.Error(), "eth7") {
		t.Errorf("eth7: %v", err)
	}
	if err := setAddress("lo", netip.MustParsePrefix("2001:db8::7/64"), netip.Addr{}); err == nil {
		t.Error("a static IPv6 address is set")
	}
}

func TestWriteResolver(t *testing.T) {
	path := filepath.Join(t.TempDir(), "run/resolv.conf")
	if err := writeResolver(path, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no servers: %v", err)
	}
	if err := writeResolver(path, []netip.Addr{netip.MustParseAddr("192.0.2.3"), netip.MustParseAddr("2001:db8::3")}); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != "nameserver 192.0.2.3\nnameserver 2001:db8::3\n" {
		t.Errorf("%q, %v", text, err)
	}
}

func TestMeaning(t *testing.T) {
	for s, want := range map[syscall.Signal]struct {
		action  power.Action
		forward syscall.Signal
	}{
		unix.SIGCHLD: {}, unix.SIGURG: {}, unix.SIGINT: {power.Reboot, unix.SIGTERM}, unix.SIGTERM: {power.Off, unix.SIGTERM},
		unix.SIGPWR: {power.Off, unix.SIGTERM}, unix.SIGHUP: {0, unix.SIGHUP}, unix.SIGUSR1: {0, unix.SIGUSR1},
	} {
		if action, forward := meaning(s); action != want.action || forward != want.forward {
			t.Errorf("%v: %v, %v", s, action, forward)
		}
	}
}

// TestReap has real children: one that is not the application ends first, the
// application is sent a signal, and its end is what counts.
func TestReap(t *testing.T) {
	for script, c := range map[string]struct {
		send   os.Signal
		action power.Action
		want   string
	}{
		"exit 0":     {action: power.Off},
		"exit 7":     {want: "status 7"},
		"kill -9 $$": {want: "signal 9"},
		"trap 'exit 0' TERM; while :; do sleep 0.01; done": {send: unix.SIGINT, action: power.Reboot},
	} {
		signals := make(chan os.Signal, 8)
		signal.Notify(signals, unix.SIGCHLD)
		spawn := func(script string) int {
			pid, err := syscall.ForkExec("/bin/sh", []string{"sh", "-c", script}, &syscall.ProcAttr{Env: os.Environ(), Files: []uintptr{0, 1, 2}})
			if err != nil {
				t.Fatal(err)
			}
			return pid
		}
		spawn("exit 3")
		pid := spawn(script)
		if c.send != nil {
			time.AfterFunc(200*time.Millisecond, func() { signals <- c.send })
		}
		action, err := reap(pid, signals)
		signal.Stop(signals)
		if action != c.action || (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, %v", script, action, err)
		}
		for reaped := true; reaped; { // the other child may be left
			var st syscall.WaitStatus
			child, err := syscall.Wait4(-1, &st, syscall.WNOHANG, nil)
			reaped = err == nil && child > 0
		}
	}
}
