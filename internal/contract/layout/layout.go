// Package layout names the places that both wings know: partitions, paths on
// the system partition, in the initramfs, in the root image and at run time.
package layout

// Partition names (GPT) and file system labels of a disk, in disk order.
const (
	PartBIOSBoot = "ashlar-bios"   // GRUB core image, no file system
	PartESP      = "ashlar-esp"    // FAT, EFI/BOOT/BOOTX64.EFI
	PartSystem   = "ashlar-system" // ext4: loader configuration and generations
	PartState    = "ashlar-state"  // ext4: what the machine keeps; last, grows to the disk

	PartCD = "ashlar-cd" // of a CD's image on a disk: its files

	LabelESP    = "ASHLAR-ESP" // FAT labels are 11 bytes of upper case
	LabelSystem = "ashlar-system"
	LabelState  = "ashlar-state"
	LabelFiles  = "ASHLAR" // of a partition, FAT or ext, that somebody puts the plain files on
)

// Paths on the system partition.
const (
	GenerationsDir = "ashlar/generations" // one directory a generation, named by its digest's first 16 digits
	GenKernel      = "vmlinuz"
	GenInitrd      = "initrd"
	GenRoot        = "root.img"    // squashfs or EROFS, perhaps with a hash tree behind it
	GenModules     = "modules.img" // likewise: kernel modules, mounted at /usr/lib/modules
	GenManifest    = "manifest.json"
	GrubConfig     = "boot/grub/grub.cfg"
)

// Kernel command line parameters that ashlar-init reads.
const (
	ParamGeneration = "ashlar.generation" // directory name below GenerationsDir
	ParamSystem     = "ashlar.system"     // UUID=… or LABEL=… of the system partition
	ParamRoot       = "ashlar.root"       // device that is the root image itself, or a file of the initramfs: there is no system partition then
	ParamModules    = "ashlar.modules"    // with ParamRoot: likewise, the image of the kernel's modules
	ParamNetRoot    = "ashlar.netroot"    // URL of the directory with the images that InitramfsNet lists, or of a file in it
	ParamState      = "ashlar.state"      // UUID=… or LABEL=… or "none"
	ParamVerity     = "ashlar.verity"     // NAME:BLOCKS:ROOT,… of images with a hash tree: machine.Verity
	ParamConsole    = "ashlar.console"    // "quiet" keeps service output off the console
)

// Paths in the initramfs.
const (
	InitramfsInit    = "init"
	InitramfsBoot    = "ashlar/boot.json"   // machine.Boot
	InitramfsModules = "lib/modules"        // below it KERNELVERSION/kernel/…ko, uncompressed
	InitramfsOrder   = "ashlar/modules.txt" // one module path a line, in loading order
	InitramfsNet     = "ashlar/net.json"    // []machine.NetFile: what a machine that starts from the network fetches
	InitramfsFetch   = "ashlar/fetch"       // the program that fetches it
	InitramfsImages  = "ashlar"             // an initramfs with a whole server has GenRoot and GenModules there
	InitramfsApp     = "ashlar/app"         // of an application that is PID 1's only child: a link to its program
)

// Paths in the root image.
const (
	MachineFile  = "usr/lib/ashlar/machine.json"  // machine.Machine
	PackagesFile = "usr/lib/ashlar/packages.json" // package manifest: []imageinfo.Package
	InitBinary   = "usr/lib/ashlar/ashlar-init"   // also linked from usr/sbin/ashlar
)

// ContainerCommand is the argument of InitBinary that makes it process 1 of a
// container.
const ContainerCommand = "container"

// Paths on the running machine.
const (
	RunDir        = "/run/ashlar"
	ControlSocket = "/run/ashlar/control.sock" // root only; see contract/control
	SystemMount   = "/run/ashlar/system"       // the system partition, read-only
	ImageMount    = "/run/ashlar/image"        // the root image, read-only
	NetDir        = "/run/ashlar/net"          // images that were fetched, in memory
	StateMount    = "/run/ashlar/state"        // the state partition
	LogDir        = "/var/log/ashlar"          // one bounded log a service
)

// AgentPort is the name of the virtio serial port on which the host that runs
// the machine may speak to it; the frames are contract/control's.
const AgentPort = "org.ashlar.agent.0"
