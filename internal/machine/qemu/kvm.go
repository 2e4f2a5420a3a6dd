package qemu

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"time"
)

// probeTime bounds the KVM probe; where KVM works it takes 0.2 s.
const probeTime = 5 * time.Second

// probeSector is a boot sector that ends the emulator through its debug exit
// port: mov dx, 0xf4; mov al, 0x10; out dx, al; hlt; jmp to the hlt.
const probeSector = "\xba\xf4\x00\xb0\x10\xee\xf4\xeb\xfd"

// probeExit is the exit code that makes: 0x10<<1 | 1.
const probeExit = 33

// ProbeKVM reports whether a boot sector really runs under KVM: a /dev/kvm
// that opens is not enough, nested ones may stop at the first instruction.
func (e *Emulator) ProbeKVM(ctx context.Context) bool {
	device, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0)
	if err != nil {
		return false
	}
	if device.Close() != nil {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	sector := make([]byte, 512)
	copy(sector, probeSector)
	sector[510], sector[511] = 0x55, 0xaa
	dir, err := os.MkdirTemp("", "ashlar-kvm-")
	if err != nil {
		return false
	}
	defer os.RemoveAll(dir)
	if os.WriteFile(dir+"/probe.img", bytes.Join([][]byte{sector, make([]byte, 1<<20)}, nil), 0o600) != nil {
		return false
	}
	args := []string{
		"-no-user-config", "-nodefaults", "-display", "none", "-machine", "q35,accel=kvm", "-cpu", processors[KVM], "-m", "64M",
		"-device", "isa-debug-exit,iobase=0xf4,iosize=0x04",
		"-drive", "if=none,id=disk,format=raw,file=" + escape(dir+"/probe.img"), "-device", "virtio-blk-pci,drive=disk,bootindex=1",
	}
	cmd := exec.CommandContext(ctx, e.command[0], append(e.command[1:len(e.command):len(e.command)], args...)...)
	cmd.Env = e.env
	var exit *exec.ExitError
	return errors.As(cmd.Run(), &exit) && exit.ExitCode() == probeExit
}
