package power

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSameDevice(t *testing.T) {
	const mountinfo = `22 1 0:20 / /proc rw - proc proc rw
23 1 254:2 / /run/ashlar/state rw,noatime - ext4 /dev/vda2 rw
24 1 254:2 /tree/var/log /var/log rw - ext4 /dev/vda2 rw
25 1 254:1 / /run/ashlar/system ro - ext4 /dev/vda1 ro
26 24 254:2 /tree/a\040b /var/log/a\040b rw - ext4 /dev/vda2 rw
short line
`
	want := []string{"/var/log/a b", "/var/log", "/run/ashlar/state"}
	if diff := cmp.Diff(want, sameDevice(mountinfo, "/run/ashlar/state")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := sameDevice(mountinfo, "/nowhere"); got != nil {
		t.Errorf("nowhere: %v", got)
	}
}

func TestOthers(t *testing.T) {
	proc := t.TempDir()
	for pid, stat := range map[string]string{
		"1":    "1 (init) S 0 1",
		"2":    "2 (kthreadd) S 0 0",
		"9":    "9 (kworker/0:0) I 2 0",
		"50":   "50 (a) b) 2 (c) S 1 50", // a name may hold anything
		"51":   "51 (zombie) Z 1 51",
		"self": "",
	} {
		if err := os.MkdirAll(filepath.Join(proc, pid), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(proc, pid, "stat"), []byte(stat), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if n := others(proc); n != 2 {
		t.Errorf("%d others, want 2", n)
	}
}

func TestPowerButton(t *testing.T) {
	sys := t.TempDir()
	for name, bitmap := range map[string]string{
		"event0": "10000000000000 0",                                            // bit 116: KEY_POWER
		"event1": "70000 0 0 0 0",                                               // a mouse
		"event3": "402000000 3803078f800d001 feffffdfffefffff fffffffffffffffe", // a keyboard, which has the key
		"event2": "1f 0 0 0 10000000000000 0",
	} {
		dir := filepath.Join(sys, name, "device/capabilities")
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "key"), []byte(bitmap+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff([]string{"event0", "event2", "event3"}, buttons(sys)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	var events bytes.Buffer
	for _, e := range [][3]uint32{{evKey, 30, 1}, {evKey, keyPower, 1}, {0, 0, 0}, {evKey, keyPower, 0}} {
		events.Write(make([]byte, 16))
		for _, half := range []uint16{uint16(e[0]), uint16(e[1])} {
			if err := binary.Write(&events, binary.NativeEndian, half); err != nil {
				t.Fatal(err)
			}
		}
		if err := binary.Write(&events, binary.NativeEndian, e[2]); err != nil {
			t.Fatal(err)
		}
	}
	presses := 0
	readButton(&events, func() { presses++ })
	if presses != 1 {
		t.Errorf("%d presses, want 1", presses)
	}
}
