package pid1_test

import (
	"bufio"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/mikelolasagasti/xz"

	"ashlar/internal/contract/layout"
	"ashlar/internal/contract/machine"
	"ashlar/internal/format/cpio"
	"ashlar/internal/format/gpt"
	"ashlar/internal/format/squashfs"
	"ashlar/internal/foundation/tree"
	"ashlar/internal/foundation/uuid"
	"ashlar/internal/machine/qemu"
	"ashlar/internal/machine/qemu/testguest"
	"ashlar/internal/testenv"
)

// disk is a machine to boot: made of Debian's kernel, this repository's init
// and file systems of foreign tools.
type disk struct {
	image, kernel, initrd string
	emulator              *qemu.Emulator
}

const (
	generation = "0123456789abcdef"
	systemUUID = "11111111-2222-3333-4444-555555555555"
	stateUUID  = "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee"
	mebibyte   = 1 << 20
	systemSize = 24 * mebibyte
	stateSize  = 32 * mebibyte
	stateStart = mebibyte + systemSize
)

// bootModules go into the initramfs, in this order; the last is none.
var bootModules = []string{"virtio_blk", "loop", "overlay", "squashfs", "button", "evdev", "failover", "net_failover", "virtio_net", "no_such_module"}

func makeDisk(t *testing.T) *disk {
	t.Helper()
	archive := testenv.Debian(t, "trixie")
	kernel := archive.CloudKernel(t)
	dir := t.TempDir()
	images, err := filepath.Glob(kernel + "/boot/vmlinuz-*")
	if err != nil || len(images) != 1 {
		t.Fatalf("kernels %q, %v", images, err)
	}
	d := &disk{image: filepath.Join(dir, "disk"), kernel: images[0], initrd: filepath.Join(dir, "initrd")}
	d.emulator, _ = testguest.Emulator(t, archive)
	init := compile(t, dir, "ashlar/cmd/ashlar-init")
	writeInitrd(t, d.initrd, init, kernel)

	system := filepath.Join(dir, "system")
	generationDir := filepath.Join(system, layout.GenerationsDir, generation)
	if err := os.MkdirAll(generationDir, 0o755); err != nil {
		t.Fatal(err)
	}
	root, err := os.Create(filepath.Join(generationDir, layout.GenRoot))
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	rootTree := makeRoot(t, compile(t, dir, "ashlar/internal/device/pid1/testguest"))
	if _, err := squashfs.Write(t.Context(), root, rootTree, squashfs.Options{Compressor: squashfs.None()}); err != nil {
		t.Fatal(err)
	}
	writeDisk(t, d.image, system, dir)
	return d
}

func compile(t *testing.T, dir, pkg string) string {
	t.Helper()
	path := filepath.Join(dir, filepath.Base(pkg))
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", path, pkg)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v: %s", pkg, err, out)
	}
	return path
}

func tool(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(testenv.RequireTool(t, name), args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %q: %v: %s", name, args, err, out)
	}
}

func toJSON(t *testing.T, v any) []byte {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// builder fills a tree.
type builder struct {
	t    *testing.T
	tree tree.Tree
}

func (b *builder) put(e tree.Entry) {
	b.t.Helper()
	if err := b.tree.AddParents(e.Path, 0o755, 0); err != nil {
		b.t.Fatal(err)
	}
	if err := b.tree.Put(e); err != nil {
		b.t.Fatal(err)
	}
}

// makeRoot gives what the root image holds.
func makeRoot(t *testing.T, guest string) *tree.Tree {
	t.Helper()
	root := &builder{t: t}
	for _, dir := range []string{"proc", "sys", "dev", "run", "tmp", "var/log"} {
		root.put(tree.NewDir(dir, 0o755))
	}
	for _, e := range []tree.Entry{tree.NewDir("var/lib/app", 0o750), tree.NewFile("var/lib/app/seeded", 0o640, []byte("from-image\n"))} {
		e.UID, e.GID = 1000, 1000
		root.put(e)
	}
	program, err := os.ReadFile(guest)
	if err != nil {
		t.Fatal(err)
	}
	root.put(tree.NewFile("usr/bin/testguest", 0o755, program))
	root.put(tree.NewFile("etc/passwd", 0o644, []byte("root:x:0:0::/root:/bin/sh\napp:x:1000:1000::/:/bin/sh\n")))
	root.put(tree.NewFile("etc/group", 0o644, []byte("root:x:0:\napp:x:1000:\nextra:x:1001:app\n")))
	root.put(tree.NewFile(layout.MachineFile, 0o644, toJSON(t, testMachine())))
	return &root.tree
}

// testMachine declares services that do well and services that do not.
func testMachine() machine.Machine {
	service := func(name, user, kind string, requires ...string) machine.Service {
		return machine.Service{Name: name, Type: kind, User: user, Exec: []string{"testguest", name}, Requires: requires,
			Restart: machine.RestartOnFailure, StartLimit: 60, StopLimit: 5, LogBytes: 65536}
	}
	fail := service("fail", "", machine.TypeOneshot)
	fail.Restart = machine.RestartNever
	return machine.Machine{
		Version: machine.Version, Name: "boottest", Hostname: "boothost",
		State: []machine.State{
			{Path: "/var/lib/app", Kind: "dir", Mode: 0o700},
			{Path: "/var/log", Kind: "dir", Mode: 0o755},
		},
		Services: []machine.Service{
			service("count", "app", machine.TypeSimple), fail, service("needs-fail", "", machine.TypeSimple, "fail"),
			service("notify", "app", machine.TypeNotify, "network"),
		},
		Network: machine.Network{Interfaces: []machine.Interface{{Name: "e*", DHCP4: true}}},
	}
}

func writeInitrd(t *testing.T, path, init, kernel string) {
	t.Helper()
	program, err := os.ReadFile(init)
	if err != nil {
		t.Fatal(err)
	}
	initramfs := &builder{t: t}
	put := func(name string, mode uint32, data []byte) { initramfs.put(tree.NewFile(name, mode, data)) }
	put(layout.InitramfsInit, 0o755, program)
	put(layout.InitramfsBoot, 0o644, toJSON(t, machine.Boot{Version: machine.Version, Name: "boottest", RootMode: machine.RootOverlay,
		System: "UUID=" + systemUUID, State: "UUID=" + stateUUID, Init: "ashlar", DiskWait: 15}))
	list := ""
	for _, name := range bootModules {
		module := layout.InitramfsModules + "/" + name + ".ko"
		list += module + "\n"
		if data := findModule(t, kernel, name); data != nil {
			put(module, 0o644, data)
		}
	}
	put(layout.InitramfsOrder, 0o644, []byte(list))
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := cpio.Write(f, &initramfs.tree, cpio.Options{}); err != nil {
		t.Fatal(err)
	}
}

// findModule gives an unpacked module, or nil.
func findModule(t *testing.T, kernel, name string) []byte {
	t.Helper()
	for _, root := range []string{"/usr/lib/modules/", "/lib/modules/"} {
		var found string
		err := filepath.WalkDir(kernel+root, func(path string, _ os.DirEntry, err error) error {
			if filepath.Base(path) == name+".ko.xz" {
				found = path
			}
			if os.IsNotExist(err) {
				return nil
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if found != "" {
			return unxz(t, found)
		}
	}
	return nil
}

func unxz(t *testing.T, path string) []byte {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := xz.NewReader(bufio.NewReader(f), 0)
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// writeDisk lays the partitions down: the system with the files of a
// directory, and an empty state at the end.
func writeDisk(t *testing.T, path, system, dir string) {
	t.Helper()
	const size = stateStart + stateSize + mebibyte
	out, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	if err := out.Truncate(size); err != nil {
		t.Fatal(err)
	}
	lba := func(bytes uint64) uint64 { return bytes / gpt.SectorSize }
	table := &gpt.Table{DiskGUID: uuid.Derive("disk"), Partitions: []gpt.Partition{
		{Name: layout.PartSystem, Type: gpt.TypeLinuxData(), GUID: uuid.Derive("system"), FirstLBA: lba(mebibyte), LastLBA: lba(stateStart) - 1},
		{Name: layout.PartState, Type: gpt.TypeLinuxData(), GUID: uuid.Derive("state"), FirstLBA: lba(stateStart), LastLBA: lba(stateStart+stateSize) - 1},
	}}
	if err := gpt.Write(out, size, table, nil); err != nil {
		t.Fatal(err)
	}
	for _, p := range []struct {
		file   string
		size   int64
		offset int64
		args   []string
	}{
		{"system.img", systemSize, mebibyte, []string{"-U", systemUUID, "-L", layout.LabelSystem, "-d", system}},
		{"state.img", stateSize, stateStart, []string{"-U", stateUUID, "-L", layout.LabelState}},
	} {
		file := filepath.Join(dir, p.file)
		writeFile(t, file, nil, 0o600)
		if err := os.Truncate(file, p.size); err != nil {
			t.Fatal(err)
		}
		tool(t, "mkfs.ext4", append(append([]string{"-q"}, p.args...), file)...)
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := out.WriteAt(data, p.offset); err != nil {
			t.Fatal(err)
		}
	}
}

// copyState copies the state partition, as large as the table says.
func (d *disk) copyState(t *testing.T, path string) {
	t.Helper()
	f, err := os.Open(d.image)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	table, err := gpt.Read(f, info.Size())
	if err != nil {
		t.Fatal(err)
	}
	part := table.Find(layout.PartState)
	out, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	if _, err := io.Copy(out, io.NewSectionReader(f, part.Offset(), part.Size())); err != nil {
		t.Fatal(err)
	}
}
