package pid1_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ashlar/internal/contract/control"
	"ashlar/internal/machine/qemu"
	"ashlar/internal/testenv"
)

// bootTime bounds a boot by software emulation on a busy machine.
const bootTime = 5 * time.Minute

// console begins each command line. An emulator on a busy host misses ticks,
// which the kernel's check of its timer takes for a broken one, and panics.
const console = "console=ttyS0 quiet no_timer_check "

// boot starts the disk and gives the machine and what it said when ready.
func (d *disk) boot(t *testing.T, ctx context.Context, config qemu.Config) (*qemu.VM, *qemu.AgentClient) {
	t.Helper()
	config.Disk, config.Kernel, config.Initrd, config.NoReboot = d.image, d.kernel, d.initrd, true
	config.Cmdline = strings.TrimSpace(console + "panic=-1 " + config.Cmdline)
	vm, err := d.emulator.Start(ctx, config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("serial line:\n%s", vm.SerialLog())
		}
		if err := vm.Close(); err != nil {
			t.Error(err)
		}
	})
	agent, err := vm.Agent(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return vm, agent
}

func byName(t *testing.T, list []control.Service, name string) control.Service {
	t.Helper()
	for _, s := range list {
		if s.Name == name {
			return s
		}
	}
	t.Fatalf("no service %s in %+v", name, list)
	return control.Service{}
}

// said waits for what the machine is about to say, or has said.
func said(ctx context.Context, vm *qemu.VM, text string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for !bytes.Contains(vm.SerialLog(), []byte(text)) {
		select {
		case <-vm.Done():
			if bytes.Contains(vm.SerialLog(), []byte(text)) {
				return nil
			}
			return fmt.Errorf("the machine ended and has not said %q, but:\n%s", text, vm.SerialLog())
		case <-ctx.Done():
			return fmt.Errorf("the machine has not said %q, but:\n%s", text, vm.SerialLog())
		case <-time.After(100 * time.Millisecond):
		}
	}
	return nil
}

// off presses the button and checks the disk that is left.
func (d *disk) off(t *testing.T, ctx context.Context, vm *qemu.VM) {
	t.Helper()
	if err := vm.Powerdown(ctx); err != nil {
		t.Fatal(err)
	}
	if err := said(ctx, vm, "ashlar: power off"); err != nil {
		t.Fatal(err)
	}
	if err := vm.Wait(ctx); err != nil {
		t.Fatal(err)
	}
	d.checkState(t)
}

// checkState has e2fsck look at the state partition; a journal that needs
// recovery is no clean end.
func (d *disk) checkState(t *testing.T) {
	t.Helper()
	part := filepath.Join(t.TempDir(), "state")
	d.copyState(t, part)
	if out, err := exec.Command(testenv.RequireTool(t, "e2fsck"), "-fn", part).CombinedOutput(); err != nil {
		t.Errorf("e2fsck: %v\n%s", err, out)
	}
	out, err := exec.Command(testenv.RequireTool(t, "dumpe2fs"), "-h", part).CombinedOutput()
	if err != nil || bytes.Contains(out, []byte("needs_recovery")) || !bytes.Contains(out, []byte("state:         clean")) {
		t.Errorf("state is not clean: %v\n%s", err, out)
	}
}

// TestBoot boots real machines from one disk: state and id are kept, the disk
// grows, a killed service comes back, and each end leaves a clean file system.
func TestBoot(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 3*bootTime)
	defer cancel()
	d := makeDisk(t)

	vm, agent := d.boot(t, ctx, qemu.Config{MemoryMB: 128})
	services, err := agent.Ready(ctx, bootTime)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"count": control.StateRunning, "notify": control.StateRunning, "fail": control.StateFailed, "needs-fail": control.StateFailed} {
		if got := byName(t, services, name); got.State != want {
			t.Errorf("%+v, want %s", got, want)
		}
	}
	if err := said(ctx, vm, "count: boots=1 seeded=from-image uid=1000 gid=1000 groups=[1000 1001]"); err != nil {
		t.Error(err)
	}
	if err := said(ctx, vm, "ashlar: ready NAME=boottest generation=0123456789abcdef services=2/4 seconds="); err != nil {
		t.Error(err)
	}
	first, err := agent.Status(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if first.Hostname != "boothost" || first.State != "degraded" || len(first.MachineID) != 32 || first.StateBytes == 0 {
		t.Errorf("status %+v", first)
	}
	killAndAwait(t, ctx, vm, agent, services)
	d.off(t, ctx, vm)

	vm, agent = d.boot(t, ctx, qemu.Config{DiskSize: 400 << 20})
	if _, err := agent.Ready(ctx, bootTime); err != nil {
		t.Fatal(err)
	}
	// The first boot counted twice: the service was killed once.
	if err := said(ctx, vm, "count: boots=3 seeded=from-image"); err != nil {
		t.Error(err)
	}
	second, err := agent.Status(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if second.MachineID != first.MachineID || second.BootID == first.BootID {
		t.Errorf("ids: first %+v, second %+v", first, second)
	}
	if second.StateBytes < 3*first.StateBytes || second.StateBytes < 300<<20 {
		t.Errorf("state has %d bytes, then %d on a disk of 400 MiB", first.StateBytes, second.StateBytes)
	}
	d.off(t, ctx, vm)
}

func killAndAwait(t *testing.T, ctx context.Context, vm *qemu.VM, agent *qemu.AgentClient, services []control.Service) {
	t.Helper()
	before := byName(t, services, "count")
	if _, err := agent.Do(ctx, control.Request{Op: control.OpSignal, Service: "count", Signal: "SIGKILL"}); err != nil {
		t.Fatal(err)
	}
	for ctx.Err() == nil {
		list, err := agent.PS(ctx)
		if err != nil {
			t.Fatal(err)
		}
		now := byName(t, list, "count")
		if now.State == control.StateRunning && now.PID != before.PID {
			if now.Restarts != before.Restarts+1 || now.Exit != "signal: killed" {
				t.Errorf("after the kill: %+v", now)
			}
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	if err := said(ctx, vm, "count: boots=2"); err != nil {
		t.Error(err)
	}
	if log, err := agent.Logs(ctx, "count"); err != nil || strings.Count(log, "boots=") != 2 {
		t.Errorf("log %q, %v", log, err)
	}
}

// TestBootWithoutState: a machine whose state is gone says so and serves.
func TestBootWithoutState(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), bootTime)
	defer cancel()
	d := makeDisk(t)
	vm, agent := d.boot(t, ctx, qemu.Config{Cmdline: "ashlar.state=LABEL=gone", Snapshot: true})
	if _, err := agent.Ready(ctx, bootTime); err != nil {
		t.Fatal(err)
	}
	status, err := agent.Status(ctx)
	if err != nil || status.State != "degraded" || status.StateBytes != 0 {
		t.Errorf("status %+v, %v", status, err)
	}
	log := string(vm.SerialLog())
	for _, want := range []string{"find LABEL=gone: no such device", "LABEL=ashlar-state", "VOLATILE", "count: boots=1 seeded=from-image"} {
		if !strings.Contains(log, want) {
			t.Errorf("the serial line does not say %q", want)
		}
	}
	if err := agent.PowerOff(ctx); err != nil {
		t.Fatal(err)
	}
	if err := vm.Wait(ctx); err != nil {
		t.Error(err)
	}
}

// TestBootWithoutSystem: no partition to boot from ends in a list of what is
// there, and with panic=… in another try.
func TestBootWithoutSystem(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), bootTime)
	defer cancel()
	d := makeDisk(t)
	vm, err := d.emulator.Start(ctx, qemu.Config{Disk: d.image, Kernel: d.kernel, Initrd: d.initrd, NoReboot: true, Snapshot: true,
		Cmdline: console + "panic=5 ashlar.system=UUID=" + strings.Repeat("0", 8)})
	if err != nil {
		t.Fatal(err)
	}
	defer vm.Close()
	for _, want := range []string{"boot failed: find system partition", "LABEL=ashlar-system", "starting again in 10s"} {
		if err := said(ctx, vm, want); err != nil {
			t.Fatal(err)
		}
	}
	if err := vm.Wait(ctx); err != nil {
		t.Error(err)
	}
}

func writeFile(t *testing.T, path string, data []byte, mode os.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, mode); err != nil {
		t.Fatal(err)
	}
}
