package supervise

import (
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestParseNotice(t *testing.T) {
	for text, want := range map[string]Notice{
		"READY=1":                        {Ready: true},
		"READY=1\nSTATUS=up\nMAINPID=77": {Ready: true, Status: "up", MainPID: 77},
		"STOPPING=1\n":                   {Stopping: true},
		"READY=0\nMAINPID=1\nMAINPID=x":  {},
		"nonsense":                       {},
	} {
		if got := ParseNotice([]byte(text)); got != want {
			t.Errorf("%q: %+v, want %+v", text, got, want)
		}
	}
}

func FuzzParseNotice(f *testing.F) {
	f.Add([]byte("READY=1\nMAINPID=5"))
	f.Add([]byte("=\n\n\x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if n := ParseNotice(data); n.MainPID == 1 || n.MainPID < 0 {
			t.Errorf("main PID %d", n.MainPID)
		}
	})
}

func TestNotifyHearsOnlyItsUser(t *testing.T) {
	path := filepath.Join(t.TempDir(), "n.sock")
	heard := make(chan Notice, 1)
	if err := listenNotify(t.Context(), path, uint32(os.Geteuid()), func(n Notice) { heard <- n }); err != nil {
		t.Fatal(err)
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("READY=1")); err != nil {
		t.Fatal(err)
	}
	select {
	case n := <-heard:
		if !n.Ready {
			t.Errorf("heard %+v", n)
		}
	case <-time.After(5 * time.Second):
		t.Error("nothing heard")
	}
	if _, ok := senderUID(nil); ok {
		t.Error("a message without credentials has a sender")
	}
}

func TestSignalReachesOneProcessOnly(t *testing.T) {
	for _, pid := range []int{1, 0, -1, -os.Getpid()} {
		if err := signal(pid, 0); err == nil {
			t.Errorf("signal to %d is sent", pid)
		}
	}
	if err := signal(os.Getpid(), 0); err != nil {
		t.Errorf("signal to this process: %v", err)
	}
}
