package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"ashlar/internal/builder/target"
	"ashlar/internal/contract/layout"
	"ashlar/internal/format/bzimage"
	"ashlar/internal/foundation/tree"
)

// Files of the target microvm.
const (
	microKernel = "vmlinux"
	microRoot   = "rootfs.ext4"

	firecrackerRoot   = "firecracker.json"
	firecrackerImages = "firecracker-images.json"
	microQEMU         = "qemu-microvm.sh"
)

// modulesPath is where the root of a microVM has the kernel's modules.
const modulesPath = "usr/lib/modules"

// makeMicroVM writes the kernel as an ELF file, the root with the kernel's
// modules as one file system, and what two monitors want to be told.
func makeMicroVM(ctx context.Context, b *build, gen *generation, dir string) error {
	const mostImage = 256 << 20
	kernel := gen.files[layout.GenKernel]
	data, err := kernel.ReadAll(mostImage)
	if err != nil {
		return err
	}
	if data, err = bzimage.Kernel(data); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, microKernel), data, 0o644); err != nil {
		return err
	}
	root, err := b.rootWithModules(gen)
	if err != nil {
		return err
	}
	f, err := os.Create(filepath.Join(dir, microRoot))
	if err != nil {
		return err
	}
	err = target.WriteRoot(ctx, f, target.RootInput{Name: b.p.def.Name, Lock: b.p.sum.String(), Epoch: b.epoch, Tree: root})
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	return b.writeMonitors(gen, dir)
}

// rootWithModules is the root with the modules' image at its place, for
// machines that have one disk.
func (b *build) rootWithModules(gen *generation) (*tree.Tree, error) {
	root, err := b.rootTree(gen)
	if err != nil {
		return nil, err
	}
	modules, err := b.openTree(gen.files[layout.GenModules])
	if err != nil {
		return nil, fmt.Errorf("read modules' image: %w", err)
	}
	for _, name := range modules.Paths() {
		e := *modules.Get(name)
		if name == "." {
			continue
		}
		e.Path = modulesPath + "/" + name
		if e.Kind == tree.HardLink {
			e.Target = modulesPath + "/" + e.Target
		}
		if err := errors.Join(root.AddParents(e.Path, 0o755, b.epoch), root.Put(e)); err != nil {
			return nil, err
		}
	}
	return root, nil
}

// microLine is the command line of a machine whose one disk is the root.
func microLine(cmdline, name, lock string) string {
	return strings.Join([]string{
		cmdline, layout.ParamRoot + "=UUID=" + target.RootUUID(name, lock).String(), layout.ParamState + "=none",
	}, " ")
}

// Firecracker's guests are given an address on the command line: its
// documentation's, of the network behind the host's tap0.
const (
	firecrackerTap  = "tap0"
	firecrackerMAC  = "06:00:ac:10:00:02" // its end is the address
	firecrackerIP   = "ip=172.16.0.2::172.16.0.1:255.255.255.252::eth0:off"
	firecrackerLine = "reboot=k pci=off" // a reset by the keyboard controller ends the machine
	microMemory     = 128                // MiB
)

// The types are Firecracker's configuration file (its src/firecracker/swagger).
type (
	firecracker struct {
		BootSource fcBoot      `json:"boot-source"`
		Drives     []fcDrive   `json:"drives"`
		Machine    fcMachine   `json:"machine-config"`
		Networks   []fcNetwork `json:"network-interfaces"`
	}
	fcBoot struct {
		Kernel string `json:"kernel_image_path"`
		Initrd string `json:"initrd_path"`
		Args   string `json:"boot_args"`
	}
	fcDrive struct {
		ID       string `json:"drive_id"`
		Path     string `json:"path_on_host"`
		Root     bool   `json:"is_root_device"` // true adds root= to the command line, which the initramfs does not need
		ReadOnly bool   `json:"is_read_only"`
	}
	fcMachine struct {
		CPUs   int `json:"vcpu_count"`
		Memory int `json:"mem_size_mib"`
	}
	fcNetwork struct {
		ID  string `json:"iface_id"`
		MAC string `json:"guest_mac"`
		Tap string `json:"host_dev_name"`
	}
)

// firecrackerConfig starts the drives' images in the order given.
func (b *build) firecrackerConfig(line string, drives ...string) ([]byte, error) {
	line += " " + firecrackerLine
	if len(b.p.def.Network.Interfaces) == 0 {
		line += " " + firecrackerIP
	}
	c := firecracker{
		BootSource: fcBoot{microKernel, layout.GenInitrd, line}, Machine: fcMachine{1, microMemory},
		Networks: []fcNetwork{{"eth0", firecrackerMAC, firecrackerTap}},
	}
	for _, name := range drives {
		id, _, _ := strings.Cut(name, ".")
		c.Drives = append(c.Drives, fcDrive{ID: id, Path: name, ReadOnly: true})
	}
	data, err := json.MarshalIndent(c, "", "  ")
	return append(data, '\n'), err
}

// qemuScript starts the machine in QEMU; its arguments are QEMU's, too.
const qemuScript = `#!/bin/sh
# Starts this machine in QEMU without BIOS settings and PCI; port 8080 of this host is its port 80.
cd "$(dirname "$0")" || exit 1
line=%s
accel=kvm cpu=host
if ! [ -w /dev/kvm ]; then
  # By software such a machine has no clock to measure the processor's by.
  accel=tcg cpu=qemu64,-cx16 line="$line tsc_early_khz=$(awk '/^cpu MHz/ { printf "%%d", $4 * 1000; exit }' /proc/cpuinfo)"
fi
exec qemu-system-x86_64 -M microvm,acpi=on,rtc=on,auto-kernel-cmdline=off,accel=$accel -cpu $cpu -m %d -nodefaults -no-user-config -display none -serial stdio \
  -kernel %s -initrd %s -append "$line" \
  -drive id=root,file=%s,format=raw,if=none,readonly=on -device virtio-blk-device,drive=root \
  -netdev user,id=net,hostfwd=tcp:127.0.0.1:8080-:80 -device virtio-net-device,netdev=net \
  -object rng-builtin,id=rng -device virtio-rng-device,rng=rng "$@"
`

// writeMonitors writes what Firecracker and QEMU are told.
func (b *build) writeMonitors(gen *generation, dir string) error {
	line := microLine(b.cmdline(), b.p.def.Name, b.p.sum.String())
	root, err1 := b.firecrackerConfig(line, microRoot)
	images, err2 := b.firecrackerConfig(directLine(gen.manifest), layout.GenRoot, layout.GenModules)
	quoted := "'" + strings.ReplaceAll(line, "'", `'\''`) + "'"
	script := fmt.Sprintf(qemuScript, quoted, microMemory, microKernel, layout.GenInitrd, microRoot)
	return errors.Join(err1, err2,
		os.WriteFile(filepath.Join(dir, firecrackerRoot), root, 0o644),
		os.WriteFile(filepath.Join(dir, firecrackerImages), images, 0o644),
		os.WriteFile(filepath.Join(dir, microQEMU), []byte(script), 0o644))
}

func startMicroVM(a *Artefacts) Start {
	return Start{
		MicroVM: true, Kernel: microKernel, Initrd: layout.GenInitrd, Disk: microRoot,
		Cmdline: microLine(a.Manifest.Cmdline, a.Manifest.Name, a.Manifest.Lock),
	}
}
