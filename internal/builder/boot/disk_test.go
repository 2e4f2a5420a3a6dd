package boot

import (
	"context"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"ashlar/internal/contract/layout"
	"ashlar/internal/foundation/tree"
	"ashlar/internal/machine/qemu"
	"ashlar/internal/machine/qemu/testguest"
	"ashlar/internal/testenv"
)

// TestBoot boots a disk with each loader and firmware to a kernel and reads
// from its command line that it came by our configuration.
func TestBoot(t *testing.T) {
	archive := testenv.Debian(t, "trixie")
	emulator, _ := testguest.Emulator(t, archive)
	guest := testguest.Make(t, archive.CloudKernel(t))
	trixie := loader(t, "trixie", "grub-efi-amd64-unsigned")
	bookworm := loader(t, "bookworm")
	for _, c := range []struct {
		name     string
		loader   func(string) ([]byte, error)
		firmware []qemu.Firmware
	}{
		{"trixie", trixie, []qemu.Firmware{qemu.BIOS, qemu.UEFI, qemu.UEFISecure}},
		{"trixie-unsigned", without(trixie, "usr/lib/shim/"), []qemu.Firmware{qemu.UEFI}},
		{"bookworm", bookworm, []qemu.Firmware{qemu.BIOS, qemu.UEFISecure}},
	} {
		in := sample()
		in.Loader = c.loader
		files, err := Make(in)
		if err != nil {
			t.Fatal(err)
		}
		disk := makeDisk(t, files, guest)
		for _, firmware := range c.firmware {
			t.Run(c.name+"/"+string(firmware), func(t *testing.T) { bootDisk(t, emulator, disk, firmware) })
		}
	}
}

func bootDisk(t *testing.T, emulator *qemu.Emulator, disk string, firmware qemu.Firmware) {
	ctx, cancel := context.WithTimeout(context.Background(), 4*time.Minute)
	defer cancel()
	vm, err := emulator.Start(ctx, qemu.Config{Disk: disk, Snapshot: true, Firmware: firmware, NoReboot: true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := vm.Close(); err != nil {
			t.Error(err)
		}
	}()
	match, err := vm.WaitSerialMatch(ctx, regexp.MustCompile(`guest: cmdline (.*) uefi=(\w+) secure=(\w+) disk=`))
	if err != nil {
		t.Fatal(err)
	}
	want := "BOOT_IMAGE=/ashlar/generations/00112233aabbccdd/vmlinuz " + sample().Cmdline
	if match[1] != want {
		t.Errorf("command line\n%s, want\n%s", match[1], want)
	}
	if uefi := firmware != qemu.BIOS; (match[2] == "true") != uefi {
		t.Errorf("uefi=%s", match[2])
	}
	if secure := firmware == qemu.UEFISecure; (match[3] == "true") != secure {
		t.Errorf("secure=%s", match[3])
	}
	if err := vm.Wait(ctx); err != nil {
		t.Error(err)
	}
}

// Places on the test's disk, in sectors.
const (
	biosStart, biosEnd     = 2048, 4095
	espStart, espEnd       = 4096, 69631
	systemStart, systemEnd = 69632, 200703
	diskSectors            = 204800
)

// makeDisk makes a disk with foreign tools, so that only our files are ours.
func makeDisk(t *testing.T, files Files, guest testguest.Guest) string {
	t.Helper()
	dir := t.TempDir()
	disk := filepath.Join(dir, "disk.img")
	write(t, disk, nil)
	if err := os.Truncate(disk, diskSectors*512); err != nil {
		t.Fatal(err)
	}
	run(t, "sgdisk", "-a", "1", "-n", "1:2048:4095", "-t", "1:ef02", "-n", "2:4096:69631", "-t", "2:ef00", "-n", "3:69632:200703", "-t", "3:8300", disk)

	esp := filepath.Join(dir, "esp.img")
	write(t, esp, make([]byte, (espEnd-espStart+1)*512))
	run(t, "mkfs.vfat", "-F", "16", esp)
	export(t, files.ESP, dir+"/esp")
	run(t, "mcopy", "-s", "-i", esp, dir+"/esp/EFI", "::/")

	export(t, files.System, dir+"/system")
	generation := filepath.Join(dir, "system", layout.GenerationsDir, sample().Generation)
	if err := os.MkdirAll(generation, 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, generation+"/"+layout.GenKernel, read(t, guest.Kernel))
	write(t, generation+"/"+layout.GenInitrd, read(t, guest.Initrd))
	system := filepath.Join(dir, "system.img")
	run(t, "mkfs.ext4", "-q", "-U", sampleUUID, "-d", dir+"/system", system, "65536k")

	mbr, core, err := files.BootCode(biosStart)
	if err != nil {
		t.Fatal(err)
	}
	if len(core) > (biosEnd-biosStart+1)*512 {
		t.Fatalf("the core image has %d bytes", len(core))
	}
	image := read(t, disk)
	copy(image, mbr)
	copy(image[biosStart*512:], core)
	copy(image[espStart*512:], read(t, esp))
	copy(image[systemStart*512:(systemEnd+1)*512], read(t, system))
	if binary.LittleEndian.Uint16(image[510:]) != 0xaa55 {
		t.Fatal("no boot sector")
	}
	write(t, disk, image)
	return disk
}

func export(t *testing.T, files *tree.Tree, dir string) {
	t.Helper()
	err := files.Walk(func(e *tree.Entry) error {
		to := filepath.Join(dir, e.Path)
		if e.IsDir() {
			return os.MkdirAll(to, 0o755)
		}
		data, err := e.ReadAll(maxLoaderFile)
		if err != nil {
			return err
		}
		return os.WriteFile(to, data, 0o644)
	})
	if err != nil {
		t.Fatal(err)
	}
}

func run(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(testenv.RequireTool(t, name), args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %q: %v: %s", name, args, err, out)
	}
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func write(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
}
