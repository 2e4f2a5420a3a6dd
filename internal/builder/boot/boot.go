// Package boot makes the boot files of a disk from unpacked loader packages:
// what lies on the ESP for UEFI, the boot code and core image for the BIOS,
// and the one configuration on the system partition that both load.
//
// UEFI firmware starts EFI/BOOT/BOOTX64.EFI: shim, signed for Secure Boot,
// which starts grubx64.efi beside it, signed by Debian; without the signed
// packages it is GRUB itself. Debian's GRUB reads EFI/debian/grub.cfg of its
// own partition, and where that fails the grub.cfg beside it; both lead to
// the system partition, found by its UUID. The BIOS core image has the same
// few lines embedded. No module is loaded at run time.
package boot

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"ashlar/internal/contract/layout"
	"ashlar/internal/format/grub"
	"ashlar/internal/format/iso9660"
	"ashlar/internal/foundation/tree"
)

// Input says what is booted and from which loader.
type Input struct {
	Loader     func(path string) ([]byte, error) // a file of Packages, "usr/lib/shim/…"; fs.ErrNotExist when there is none
	SystemUUID string                            // of the system partition's file system
	CDLabel    string                            // instead: the label of a CD that is the system partition
	Generation string                            // directory below layout.GenerationsDir
	Title      string                            // of the menu entry
	Cmdline    string                            // of the kernel
	Timeout    int                               // seconds that the menu waits
	Epoch      int64                             // time of the files
}

// Files is what a disk needs to boot.
type Files struct {
	ESP    *tree.Tree // all of the EFI system partition
	System *tree.Tree // to be merged into the system partition
	// BootCode gives the boot code for the disk's first bytes and the core
	// image to write from sector coreLBA on, whole sectors.
	BootCode func(coreLBA uint64) (mbr, core []byte, err error)
	// CDImage gives, for a CD, the boot image to write at a byte of the CD's image,
	// and the boot code for its first bytes, for when it lies on a disk.
	CDImage func(at int64) (mbr, image []byte, err error)
}

// Packages names the packages with loader files for a Debian architecture.
// Their files are taken, their dependencies and scripts are not needed.
func Packages(arch string) []string {
	if arch != "amd64" {
		return nil
	}
	return []string{"grub-efi-amd64-signed", "grub-pc-bin", "shim-helpers-amd64-signed", "shim-signed"}
}

// FromTree reads loader files from a tree of unpacked packages.
func FromTree(t *tree.Tree) func(path string) ([]byte, error) {
	return func(path string) ([]byte, error) {
		entry := t.Lookup(path)
		if entry == nil {
			return nil, fmt.Errorf("read %s: %w", path, fs.ErrNotExist)
		}
		return entry.ReadAll(maxLoaderFile)
	}
}

// maxLoaderFile bounds a loader file; Debian's GRUB has 2.6 MB.
const maxLoaderFile = 32 << 20

// Make makes the boot files.
func Make(in Input) (Files, error) {
	if err := in.check(); err != nil {
		return Files{}, fmt.Errorf("make boot files: %w", err)
	}
	esp, err := in.esp()
	if err != nil {
		return Files{}, fmt.Errorf("make boot files: %w", err)
	}
	system := &tree.Tree{}
	if err := in.put(system, layout.GrubConfig, []byte(in.menu())); err != nil {
		return Files{}, fmt.Errorf("make boot files: %w", err)
	}
	boot, core, err := in.bios()
	if err != nil {
		return Files{}, fmt.Errorf("make boot files: %w", err)
	}
	if in.CDLabel != "" {
		cdboot, err := in.Loader(biosDir + "cdboot.img")
		if err != nil {
			return Files{}, fmt.Errorf("make boot files: %w", err)
		}
		return Files{ESP: esp, System: system, CDImage: func(at int64) ([]byte, []byte, error) {
			mbr, image, err := grub.InstallCD(boot, cdboot, core, at)
			if err == nil {
				err = iso9660.SetBootInfo(image, at)
			}
			return mbr, image, err
		}}, nil
	}
	return Files{ESP: esp, System: system, BootCode: func(coreLBA uint64) ([]byte, []byte, error) {
		return grub.Install(boot, core, coreLBA)
	}}, nil
}

// biosModules is what every core image can do: the disk, the partition table;
// the commands of the configuration; and what a person needs
// at the prompt of a machine that does not boot.
var biosModules = []string{
	"biosdisk", "part_gpt",
	"normal", "configfile", "search", "test", "linux", "serial", "terminal",
	"echo", "ls", "cat", "boot", "reboot", "halt",
}

// What the core image of a disk and that of a CD can do besides: read the
// file system, and find it.
var (
	diskModules = []string{"ext2", "search_fs_uuid"}
	cdModules   = []string{"iso9660", "search_label"}
)

const biosDir = "usr/lib/grub/i386-pc/"

func (in Input) bios() (boot, core []byte, err error) {
	if boot, err = in.Loader(biosDir + "boot.img"); err != nil {
		return nil, nil, err
	}
	more := diskModules
	if in.CDLabel != "" {
		more = cdModules
	}
	core, err = grub.CoreImage(grub.Input{
		Read:    func(name string) ([]byte, error) { return in.Loader(biosDir + name) },
		Modules: append(slices.Clone(more), biosModules...),
		Config:  []byte(in.findSystem()),
	})
	return boot, core, err
}

// loaderFile is a row of a loader's table: a file on the ESP and its source,
// the first there is; Debian and Ubuntu give shim's files different names.
type loaderFile struct {
	to   string
	from []string
}

// Loaders by preference: the first whose files are all there is taken.
var loaders = [][]loaderFile{
	{
		{"EFI/BOOT/BOOTX64.EFI", []string{"usr/lib/shim/shimx64.efi.signed", "usr/lib/shim/shimx64.efi.signed.latest"}},
		{"EFI/BOOT/grubx64.efi", []string{"usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed"}},
		{"EFI/BOOT/mmx64.efi", []string{"usr/lib/shim/mmx64.efi.signed", "usr/lib/shim/mmx64.efi"}},
	},
	{
		{"EFI/BOOT/BOOTX64.EFI", []string{"usr/lib/grub/x86_64-efi/monolithic/grubx64.efi"}},
	},
}

// configNames are where a grubx64.efi may look: the directory that Debian's
// and that Ubuntu's has built in, and its own.
var configNames = []string{"EFI/debian/grub.cfg", "EFI/ubuntu/grub.cfg", "EFI/BOOT/grub.cfg"}

func (in Input) esp() (*tree.Tree, error) {
	var missing error
	for _, loader := range loaders {
		esp, err := in.loaderTree(loader)
		if errors.Is(err, fs.ErrNotExist) {
			missing = errors.Join(missing, err)
			continue
		}
		if err != nil {
			return nil, err
		}
		for _, name := range configNames {
			if err := in.put(esp, name, []byte(in.findSystem()+"configfile $prefix/grub.cfg\n")); err != nil {
				return nil, err
			}
		}
		return esp, nil
	}
	return nil, fmt.Errorf("no UEFI loader: %w", missing)
}

func (in Input) loaderTree(loader []loaderFile) (*tree.Tree, error) {
	esp := &tree.Tree{}
	for _, file := range loader {
		data, err := in.first(file.from)
		if err != nil {
			return nil, err
		}
		if err := in.put(esp, file.to, data); err != nil {
			return nil, err
		}
	}
	return esp, nil
}

func (in Input) first(paths []string) (data []byte, err error) {
	for _, path := range paths {
		if data, err = in.Loader(path); !errors.Is(err, fs.ErrNotExist) {
			return data, err
		}
	}
	return nil, err
}

func (in Input) put(t *tree.Tree, name string, data []byte) error {
	file := tree.NewFile(name, 0o644, data)
	file.MTime = in.Epoch
	if err := t.AddParents(name, 0o755, in.Epoch); err != nil {
		return err
	}
	return t.Put(file)
}
