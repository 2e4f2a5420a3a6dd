package qemu

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"ashlar/internal/testenv"
)

// TestAuto asks the emulator itself whether it took KVM where the probe says
// that it works, and nowhere else.
func TestAuto(t *testing.T) {
	testenv.RequireTool(t, programName)
	e, err := FromPath()
	if err != nil {
		t.Fatal(err)
	}
	disk := filepath.Join(t.TempDir(), "disk.img")
	if err := os.WriteFile(disk, make([]byte, 1<<20), 0o644); err != nil {
		t.Fatal(err)
	}
	vm, err := e.Start(t.Context(), Config{Disk: disk, Accel: Auto})
	if err != nil {
		t.Fatal(err)
	}
	defer vm.Close()
	answer, err := vm.qmp.do(t.Context(), "query-kvm", nil)
	if err != nil {
		t.Fatal(err)
	}
	var kvm struct{ Enabled bool }
	if err := json.Unmarshal(answer, &kvm); err != nil {
		t.Fatal(err)
	}
	if works := e.ProbeKVM(t.Context()); kvm.Enabled != works {
		t.Errorf("KVM enabled: %t, works: %t", kvm.Enabled, works)
	}
}
