package definition

import (
	"fmt"
	"slices"
	"strings"
)

// Target is something that can be made of a definition: a row of Targets.
type Target struct {
	Name   string
	Doc    string                     // a line of the manual: the files, and what they are for
	Kernel bool                       // it starts the definition's kernel
	Loader string                     // which loader packages the lock holds for it: "" none, LoaderDisk, …
	Arches []string                   // Debian architectures; nil: every one
	Refuse func(d *Definition) string // what else it asks of a definition: why it cannot be, or ""
}

// LoaderDisk are the packages that start a disk by BIOS and UEFI.
const LoaderDisk = "disk"

// LoaderUKI is the program that a unified kernel image begins with.
const LoaderUKI = "uki"

// TargetAll stands for every target that a definition can serve.
const TargetAll = "all"

// The targets that a definition has when it names none.
const (
	targetDisk = "disk"
	targetRoot = "root" // without a kernel
)

// Targets is the table of all targets, in the order of the manual. The builder
// of each is a row of the same name in builder/pipeline/targets.go.
func Targets() []Target {
	return []Target{
		{Name: targetDisk, Doc: "`disk.img`: a raw disk that starts by BIOS and by UEFI.", Kernel: true, Loader: LoaderDisk},
		{Name: "iso", Doc: "`disk.iso`: a CD image that starts by BIOS and by UEFI, also from a USB stick; it keeps no state.", Kernel: true, Loader: LoaderDisk, Arches: []string{"amd64"}},
		{Name: "disk-zst", Doc: "`disk.img.zst`: the same disk, compressed for transport, and `disk.img.bmap`: which of its blocks must be written to a medium.", Kernel: true, Loader: LoaderDisk},
		{Name: "qcow2", Doc: "`disk.qcow2`: the same disk for QEMU, Proxmox and OpenStack, compressed.", Kernel: true, Loader: LoaderDisk},
		{Name: "vhd", Doc: "`disk.vhd`: the same disk for Hyper-V, without its zeros.", Kernel: true, Loader: LoaderDisk},
		{Name: "vhd-fixed", Doc: "`disk-fixed.vhd`: the same disk for Azure, whole MiB in full length.", Kernel: true, Loader: LoaderDisk},
		{Name: "vmdk", Doc: "`disk.vmdk`: the same disk for VMware and OVF packages, compressed.", Kernel: true, Loader: LoaderDisk},
		{Name: "kernel", Doc: "For a kernel that the emulator starts itself: `vmlinuz` and `initrd`, `root.img` and `modules.img` as the first and second disk, and their command line in `kernel.cmdline`.", Kernel: true},
		{Name: "microvm", Doc: "For monitors without firmware and PCI: `vmlinux`, the root as `rootfs.ext4`, `firecracker.json` (and `firecracker-images.json`, whose drives are the images of every build) and `qemu-microvm.sh`.", Kernel: true, Arches: []string{"amd64"}},
		{Name: "files", Doc: "`files.tar`: what a FAT or ext4 partition labelled ASHLAR holds to start by the loader that a board or an SD card has: the generation, and configurations for U-Boot and EXTLINUX, SYSLINUX and GRUB. It keeps no state.", Kernel: true},
		{Name: "tar", Doc: "`rootfs.tar.zst`: the root as an archive of the pax form, with owners, extended attributes and devices."},
		{Name: "oci", Doc: "`oci.tar`: an image for Docker, Podman and Kubernetes, the archive of an OCI image layout; packages that stay the same are layers that stay the same. No kernel: the services start in the container."},
		{Name: "lxc", Doc: "`lxc-rootfs.tar.xz` and `lxc-meta.tar.xz`: a template for lxc-create, LXD and Incus."},
		{Name: "openvz", Doc: "`DISTRO-SUITE-MACHINE-NAME.tar.gz`: a template for OpenVZ and Proxmox."},
		{Name: "nspawn", Doc: "`nspawn.tar.gz` and `machine.nspawn`: a tree for machinectl import-tar, and its settings for systemd-nspawn."},
		{Name: targetRoot, Doc: "Nothing but what every build makes: `root.img` and, with a kernel, `vmlinuz`, `initrd` and `modules.img`."},
		{Name: "initramfs", Doc: "`initramfs.img`: an initramfs that holds the program of `init = \"/path\"` and its files and nothing else, for `vmlinuz`.", Kernel: true, Refuse: refuseNoApp},
		{Name: "uki", Doc: "`uki.efi`: kernel, initramfs and command line in one file that UEFI starts; with one program the initramfs is that of the target of that name, with a server it holds the root, which runs from memory.", Kernel: true, Loader: LoaderUKI, Arches: []string{"amd64"}},
		{Name: "netboot", Doc: "For PXE, HTTP boot and iPXE: `vmlinuz` and `netboot.img`, which fetches `root.img` and `modules.img` by HTTP or HTTPS, checks their digests and runs from memory; `netboot.ipxe` starts it, `netboot.pxelinux`, `netboot.grub.cfg` and `netboot.cmdline` say how other loaders do.", Kernel: true, Refuse: refuseApp},
	}
}

// refuseNoApp: what is made is one program.
func refuseNoApp(d *Definition) string {
	if !strings.HasPrefix(d.Init, "/") {
		return `init is "` + d.Init + `", and it holds one program: it needs init = "/path/of/the/program"`
	}
	return ""
}

// refuseApp: an initramfs that fetches a root needs the first stage.
func refuseApp(d *Definition) string {
	if strings.HasPrefix(d.Init, "/") {
		return "init is a program, which the target initramfs holds whole: nothing is left to be fetched"
	}
	return ""
}

// FindTarget gives the row of a name.
func FindTarget(name string) (Target, bool) {
	for _, t := range Targets() {
		if t.Name == name {
			return t, true
		}
	}
	return Target{}, false
}

// TargetNames names all targets, in the order of the manual.
func TargetNames() []string {
	var names []string
	for _, t := range Targets() {
		names = append(names, t.Name)
	}
	return names
}

// Lacks says why the target cannot be made of a definition for an architecture;
// "" means that it can.
func (t Target) Lacks(d *Definition, arch string) string {
	switch {
	case t.Arches != nil && !slices.Contains(t.Arches, arch):
		return fmt.Sprintf("there is none for %s, only for %s", arch, strings.Join(t.Arches, ", "))
	case t.Kernel && d.Kernel.Package == "":
		return `it needs a kernel, and kernel.package is "none"`
	case t.Refuse != nil:
		return t.Refuse(d)
	}
	return ""
}

// TargetsFor gives the rows of a list of names for an architecture, in the
// order of the table. "all" takes in what can be served. The others must be:
// leftOut says why not, by name, of all that were asked for and cannot be.
func (d *Definition) TargetsFor(names []string, arch string) (rows []Target, leftOut map[string]string) {
	leftOut = map[string]string{}
	for _, t := range Targets() {
		if !slices.Contains(names, t.Name) && !slices.Contains(names, TargetAll) {
			continue
		}
		if lack := t.Lacks(d, arch); lack != "" {
			leftOut[t.Name] = lack
			continue
		}
		rows = append(rows, t)
	}
	return rows, leftOut
}

// Loaders names the sets of loader packages that the definition's targets need
// on an architecture.
func (d *Definition) Loaders(arch string) []string {
	rows, _ := d.TargetsFor(d.Targets, arch)
	names := []string{}
	for _, t := range rows {
		if t.Loader != "" {
			names = append(names, t.Loader)
		}
	}
	return set(names)
}

// completeTargets gives the definition the usual target when it names none.
func (d *Definition) completeTargets() {
	switch {
	case len(d.Targets) > 0:
	case d.Kernel.Package == "":
		d.Targets = []string{targetRoot}
	default:
		d.Targets = []string{targetDisk}
	}
}

// checkTargets reports a target that no architecture of the definition can have.
func (d *decoder) checkTargets(def *Definition) {
	for i, name := range def.Targets {
		key := fmt.Sprintf("targets[%d]", i)
		row, ok := FindTarget(name)
		if !ok || d.bad[key] || d.bad["arch"] || d.bad["kernel.package"] {
			continue
		}
		reasons := []string{}
		for _, arch := range def.Arch {
			if lack := row.Lacks(def, arch); lack != "" {
				reasons = append(reasons, lack)
			}
		}
		if len(reasons) == len(def.Arch) && len(reasons) > 0 {
			d.fail(key, quote(name)+" cannot be made: "+reasons[0], "")
		}
	}
}
