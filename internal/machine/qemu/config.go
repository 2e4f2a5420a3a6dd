package qemu

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"ashlar/internal/contract/layout"
)

// Firmware is what starts the boot loader.
type Firmware string

// The kinds of firmware.
const (
	BIOS       Firmware = "bios"
	UEFI       Firmware = "uefi"
	UEFISecure Firmware = "uefi-secure" // Secure Boot on, with Microsoft's keys
)

// Accel is how instructions are run.
type Accel string

// The accelerators.
const (
	TCG  Accel = "tcg"  // by software; works everywhere
	KVM  Accel = "kvm"  // by the processor; an error where it does not work
	Auto Accel = "auto" // KVM where a short probe runs on it, else TCG
)

// PortForward leads connections to a port of this host to a port of the guest.
type PortForward struct {
	Proto     string // "tcp" (also when empty) or "udp"
	HostAddr  string // IPv4 address of this host; empty: 127.0.0.1
	HostPort  int    // 0: a free one, see VM.ForwardedAddr
	GuestAddr string // IPv4 address; empty: the one DHCP gives
	GuestPort int
}

// Config is a machine. Of its fields only Disk, CDROM or Kernel must be set, or Program.
type Config struct {
	Disk     string   // raw disk image
	Snapshot bool     // keep Disk as it is; what the machine writes is lost at its end
	DiskSize int64    // bytes, when the disk shall be larger than the image; the image grows unless Snapshot
	Disks    []string // further raw images, read only, behind Disk
	CDROM    string   // an ISO image in the drive; started from when there is no disk
	Program  string   // a program that UEFI starts, as from removable media
	Firmware Firmware // empty: BIOS
	MicroVM  bool     // a machine without PCI and firmware settings, of virtio-mmio; it starts Kernel

	Kernel, Initrd, Cmdline string // direct boot, without a loader

	MemoryMB int   // 0: 512
	CPUs     int   // 0: 1
	Accel    Accel // empty: TCG
	Publish  []PortForward
	NoReboot bool      // a reboot ends the machine
	Console  io.Writer // gets what the machine says on its serial line, also
	Args     []string  // more arguments for QEMU
}

func (c Config) withDefaults() Config {
	if c.Firmware == "" {
		c.Firmware = BIOS
	}
	if c.MemoryMB == 0 {
		c.MemoryMB = 512
	}
	if c.CPUs == 0 {
		c.CPUs = 1
	}
	if c.Accel == "" {
		c.Accel = TCG
	}
	return c
}

func (c Config) check() error {
	switch {
	case c.Program != "" && c.Firmware == BIOS:
		return fmt.Errorf("a program is started by UEFI only")
	case c.Disk == "" && c.Kernel == "" && c.CDROM == "" && c.Program == "":
		return fmt.Errorf("neither a disk nor a kernel nor a CD")
	case c.MicroVM && (c.Kernel == "" || c.CDROM != "" || c.Firmware != BIOS):
		return fmt.Errorf("a microVM has no drive and no firmware; it starts a kernel")
	case len(c.Disks) > 0 && c.Disk == "":
		return fmt.Errorf("further disks without a first")
	case c.Firmware != BIOS && c.Firmware != UEFI && c.Firmware != UEFISecure:
		return fmt.Errorf("firmware %q: want %s, %s or %s", c.Firmware, BIOS, UEFI, UEFISecure)
	case c.Accel != TCG && c.Accel != KVM && c.Accel != Auto:
		return fmt.Errorf("accelerator %q: want %s, %s or %s", c.Accel, TCG, KVM, Auto)
	case c.MemoryMB < 0 || c.CPUs < 0:
		return fmt.Errorf("%d MB of memory, %d processors: want more", c.MemoryMB, c.CPUs)
	case c.Disk == "" && c.DiskSize != 0:
		return fmt.Errorf("a disk size without a disk")
	}
	for _, p := range c.Publish {
		if (p.Proto != "" && p.Proto != "tcp" && p.Proto != "udp") || p.HostPort < 0 || p.HostPort > 65535 || p.GuestPort < 1 || p.GuestPort > 65535 {
			return fmt.Errorf("publish %+v: want tcp or udp and ports up to 65535", p)
		}
	}
	return nil
}

// processors are QEMU's models by accelerator. Software emulation gets the plain
// one: with everything it can emulate ("max") Debian's kernels were seen to
// panic now and then in early boot. QEMU 7.2, of Debian 12, also loses the flags
// of a cmpxchg16b now and then; without the instruction the kernel takes a lock.
var processors = map[Accel]string{TCG: "qemu64,-cx16", KVM: "max"}

// File descriptors that the process inherits: one end of a socket pair each.
const (
	qmpFD   = 3
	agentFD = 4
)

// args are QEMU's, for files made in a private directory.
func (c Config) args(files privateFiles) []string {
	machine, bus := "q35,accel="+string(c.Accel), "-pci"
	if c.Firmware == UEFISecure {
		machine += ",smm=on"
	}
	if c.MicroVM {
		// ACPI tells the kernel of the devices; Debian's does not take them from the command line.
		machine, bus = "microvm,acpi=on,rtc=on,auto-kernel-cmdline=off,accel="+string(c.Accel), "-device"
	}
	args := []string{
		"-no-user-config", "-nodefaults", "-display", "none",
		"-machine", machine, "-cpu", processors[c.Accel], "-smp", strconv.Itoa(c.CPUs), "-m", strconv.Itoa(c.MemoryMB) + "M",
		"-chardev", "stdio,id=serial,signal=off", "-serial", "chardev:serial",
		"-chardev", "socket,id=qmp,fd=" + strconv.Itoa(qmpFD), "-mon", "chardev=qmp,mode=control",
		"-device", "virtio-serial" + bus,
		"-chardev", "socket,id=agent,fd=" + strconv.Itoa(agentFD),
		"-device", "virtserialport,chardev=agent,id=agent,name=" + layout.AgentPort,
		"-object", "rng-builtin,id=rng", "-device", "virtio-rng" + bus + ",rng=rng",
		"-netdev", c.netdev(),
	}
	if c.MicroVM {
		args = append(args, "-device", "virtio-net-device,netdev=net")
	} else {
		args = append(args, "-vga", "std", "-device", "virtio-net-pci,netdev=net,romfile=")
	}
	if files.code != "" {
		args = append(args,
			"-drive", "if=pflash,unit=0,format=raw,readonly=on,file="+escape(files.code),
			"-drive", "if=pflash,unit=1,format=raw,file="+escape(files.vars))
	}
	if c.Firmware == UEFISecure {
		args = append(args, "-global", "driver=cfi.pflash01,property=secure,value=on", "-global", "ICH9-LPC.disable_s3=1")
	}
	if files.disk != "" {
		drive := "if=none,id=disk,format=raw,discard=unmap,file=" + escape(files.disk)
		if c.Snapshot {
			drive += ",snapshot=on,cache=unsafe"
		}
		device := "virtio-blk" + bus + ",drive=disk"
		if !c.MicroVM {
			device += ",bootindex=1"
		}
		args = append(args, "-drive", drive, "-device", device)
	}
	for n, disk := range c.Disks {
		id := "disk" + strconv.Itoa(n+2)
		args = append(args, "-drive", "if=none,format=raw,readonly=on,id="+id+",file="+escape(disk), "-device", "virtio-blk"+bus+",drive="+id)
	}
	if files.esp != "" {
		args = append(args, "-drive", "if=none,id=esp,format=raw,readonly=on,file=fat:"+escape(files.esp), "-device", "virtio-blk-pci,drive=esp,bootindex=0")
	}
	if c.CDROM != "" {
		args = append(args, "-drive", "if=none,id=cdrom,media=cdrom,format=raw,readonly=on,file="+escape(c.CDROM), "-device", "ide-cd,drive=cdrom,bootindex=2")
	}
	for _, option := range []struct{ name, value string }{{"-kernel", c.Kernel}, {"-initrd", c.Initrd}, {"-append", c.Cmdline + c.clockParam()}} {
		if option.value != "" {
			args = append(args, option.name, option.value)
		}
	}
	if c.NoReboot {
		args = append(args, "-no-reboot")
	}
	return append(args, c.Args...)
}

func (c Config) netdev() string {
	option := "user,id=net,ipv4=on,ipv6=on"
	for _, p := range c.Publish {
		proto, host := p.Proto, p.HostAddr
		if proto == "" {
			proto = "tcp"
		}
		if host == "" {
			host = "127.0.0.1"
		}
		option += fmt.Sprintf(",hostfwd=%s:%s:%d-%s:%d", proto, host, p.HostPort, p.GuestAddr, p.GuestPort)
	}
	return option
}

// escape writes a value for QEMU's comma-separated options.
func escape(value string) string { return strings.ReplaceAll(value, ",", ",,") }

// privateFiles are what a machine runs on; vars is its own. esp is a directory
// that QEMU shows the machine as a FAT disk.
type privateFiles struct{ code, vars, disk, esp string }

// prepare makes the private files in dir.
func (e *Emulator) prepare(c Config, dir string) (files privateFiles, err error) {
	if c.Firmware != BIOS {
		var vars string
		if files.code, vars, err = e.firmwareFiles(c.Firmware == UEFISecure); err != nil {
			return files, err
		}
		files.vars = dir + "/vars.fd"
		if err := copyFile(files.vars, vars); err != nil {
			return files, err
		}
	}
	if c.Program != "" {
		files.esp = dir + "/esp"
		if err := os.MkdirAll(files.esp+"/EFI/BOOT", 0o700); err != nil {
			return files, err
		}
		if err := copyFile(files.esp+"/EFI/BOOT/BOOTX64.EFI", c.Program); err != nil {
			return files, err
		}
	}
	files.disk = c.Disk
	if c.DiskSize == 0 {
		return files, nil
	}
	info, err := os.Stat(c.Disk)
	if err != nil {
		return files, fmt.Errorf("grow disk: %w", err)
	}
	if info.Size() > c.DiskSize {
		return files, fmt.Errorf("grow disk %s: it has %d bytes, more than %d", c.Disk, info.Size(), c.DiskSize)
	}
	if c.Snapshot {
		files.disk = dir + "/disk.img"
		if err := copyFile(files.disk, c.Disk); err != nil {
			return files, err
		}
	}
	if err := os.Truncate(files.disk, c.DiskSize); err != nil {
		return files, fmt.Errorf("grow disk: %w", err)
	}
	return files, nil
}

func copyFile(to, from string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return fmt.Errorf("copy %s: %w", from, err)
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("copy %s: %w", from, err)
	}
	_, err = io.Copy(out, in)
	if closeErr := out.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return fmt.Errorf("copy %s: %w", from, err)
	}
	return nil
}
