package initramfs

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"ashlar/internal/contract/layout"
	"ashlar/internal/contract/machine"
	"ashlar/internal/format/cpio"
	"ashlar/internal/format/kmod"
	"ashlar/internal/foundation/tree"
	"ashlar/internal/testenv"
)

const epoch = 1_700_000_000

var boot = machine.Boot{Version: machine.Version, Name: "test", RootMode: "overlay", System: "UUID=x", State: "none", Init: "ashlar", DiskWait: 30}

// input is one with the modules that every machine needs built in.
func input(t testing.TB, modules map[string][]byte, wanted ...string) Input {
	return Input{
		Kernel: findKernel(t, kernelTree(t, moduleDirs[0], modules, append([]string{"squashfs"}, needed...)...)), Modules: wanted,
		Device: tree.NewFile("ashlar-init", 0o644, []byte("the device binary")), Boot: boot, Epoch: epoch,
	}
}

// open reads an archive back: its tree and the loading order.
func open(t testing.TB, archive []byte) (*tree.Tree, []string) {
	t.Helper()
	d, err := zstd.NewReader(bytes.NewReader(archive))
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	tr, err := cpio.Read(d, cpio.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	list, err := tr.Get(layout.InitramfsOrder).ReadAll(1 << 20)
	if err != nil {
		t.Fatal(err)
	}
	return tr, strings.Fields(string(list))
}

func build(t testing.TB, in Input) []byte {
	t.Helper()
	archive, err := Build(in)
	if err != nil {
		t.Fatal(err)
	}
	return archive
}

func TestContents(t *testing.T) {
	tr, order := open(t, build(t, input(t, map[string][]byte{"net/wanted.ko": needing(t), "net/unwanted.ko": needing(t)}, "wanted")))
	module := "lib/modules/" + release + "/kernel/net/wanted.ko"
	if fmt.Sprint(order) != "["+module+"]" {
		t.Errorf("the order is %q", order)
	}
	if tr.Get(module) == nil || tr.Get(path.Dir(module)+"/unwanted.ko") != nil {
		t.Errorf("the archive has %q", tr.Paths())
	}
	if e := tr.Get(layout.InitramfsInit); e == nil || e.Mode != 0o755 || e.Size != int64(len("the device binary")) {
		t.Errorf("/init is %+v", e)
	}
	data, err := tr.Get(layout.InitramfsBoot).ReadAll(1 << 20)
	var got machine.Boot
	if err == nil {
		err = json.Unmarshal(data, &got)
	}
	if err != nil || got != boot {
		t.Errorf("boot.json says %+v, %v", got, err)
	}
	for _, dir := range []string{"dev", "proc", "sys", "run", "newroot"} {
		if e := tr.Get(dir); e == nil || !e.IsDir() || e.Mode != 0o755 {
			t.Errorf("%s is %+v", dir, e)
		}
	}
	for _, p := range tr.Paths() {
		if e := tr.Get(p); e.MTime != epoch || e.UID != 0 || e.GID != 0 {
			t.Errorf("%s is of %d, owner %d:%d", p, e.MTime, e.UID, e.GID)
		}
	}
}

// TestOrder: what a module needs, or would like to have, is loaded before it,
// each module once, whichever way the names are spelt; circles end.
func TestOrder(t *testing.T) {
	in := input(t, map[string][]byte{
		"top.ko":       needing(t, "left-part", "right"),
		"left-part.ko": moduleFile(t, "depends=base", "softdep=pre: liked missing"),
		"right.ko":     needing(t, "base", "left_part", "ext4"),
		"base.ko":      needing(t),
		"liked.ko":     moduleFile(t, "depends=", "softdep=pre: circle"),
		"circle.ko":    moduleFile(t, "depends=", "softdep=pre: liked post: base later missing"),
		"later.ko":     moduleFile(t, "depends=", "weakdep=asked missing"),
		"asked.ko":     needing(t),
	}, "right", "top", "right")
	_, order := open(t, build(t, in))
	var names []string
	for _, file := range order {
		names = append(names, strings.TrimSuffix(path.Base(file), ".ko"))
	}
	if want := []string{"asked", "base", "circle", "later", "left-part", "liked", "right", "top"}; !slices.Equal(slices.Sorted(slices.Values(names)), want) {
		t.Errorf("loaded are %q, want %q", names, want)
	}
	for _, pair := range [][2]string{{"base", "left-part"}, {"base", "right"}, {"left-part", "right"}, {"liked", "left-part"}, {"circle", "liked"}, {"circle", "later"}, {"asked", "later"}} {
		if slices.Index(names, pair[0]) > slices.Index(names, pair[1]) {
			t.Errorf("%s comes before %s: %q", pair[1], pair[0], names)
		}
	}
}

// TestRandomGraphs: closed and in order, for any graph without circles.
func TestRandomGraphs(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for range 50 {
		modules, needs := map[string][]byte{}, map[string][]string{}
		for n := range 2 + rng.IntN(20) {
			name := fmt.Sprintf("m%d", n)
			for d := range n {
				if rng.IntN(4) == 0 {
					needs[name] = append(needs[name], fmt.Sprintf("m%d", d))
				}
			}
			modules[name+".ko"] = needing(t, needs[name]...)
		}
		_, order := open(t, build(t, input(t, modules, fmt.Sprintf("m%d", len(modules)-1), "m1")))
		loaded := map[string]bool{}
		for _, file := range order {
			name := strings.TrimSuffix(path.Base(file), ".ko")
			for _, d := range needs[name] {
				if !loaded[d] {
					t.Fatalf("%s is loaded without %s: %q", name, d, order)
				}
			}
			if loaded[name] {
				t.Fatalf("%s is loaded twice", name)
			}
			loaded[name] = true
		}
	}
}

func TestMissing(t *testing.T) {
	in := input(t, map[string][]byte{"broken.ko": needing(t, "not_there"), "garbage.ko": []byte("MZ")})
	for wanted, want := range map[string]string{
		"no-such": "kernel " + release + " has no module no-such",
		"broken":  "module broken needs not_there, which kernel " + release + " lacks",
		"garbage": "garbage.ko: not an ELF file",
	} {
		in.Modules = []string{wanted}
		if _, err := Build(in); err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "build initramfs: ") {
			t.Errorf("%s: %v", wanted, err)
		}
	}
	bare := Input{Kernel: findKernel(t, kernelTree(t, moduleDirs[0], nil)), Boot: boot}
	if _, err := Build(bare); err == nil || !strings.Contains(err.Error(), "has no module ext4") {
		t.Errorf("a kernel without ext4: %v", err)
	}
}

// TestSameBytes: neither the order in which files came nor their times, owners
// and compression show.
func TestSameBytes(t *testing.T) {
	modules := map[string][]byte{"a.ko": needing(t, "b"), "b.ko": needing(t), "c.ko": needing(t, "a")}
	want := build(t, input(t, modules, "c"))
	for range 5 { // maps are read in another order each time
		again := input(t, modules, "c")
		for _, p := range again.Kernel.files.Paths() {
			e := again.Kernel.files.Get(p)
			e.MTime, e.UID, e.Mode = 99, 7, e.Mode&^0o077
		}
		if !bytes.Equal(build(t, again), want) {
			t.Fatal("the same modules give other bytes")
		}
	}
	packed := map[string][]byte{"a.ko.xz": pack(t, ".xz", modules["a.ko"]), "b.ko.gz": pack(t, ".gz", modules["b.ko"]), "c.ko.zst": pack(t, ".zst", modules["c.ko"])}
	if !bytes.Equal(build(t, input(t, packed, "c")), want) {
		t.Error("compressed modules give other bytes")
	}
}

// TestJudges has foreign programs read the archive.
func TestJudges(t *testing.T) {
	unzstd, unpack := testenv.RequireTool(t, "zstd"), testenv.RequireTool(t, "cpio")
	archive := build(t, input(t, map[string][]byte{"a.ko": needing(t)}, "a"))
	cmd := exec.Command("sh", "-c", `"$1" -dcq | "$2" -it --quiet`, "sh", unzstd, unpack)
	cmd.Stdin = bytes.NewReader(archive)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	tr, _ := open(t, archive)
	if got, want := strings.Fields(string(out)), tr.Paths(); !slices.Equal(got, want) {
		t.Errorf("cpio lists %q\nwant %q", got, want)
	}
	const window = 8 << 20 // what lib/decompress_unzstd.c of the kernel takes
	d, err := zstd.NewReader(bytes.NewReader(archive), zstd.WithDecoderMaxWindow(window))
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if _, err := io.Copy(io.Discard, d); err != nil {
		t.Errorf("with a window of %d bytes: %v", window, err)
	}
}

// TestDebianKernel makes the initramfs of the cloud kernel as it is on the
// mirror; dependencies are read again by a way of their own.
func TestDebianKernel(t *testing.T) {
	files := treeOf(t, testenv.Debian(t, "stable").CloudKernel(t))
	k := findKernel(t, files)
	in := Input{
		Kernel: k, Image: []string{"erofs", "dm_verity"}, Modules: []string{"nf_tables"},
		Device: tree.NewFile("init", 0o755, []byte("x")), Boot: boot, Epoch: epoch,
	}
	archive := build(t, in)
	if !bytes.Equal(archive, build(t, in)) {
		t.Error("two builds differ")
	}
	tr, order := open(t, archive)
	needs := dependencies(t, k)
	loaded := map[string]bool{}
	for _, file := range order {
		for _, d := range needs[path.Base(file)] {
			if name, _ := kmod.Name(d); !loaded[name] {
				t.Errorf("%s is loaded without %s, whose symbols it needs", file, d)
			}
		}
		data, err := tr.Get(file).ReadAll(kmod.MaxSize)
		if err != nil {
			t.Fatal(err)
		}
		at := bytes.Index(data, []byte("\x00depends="))
		if at < 0 {
			t.Fatalf("%s has no depends field", file)
		}
		value, _, _ := bytes.Cut(data[at+len("\x00depends="):], []byte{0})
		for _, d := range strings.Split(string(value), ",") {
			if d != "" && !loaded[kmod.Normalise(d)] && !k.builtin[kmod.Normalise(d)] {
				t.Errorf("%s is loaded without %s", file, d)
			}
		}
		name, _ := kmod.Name(file)
		loaded[name] = true
	}
	for _, name := range append([]string{"virtio_blk", "virtio_net", "virtio_pci", "nf_tables", "erofs", "dm_verity", "sha256_ssse3"}, needed...) {
		if !loaded[name] && !k.builtin[name] {
			t.Errorf("%s is not loaded", name)
		}
	}
	if loaded["squashfs"] {
		t.Error("squashfs is loaded, and no image is in it")
	}
	const few, many = 10, 200
	if len(order) < few || len(order) > many {
		t.Errorf("%d modules are loaded", len(order))
	}
}

// dependencies gives, by file, what modules.dep says of a kernel's modules.
func dependencies(t *testing.T, k *Kernel) map[string][]string {
	t.Helper()
	files, err := k.Index(t.Context(), 2)
	if err != nil {
		t.Fatal(err)
	}
	needs := map[string][]string{}
	n := slices.IndexFunc(files, func(f kmod.File) bool { return f.Name == "modules.dep" })
	for _, line := range strings.Split(strings.TrimSpace(string(files[n].Data)), "\n") {
		file, list, _ := strings.Cut(line, ":")
		needs[path.Base(kmod.Uncompressed(file))] = strings.Fields(list)
	}
	if len(needs) < 500 {
		t.Errorf("%d modules are in modules.dep", len(needs))
	}
	return needs
}

// treeOf reads a directory of the host.
func treeOf(t *testing.T, dir string) *tree.Tree {
	t.Helper()
	tr := &tree.Tree{}
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		name, _ := filepath.Rel(dir, p)
		switch {
		case err != nil:
			return err
		case d.IsDir():
			return tr.Put(tree.NewDir(name, 0o755))
		case !d.Type().IsRegular():
			return nil
		}
		info, err := os.Stat(p)
		if err != nil {
			return err
		}
		return tr.Put(tree.Entry{Path: name, Kind: tree.File, Mode: 0o644, Size: info.Size(), Source: tree.HostFile(p)})
	})
	if err != nil {
		t.Fatal(err)
	}
	return tr
}
