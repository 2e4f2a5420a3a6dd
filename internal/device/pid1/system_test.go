package pid1

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ashlar/internal/contract/machine"
)

func TestSetSysctls(t *testing.T) {
	proc := t.TempDir()
	if err := os.MkdirAll(filepath.Join(proc, "net/ipv4/conf/eth0.5"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"net/ipv4/ip_forward", "net/ipv4/conf/eth0.5/rp_filter"} {
		if err := os.WriteFile(filepath.Join(proc, name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	err := setSysctls(proc, []machine.Setting{
		{Name: "net.ipv4.ip_forward", Value: "1"},
		{Name: "net/ipv4/conf/eth0.5/rp_filter", Value: "2"},
		{Name: "no.such", Value: "1"},
		{Name: "../../etc/passwd", Value: "1"},
	})
	if err == nil || !strings.Contains(err.Error(), "no.such") || !strings.Contains(err.Error(), "../../etc/passwd") {
		t.Errorf("error %v: want both bad names in it", err)
	}
	for name, want := range map[string]string{"net/ipv4/ip_forward": "1\n", "net/ipv4/conf/eth0.5/rp_filter": "2\n"} {
		if got, _ := os.ReadFile(filepath.Join(proc, name)); string(got) != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
}

func TestShellValue(t *testing.T) {
	text := "# LANG=no\nLC_ALL=x\nLANG=\"de_DE.UTF-8\"\n"
	if got := shellValue(text, "LANG"); got != "de_DE.UTF-8" {
		t.Errorf("LANG is %q", got)
	}
	if got := shellValue(text, "TZ"); got != "" {
		t.Errorf("TZ is %q", got)
	}
}

func TestReadMachineRefusesNewerVersion(t *testing.T) {
	root := t.TempDir()
	if err := os.MkdirAll(filepath.Join(root, "usr/lib/ashlar"), 0o755); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(root, "usr/lib/ashlar/machine.json")
	write := func(text string) {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write(`{"version":99}`)
	if _, err := ReadMachine(root); err == nil || !strings.Contains(err.Error(), "version 99") {
		t.Errorf("version 99: error %v", err)
	}
	write(`{"version":1,"hostname":"h"}`)
	if m, err := ReadMachine(root); err != nil || m.Hostname != "h" {
		t.Errorf("version 1: %+v, %v", m, err)
	}
}
