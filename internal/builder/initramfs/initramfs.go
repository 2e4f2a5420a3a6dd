package initramfs

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/klauspost/compress/zstd"

	"ashlar/internal/contract/layout"
	"ashlar/internal/contract/machine"
	"ashlar/internal/format/cpio"
	"ashlar/internal/format/kmod"
	"ashlar/internal/foundation/tree"
)

// moduleClass is a reason to carry modules.
type moduleClass struct {
	reason  string
	modules []string
}

// moduleClasses are the modules of every initramfs, as far as the kernel has
// them. Drivers come before file systems: disks may take time to appear.
var moduleClasses = []moduleClass{
	{"virtual machines: virtio", []string{"virtio_pci", "virtio_mmio", "virtio_blk", "virtio_scsi", "virtio_net", "virtio_console", "virtio_rng"}},
	{"virtual machines: Hyper-V, Xen, VMware, EC2", []string{"hv_vmbus", "hv_storvsc", "hv_netvsc", "xen_blkfront", "xen_netfront", "vmw_pvscsi", "vmxnet3", "mptspi", "ena", "gve"}},
	{"disk controllers", []string{"nvme", "ahci", "ata_piix", "megaraid_sas", "mpt3sas", "sdhci_pci", "sdhci_acpi", "mmc_block", "sd_mod"}},
	{"USB disks and keyboards", []string{"xhci_pci", "ehci_pci", "usb_storage", "uas", "usbhid", "hid_generic"}},
	{"CDs and DVDs, also of remote consoles", []string{"sr_mod"}},
	{"network cards", []string{"e1000", "e1000e", "igb", "igc", "ixgbe", "r8169", "tg3", "bnx2"}},
	{"file systems", []string{"ext4", "overlay", "loop", "isofs", "vfat", "nls_cp437", "nls_ascii"}},
	{"what ashlar-init uses", []string{"af_packet", "button", "evdev"}},
}

// needed are the modules without which the root cannot be reached, whatever
// the format of its image.
var needed = []string{"ext4", "overlay", "loop"}

// hashes are modules that make SHA-256 faster, by the processor: what checks an
// image takes the fastest that is there when it begins.
var hashes = []string{"sha256_ssse3", "sha2_ce", "sha256_arm64"}

// Input is all that an initramfs depends on.
type Input struct {
	Kernel  *Kernel
	Image   []string // modules that mount the images; nil: squashfs
	Modules []string // beyond the usual ones; each must exist
	Device  tree.Entry
	Boot    machine.Boot
	Epoch   int64
}

// Build gives the compressed archive. Early microcode, if a package of the
// kernel's has some, stands before it in an archive that is not compressed.
func Build(in Input) ([]byte, error) {
	t := &tree.Tree{}
	for _, dir := range []string{".", "dev", "proc", "sys", "run", "newroot"} {
		if err := t.Put(tree.NewDir(dir, 0o755)); err != nil {
			return nil, err
		}
	}
	boot, err := json.Marshal(in.Boot)
	if err != nil {
		return nil, err
	}
	device := in.Device
	device.Path, device.Mode = layout.InitramfsInit, 0o755
	order, err := addModules(t, in)
	if err != nil {
		return nil, fmt.Errorf("build initramfs: %w", err)
	}
	entries := []tree.Entry{
		device,
		tree.NewFile(layout.InitramfsBoot, 0o644, append(boot, '\n')),
		tree.NewFile(layout.InitramfsOrder, 0o644, []byte(strings.Join(order, "\n")+"\n")),
	}
	for _, e := range entries {
		if err := errors.Join(t.AddParents(e.Path, 0o755, in.Epoch), t.Put(e)); err != nil {
			return nil, fmt.Errorf("build initramfs: %w", err)
		}
	}
	err = t.Walk(func(e *tree.Entry) error {
		e.MTime = in.Epoch
		return nil
	})
	if err != nil {
		return nil, err
	}
	var archive bytes.Buffer
	if err := cpio.Write(&archive, t, cpio.Options{}); err != nil {
		return nil, fmt.Errorf("build initramfs: %w", err)
	}
	early, err := in.Kernel.microcode(in.Epoch)
	if err != nil {
		return nil, fmt.Errorf("build initramfs: %w", err)
	}
	packed, err := compress(archive.Bytes())
	return append(early, packed...), err
}

// addModules puts the usual modules and those of the input into the tree.
func addModules(t *tree.Tree, in Input) ([]string, error) {
	image := in.Image
	if image == nil {
		image = []string{"squashfs"}
	}
	required := slices.Concat(needed, image, in.Modules)
	if slices.Contains(image, "dm_verity") {
		image = slices.Concat(hashes, image)
	}
	var names []string
	for _, class := range moduleClasses {
		names = append(names, class.modules...)
	}
	return addNamed(t, in.Kernel, slices.Concat(names, image, in.Modules), required)
}

// addNamed puts modules into the tree and gives their loading order: paths,
// what a module depends on, asks for or would like to have first, and what it
// would like to have after it next. Nobody on the machine loads a module when a
// driver asks for it, as yet. A module that the kernel lacks is left out, unless
// it is required.
func addNamed(t *tree.Tree, kernel *Kernel, names, required []string) ([]string, error) {
	for _, name := range required {
		if !kernel.Known(name) {
			return nil, fmt.Errorf("kernel %s has no module %s", kernel.Release, name)
		}
	}
	var order []string
	seen := map[string]bool{}
	var add func(name string) error
	addAll := func(names []string) error {
		for _, name := range names {
			if err := add(name); err != nil {
				return err
			}
		}
		return nil
	}
	add = func(name string) error {
		name = kmod.Normalise(name)
		if seen[name] {
			return nil
		}
		seen[name] = true
		m, err := kernel.Module(name)
		if err != nil || m == nil {
			return err
		}
		for _, dep := range m.Depends() {
			if !kernel.Known(dep) {
				return fmt.Errorf("module %s needs %s, which kernel %s lacks", m.Name, dep, kernel.Release)
			}
		}
		before, after := m.SoftDepends()
		if err := addAll(slices.Concat(before, m.WeakDepends(), m.Depends())); err != nil {
			return err
		}
		e := tree.NewFile(strings.TrimPrefix(m.Path, "usr/"), 0o644, m.Data)
		order = append(order, e.Path)
		if err := errors.Join(t.AddParents(e.Path, 0o755, 0), t.Put(e)); err != nil {
			return err
		}
		return addAll(after)
	}
	err := addAll(names)
	return order, err
}

// compress makes one zstd frame. The window is the largest that the kernel's
// initramfs decoder is sure to take (8 MiB).
func compress(data []byte) ([]byte, error) {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedBetterCompression), zstd.WithEncoderConcurrency(1),
		zstd.WithWindowSize(8<<20), zstd.WithEncoderCRC(true))
	if err != nil {
		return nil, err
	}
	return enc.EncodeAll(data, nil), enc.Close()
}
