package qemu_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"ashlar/internal/contract/control"
	"ashlar/internal/machine/qemu"
	"ashlar/internal/machine/qemu/testguest"
	"ashlar/internal/testenv"
)

// Command lines here have no_timer_check: on a busy host QEMU's timer thread
// comes too late for the kernel's check of the timer interrupt, which panics.

// bootTime bounds a boot by software emulation on a busy machine.
const bootTime = 4 * time.Minute

// installed gives the QEMU on PATH, of whatever age; where kernels boot the
// tests take Debian's.
func installed(t *testing.T) *qemu.Emulator {
	t.Helper()
	testenv.RequireTool(t, "qemu-system-x86_64")
	e, err := qemu.FromPath()
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func start(t *testing.T, e *qemu.Emulator, config qemu.Config) (*qemu.VM, context.Context) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), bootTime)
	t.Cleanup(cancel)
	vm, err := e.Start(ctx, config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := vm.Close(); err != nil {
			t.Error(err)
		}
	})
	return vm, ctx
}

func TestMachine(t *testing.T) {
	archive := testenv.Debian(t, "trixie")
	guest := testguest.Make(t, archive.CloudKernel(t))
	e, root := testguest.Emulator(t, archive)
	disk := filepath.Join(t.TempDir(), "a,disk.img")
	if err := os.WriteFile(disk, make([]byte, 1<<20), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Run("libraries", func(t *testing.T) { testLibraries(t, e, root, disk) })
	t.Run("agent", func(t *testing.T) { testAgent(t, e, guest, disk) })
	t.Run("end", func(t *testing.T) { testEnd(t, e, guest, disk) })
}

func testAgent(t *testing.T, e *qemu.Emulator, guest testguest.Guest, disk string) {
	vm, ctx := start(t, e, qemu.Config{
		Kernel: guest.Kernel, Initrd: guest.Initrd, Cmdline: "console=ttyS0 quiet panic=-1 no_timer_check guest.agent",
		Disk: disk, Snapshot: true, DiskSize: 3 << 20, NoReboot: true,
		Publish: []qemu.PortForward{{GuestPort: 80}},
	})
	if err := vm.WaitSerial(ctx, "disk=6144"); err != nil {
		t.Fatal(err)
	}
	agent, err := vm.Agent(ctx)
	if err != nil {
		t.Fatal(err)
	}
	status, err := agent.Status(ctx)
	if err != nil || status.Name != "guest" {
		t.Errorf("status %v, %v", status, err)
	}
	given, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
	defer cancel()
	if _, err := agent.Do(given, control.Request{Op: control.OpRestart}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a request without an answer: %v", err)
	}
	if _, err := agent.Do(ctx, control.Request{Op: "dance"}); err == nil || !strings.Contains(err.Error(), "ask the machine for dance: cannot dance") {
		t.Errorf("error %v", err)
	}
	if services, err := agent.Ready(ctx, time.Minute); err != nil || len(services) != 1 || services[0].State != control.StateRunning {
		t.Errorf("services %v, %v", services, err)
	}
	if text, err := agent.Logs(ctx, "one"); err != nil || text != "log of one" {
		t.Errorf("log %q, %v", text, err)
	}
	conn, err := net.Dial("tcp", vm.ForwardedAddr(80))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if said, err := io.ReadAll(conn); err != nil || string(said) != "hello from the guest\n" {
		t.Errorf("port 80 said %q, %v", said, err)
	}
	if err := agent.PowerOff(ctx); err != nil {
		t.Error(err)
	}
	if err := vm.Wait(ctx); err != nil {
		t.Error(err)
	}
	if _, err := agent.Status(ctx); err == nil {
		t.Error("a machine that is off has a status")
	}
	if info, err := os.Stat(disk); err != nil || info.Size() != 1<<20 {
		t.Errorf("the disk of a snapshot changed: %v, %v", info, err)
	}
}

// testEnd lets a machine end by itself and looks at what is left.
func testEnd(t *testing.T, e *qemu.Emulator, guest testguest.Guest, disk string) {
	t.Setenv("TMPDIR", t.TempDir())
	var console strings.Builder
	vm, ctx := start(t, e, qemu.Config{
		Kernel: guest.Kernel, Initrd: guest.Initrd, Cmdline: "console=ttyS0 quiet panic=-1 no_timer_check guest.poweroff",
		Disk: disk, DiskSize: 2 << 20, Console: &console, MemoryMB: 128, NoReboot: true,
	})
	match, err := vm.WaitSerialMatch(ctx, regexp.MustCompile(`guest: cmdline .* uefi=(\w+) secure=\w+ disk=(\d+)\s`))
	if err != nil {
		t.Fatal(err)
	}
	if match[1] != "false" || match[2] != "4096" {
		t.Errorf("match %q", match)
	}
	err = vm.WaitSerial(ctx, "never said")
	if err == nil || !strings.Contains(err.Error(), "the machine has stopped") || !strings.Contains(err.Error(), "guest: cmdline") {
		t.Errorf("error %v", err)
	}
	if err := vm.Wait(ctx); err != nil {
		t.Error(err)
	}
	if console.String() != string(vm.SerialLog()) {
		t.Error("the console got something else than the log")
	}
	if err := vm.Close(); err != nil {
		t.Error(err)
	}
	left, err := filepath.Glob(os.Getenv("TMPDIR") + "/*")
	if err != nil || len(left) != 0 {
		t.Errorf("left behind: %q, %v", left, err)
	}
	if info, err := os.Stat(disk); err != nil || info.Size() != 2<<20 {
		t.Errorf("the disk did not grow: %v, %v", info, err)
	}
}

// testLibraries looks at the files that an unpacked emulator has mapped.
func testLibraries(t *testing.T, e *qemu.Emulator, root, disk string) {
	vm, _ := start(t, e, qemu.Config{Disk: disk})
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", vm.PID()))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range regexp.MustCompile(`(?m)/.*$`).FindAllString(string(maps), -1) {
		if !strings.HasPrefix(path, root) && !strings.HasPrefix(path, "/dev/") && !strings.HasPrefix(path, "/memfd:") {
			t.Errorf("the emulator uses the host's %s", path)
		}
	}
}

func TestStartRefuses(t *testing.T) {
	e := installed(t)
	t.Setenv("TMPDIR", t.TempDir())
	disk := filepath.Join(t.TempDir(), "disk.img")
	if err := os.WriteFile(disk, make([]byte, 1<<20), 0o644); err != nil {
		t.Fatal(err)
	}
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	port := taken.Addr().(*net.TCPAddr).Port
	for want, config := range map[string]qemu.Config{
		"neither a disk nor a kernel":     {},
		"a microVM has no drive":          {Disk: disk, MicroVM: true},
		"further disks without a first":   {Kernel: disk, Disks: []string{disk}},
		"more than 4096":                  {Disk: disk, DiskSize: 4096},
		"firmware \"coreboot\"":           {Disk: disk, Firmware: "coreboot"},
		"no-such-file":                    {Disk: "no-such-file"},
		"no-such-option":                  {Disk: disk, Args: []string{"-no-such-option"}},
		"ports up to 65535":               {Disk: disk, Publish: []qemu.PortForward{{GuestPort: 65536}}},
		"ould not set up host forwarding": {Disk: disk, Publish: []qemu.PortForward{{HostPort: port, GuestPort: 80}}},
	} {
		vm, err := e.Start(t.Context(), config)
		if err == nil {
			t.Errorf("%+v was started", config)
			vm.Close()
		} else if !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "start machine: ") {
			t.Errorf("error %v, want %q", err, want)
		}
	}
	left, err := filepath.Glob(os.Getenv("TMPDIR") + "/*")
	if err != nil || len(left) != 0 {
		t.Errorf("left behind: %q, %v", left, err)
	}
}

// TestContext ends the context and expects the machine to end.
func TestContext(t *testing.T) {
	e := installed(t)
	disk := filepath.Join(t.TempDir(), "disk.img")
	if err := os.WriteFile(disk, make([]byte, 1<<20), 0o644); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	vm, err := e.Start(ctx, qemu.Config{Disk: disk})
	if err != nil {
		t.Fatal(err)
	}
	defer vm.Close()
	if err := vm.Reset(ctx); err != nil {
		t.Error(err)
	}
	if err := vm.Powerdown(ctx); err != nil {
		t.Error(err)
	}
	if err := vm.Type([]byte("x")); err != nil {
		t.Error(err)
	}
	cancel()
	if err := vm.Wait(t.Context()); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Errorf("end %v", err)
	}
}
