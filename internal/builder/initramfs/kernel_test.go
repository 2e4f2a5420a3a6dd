package initramfs

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"

	"ashlar/internal/foundation/tree"
)

const release = "6.12.48+test-amd64"

// moduleFile makes an ELF file with nothing but a .modinfo section of fields.
func moduleFile(t testing.TB, fields ...string) []byte {
	t.Helper()
	const headerSize, sectionSize = 64, 64
	info := []byte(strings.Join(fields, "\x00") + "\x00")
	names := []byte("\x00.modinfo\x00.shstrtab\x00")
	sections := []elf.Section64{
		{},
		{Name: 1, Type: uint32(elf.SHT_PROGBITS), Off: headerSize, Size: uint64(len(info))},
		{Name: 10, Type: uint32(elf.SHT_STRTAB), Off: headerSize + uint64(len(info)), Size: uint64(len(names))},
	}
	header := elf.Header64{
		Ident: [16]byte{0x7f, 'E', 'L', 'F', byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), byte(elf.EV_CURRENT)},
		Type:  uint16(elf.ET_REL), Machine: uint16(elf.EM_X86_64), Version: uint32(elf.EV_CURRENT), Ehsize: headerSize,
		Shoff: uint64(headerSize + len(info) + len(names)), Shentsize: sectionSize, Shnum: uint16(len(sections)), Shstrndx: 2,
	}
	var file bytes.Buffer
	for _, part := range []any{header, info, names, sections} {
		if err := binary.Write(&file, binary.LittleEndian, part); err != nil {
			t.Fatal(err)
		}
	}
	return file.Bytes()
}

// needing is a module with hard dependencies.
func needing(t testing.TB, depends ...string) []byte {
	return moduleFile(t, "license=GPL", "depends="+strings.Join(depends, ","), "retpoline=Y")
}

// kernelTree makes what a kernel package unpacks to. Module files are named
// below kernel/; builtin modules are names.
func kernelTree(t testing.TB, dir string, modules map[string][]byte, builtin ...string) *tree.Tree {
	t.Helper()
	tr := &tree.Tree{}
	entries := []tree.Entry{tree.NewFile("boot/vmlinuz-"+release, 0o644, []byte("kernel"))}
	for name, data := range modules {
		entries = append(entries, tree.NewFile(dir+release+"/kernel/"+name, 0o644, data))
	}
	list := ""
	for _, name := range builtin {
		list += "kernel/fs/" + name + ".ko\n"
	}
	entries = append(entries, tree.NewFile(dir+release+"/modules.builtin", 0o644, []byte(list)))
	for _, e := range entries {
		if err := tr.AddParents(e.Path, 0o755, 1); err != nil {
			t.Fatal(err)
		}
		if err := tr.Put(e); err != nil {
			t.Fatal(err)
		}
	}
	return tr
}

func findKernel(t testing.TB, tr *tree.Tree) *Kernel {
	t.Helper()
	k, err := FindKernel(tr)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestFindKernel(t *testing.T) {
	for _, dir := range moduleDirs {
		k := findKernel(t, kernelTree(t, dir, map[string][]byte{"net/some-thing.ko": needing(t)}, "ext4"))
		if k.Release != release || k.Image.Path != "boot/vmlinuz-"+release {
			t.Errorf("%s: %s, %s", dir, k.Release, k.Image.Path)
		}
		for name, want := range map[string]bool{"ext4": true, "some-thing": true, "some_thing": true, "thing": false, "": false} {
			if k.Known(name) != want {
				t.Errorf("%s: module %q is known: %t", dir, name, !want)
			}
		}
	}
}

func TestFindKernelRefuses(t *testing.T) {
	if _, err := FindKernel(&tree.Tree{}); err == nil || !strings.Contains(err.Error(), "no boot/vmlinuz-*") {
		t.Errorf("without a kernel: %v", err)
	}
	two := kernelTree(t, moduleDirs[0], nil)
	if err := two.Put(tree.NewFile("boot/vmlinuz-7", 0o644, nil)); err != nil {
		t.Fatal(err)
	}
	if _, err := FindKernel(two); err == nil || !strings.Contains(err.Error(), release) || !strings.Contains(err.Error(), "and 7") {
		t.Errorf("with two kernels: %v", err)
	}
}

// TestOtherRelease: modules of another kernel are not this one's.
func TestOtherRelease(t *testing.T) {
	tr := kernelTree(t, moduleDirs[0], nil)
	if err := tr.Put(tree.NewFile(moduleDirs[0]+"5.10/kernel/old.ko", 0o644, needing(t))); err != nil {
		t.Fatal(err)
	}
	k := findKernel(t, tr)
	if k.Known("old") {
		t.Error("a module of another release is known")
	}
	modules, err := k.ModulesTree(5, nil)
	if err != nil || modules.Lookup("5.10/kernel/old.ko") != nil {
		t.Errorf("it is in the modules' image: %v", err)
	}
}

func pack(t *testing.T, ending string, data []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	write := func(w interface {
		Write([]byte) (int, error)
		Close() error
	}, err error) {
		if err == nil {
			_, err = w.Write(data)
		}
		if err == nil {
			err = w.Close()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	switch ending {
	case ".xz":
		w, err := xz.NewWriter(&out)
		write(w, err)
	case ".zst":
		w, err := zstd.NewWriter(&out)
		write(w, err)
	case ".gz":
		write(gzip.NewWriter(&out), nil)
	default:
		return data
	}
	return out.Bytes()
}

func TestModule(t *testing.T) {
	plain := moduleFile(t, "description=of=it", "depends=crc16,some-lib", "softdep=pre: crc32c xor post: later", "softdep=post: never", "softdep=pre: last", "alias=x")
	for _, ending := range []string{"", ".xz", ".zst", ".gz"} {
		packed := pack(t, ending, plain)
		name := "fs/a-module.ko" + ending
		k := findKernel(t, kernelTree(t, moduleDirs[0], map[string][]byte{name: packed}))
		m, err := k.Module("a_module")
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if want := moduleDirs[0] + release + "/kernel/fs/a-module.ko"; m.Name != "a_module" || m.Path != want || !bytes.Equal(m.Data, plain) {
			t.Errorf("%s: %s at %s, %d bytes", name, m.Name, m.Path, len(m.Data))
		}
		if got := fmt.Sprint(m.Depends(), soft(m)); got != "[crc16 some-lib] [[crc32c xor last] [later never]]" {
			t.Errorf("%s: it needs %s", name, got)
		}
		if ending == "" {
			continue
		}
		for _, bad := range [][]byte{packed[:len(packed)/2], {}, []byte("no such format")} {
			k := findKernel(t, kernelTree(t, moduleDirs[0], map[string][]byte{name: bad}))
			if _, err := k.Module("a-module"); err == nil || !strings.Contains(err.Error(), "module "+moduleDirs[0]+release+"/kernel/"+name+": ") {
				t.Errorf("%s with %d bytes of %d: %v", name, len(bad), len(packed), err)
			}
		}
	}
}

func soft(m *Module) [][]string {
	pre, post := m.SoftDepends()
	return [][]string{pre, post}
}

// TestNoModule: one that is built in, or that there is not, is no error here.
func TestNoModule(t *testing.T) {
	k := findKernel(t, kernelTree(t, moduleDirs[0], map[string][]byte{"ext4.ko": needing(t)}, "ext4"))
	for _, name := range []string{"ext4", "nothing"} {
		if m, err := k.Module(name); m != nil || err != nil {
			t.Errorf("%s: %v, %v", name, m, err)
		}
	}
}

func TestModulesTree(t *testing.T) {
	const epoch = 1000
	for _, dir := range moduleDirs {
		tr := kernelTree(t, dir, map[string][]byte{"a.ko": needing(t), "b.ko.xz": []byte("as it is")}, "ext4")
		tr.Get(dir + release + "/kernel/a.ko").MTime = epoch + 5
		// Some packages bring an index; ours stands in its place.
		if err := tr.Put(tree.NewFile(dir+release+"/modules.dep", 0o600, []byte("theirs"))); err != nil {
			t.Fatal(err)
		}
		modules, err := findKernel(t, tr).ModulesTree(epoch, []tree.Entry{tree.NewFile("modules.dep", 0o600, []byte("ours"))})
		if err != nil {
			t.Fatal(err)
		}
		want := fmt.Sprintf("[. %[1]s %[1]s/kernel %[1]s/kernel/a.ko %[1]s/kernel/b.ko.xz %[1]s/modules.builtin %[1]s/modules.dep]", release)
		if got := fmt.Sprint(modules.Paths()); got != want {
			t.Errorf("%s: got  %s\nwant %s", dir, got, want)
		}
		e := modules.Get(release + "/modules.dep")
		if data, err := e.ReadAll(10); string(data) != "ours" || err != nil || e.Mode != 0o644 || e.MTime != epoch {
			t.Errorf("modules.dep is %q, %v, %+v", data, err, e)
		}
		if at := modules.Get(release + "/kernel/a.ko").MTime; at != epoch {
			t.Errorf("a.ko is of %d, later than %d", at, epoch)
		}
		if tr.Get(dir+release+"/kernel/a.ko").MTime != epoch+5 {
			t.Error("the package's tree was changed")
		}
	}
}
