package grub

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ulikunitz/xz/lzma"

	"ashlar/internal/testenv"
)

var suites = []struct{ name, version string }{{"trixie", "2.12"}, {"bookworm", "2.06"}}

var sampleModules = []string{"biosdisk", "part_gpt", "ext2", "normal", "linux", "search", "search_fs_uuid", "serial"}

func reader(dir string) func(string) ([]byte, error) {
	return func(name string) ([]byte, error) { return os.ReadFile(filepath.Join(dir, name)) }
}

// unpack is a decompressor for images in the layout of CoreImage.
func unpack(t testing.TB, core []byte, decompressor int) []byte {
	t.Helper()
	packed, size := core[SectorSize+decompressor:], binary.LittleEndian.Uint32(core[unpackedLen:])
	if want := int(binary.LittleEndian.Uint32(core[compressedLen:])); want != len(packed) {
		t.Fatalf("header says %d compressed bytes, there are %d", want, len(packed))
	}
	header := binary.LittleEndian.AppendUint64([]byte{(2*5+0)*9 + 3, 0, 0, 0x10, 0}, uint64(size))
	r, err := lzma.NewReader(io.MultiReader(bytes.NewReader(header), bytes.NewReader(packed)))
	if err != nil {
		t.Fatal(err)
	}
	out, err := io.ReadAll(r)
	if err != nil || len(out) != int(size) {
		t.Fatalf("unpacked %d of %d bytes: %v", len(out), size, err)
	}
	return out
}

// TestAgainstGrubMkimage holds our image of each Debian release's GRUB
// against grub-mkimage's of the same files: equal but for the compression.
func TestAgainstGrubMkimage(t *testing.T) {
	mkimage := testenv.RequireTool(t, "grub-mkimage")
	const prefix, config = "(,gpt3)/boot/grub", "search.fs_uuid 1234 root\nset prefix=($root)/boot/grub\n"
	for _, suite := range suites {
		t.Run(suite.name, func(t *testing.T) {
			archive := testenv.Debian(t, suite.name)
			if v := archive.Field(t, "grub-pc-bin", "Version"); !strings.HasPrefix(v, suite.version) {
				t.Fatalf("grub-pc-bin %s, want %s", v, suite.version)
			}
			dir := filepath.Join(archive.Unpack(t, "grub-pc-bin"), "usr/lib/grub/i386-pc")
			tmp := t.TempDir()
			if err := os.WriteFile(tmp+"/cfg", []byte(config), 0o644); err != nil {
				t.Fatal(err)
			}
			args := append([]string{"-O", "i386-pc", "-d", dir, "-p", prefix, "-c", tmp + "/cfg", "-o", tmp + "/core.img"}, sampleModules...)
			if out, err := exec.Command(mkimage, args...).CombinedOutput(); err != nil {
				t.Fatalf("grub-mkimage: %v: %s", err, out)
			}
			theirs, err := os.ReadFile(tmp + "/core.img")
			if err != nil {
				t.Fatal(err)
			}
			ours, err := CoreImage(Input{Read: reader(dir), Modules: sampleModules, Prefix: prefix, Config: []byte(config)})
			if err != nil {
				t.Fatal(err)
			}
			decompressor, err := os.ReadFile(dir + "/lzma_decompress.img")
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(unpack(t, ours, len(decompressor)), unpack(t, theirs, len(decompressor))) {
				t.Error("the payload differs from grub-mkimage's")
			}
			rest := SectorSize + 0x10 // after the two sizes
			if !bytes.Equal(ours[rest:SectorSize+len(decompressor)], theirs[rest:SectorSize+len(decompressor)]) {
				t.Error("the decompressor differs from grub-mkimage's")
			}
			t.Logf("%d bytes, grub-mkimage %d", len(ours), len(theirs))
			if len(ours) > len(theirs)*5/4 {
				t.Errorf("%d bytes, grub-mkimage needs %d", len(ours), len(theirs))
			}
		})
	}
}

// fake makes files of the right forms and no working code.
func fake(moddep string) map[string][]byte {
	kernel := make([]byte, 0x54+16)
	copy(kernel, elfMagic)
	le := binary.LittleEndian
	le.PutUint32(kernel[elfPhoff:], 0x34)
	le.PutUint16(kernel[elfPhentsize:], elfSegmentSize)
	le.PutUint16(kernel[elfPhnum:], 1)
	le.PutUint32(kernel[0x34:], segmentLoad)
	le.PutUint32(kernel[0x38:], 0x54)
	le.PutUint32(kernel[0x3c:], linkAddress)
	le.PutUint32(kernel[0x44:], 16)
	copy(kernel[0x54:], "sixteen bytes ..")
	return map[string][]byte{
		"kernel.img": kernel, "diskboot.img": make([]byte, SectorSize), "lzma_decompress.img": make([]byte, 64),
		"moddep.lst": []byte(moddep), "a.mod": []byte(elfMagic + "a"), "b.mod": []byte(elfMagic + "bb"), "c.mod": []byte(elfMagic + "ccc"),
	}
}

func fromMap(files map[string][]byte) func(string) ([]byte, error) {
	return func(name string) ([]byte, error) {
		if data, ok := files[name]; ok {
			return data, nil
		}
		return nil, os.ErrNotExist
	}
}

func TestClosure(t *testing.T) {
	for _, c := range []struct{ moddep, modules, want, err string }{
		{moddep: "a: b c\nb: c\nc:\n", modules: "a", want: "c b a"},
		{moddep: "a: b c\nb:\nc:\n", modules: "a b", want: "c b a"},
		{moddep: "a:\nb:\nc: a\n", modules: "b c b", want: "b a c"},
		{moddep: "a: b\nb: c\nc: a\n", modules: "a", err: "depend on each other: a → b → c → a"},
		{moddep: "a: b\n", modules: "a", err: `module "b": not in moddep.lst`},
		{moddep: "a b\n", modules: "a", err: "moddep.lst:1"},
		{moddep: "a: ../b\n", modules: "a", err: "not a module's name"},
	} {
		order, err := Input{Read: fromMap(fake(c.moddep)), Modules: strings.Fields(c.modules)}.closure()
		switch {
		case c.err != "":
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%q: error %v, want %q", c.moddep, err, c.err)
			}
		case err != nil || strings.Join(order, " ") != c.want:
			t.Errorf("%q: %q, %v, want %q", c.moddep, order, err, c.want)
		}
	}
}

func TestPayload(t *testing.T) {
	payload, err := Input{Read: fromMap(fake("a:\nb: a\n")), Modules: []string{"b"}, Prefix: "(x)/p", Config: []byte("set")}.payload()
	if err != nil {
		t.Fatal(err)
	}
	want := "sixteen bytes .." + "mimg\x0c\x00\x00\x00\x48\x00\x00\x00" +
		"\x00\x00\x00\x00\x10\x00\x00\x00\x7fELF\x01\x01a\x00" +
		"\x00\x00\x00\x00\x10\x00\x00\x00\x7fELF\x01\x01bb" +
		"\x02\x00\x00\x00\x0c\x00\x00\x00set\x00" +
		"\x03\x00\x00\x00\x10\x00\x00\x00(x)/p\x00\x00\x00"
	if string(payload) != want {
		t.Errorf("payload\n%q, want\n%q", payload, want)
	}
}

func TestCoreImageRefuses(t *testing.T) {
	for name, spoil := range map[string]func(map[string][]byte){
		"missing file":      func(f map[string][]byte) { delete(f, "a.mod") },
		"module not ELF":    func(f map[string][]byte) { f["a.mod"] = []byte("text") },
		"diskboot size":     func(f map[string][]byte) { f["diskboot.img"] = make([]byte, 513) },
		"decompressor size": func(f map[string][]byte) { f["lzma_decompress.img"] = nil },
		"link address":      func(f map[string][]byte) { f["kernel.img"][0x3d]++ },
		"segment outside":   func(f map[string][]byte) { f["kernel.img"][0x45]++ },
		"headers outside":   func(f map[string][]byte) { f["kernel.img"][elfPhnum+1]++ },
		"64-bit kernel":     func(f map[string][]byte) { f["kernel.img"][4]++ },
		"no segment":        func(f map[string][]byte) { f["kernel.img"][0x34]++ },
		"file too big":      func(f map[string][]byte) { f["a.mod"] = append([]byte(elfMagic), make([]byte, MaxFile)...) },
	} {
		files := fake("a:\n")
		if _, err := CoreImage(Input{Read: fromMap(files), Modules: []string{"a"}}); err != nil {
			t.Fatal(err)
		}
		spoil(files)
		if core, err := CoreImage(Input{Read: fromMap(files), Modules: []string{"a"}}); err == nil {
			t.Errorf("%s: made %d bytes", name, len(core))
		}
	}
}

func TestTooBig(t *testing.T) {
	files := fake("a:\n")
	noise := make([]byte, MaxCore)
	state := uint32(1)
	for i := range noise {
		state = state*1664525 + 1013904223
		noise[i] = byte(state >> 24)
	}
	files["a.mod"] = append([]byte(elfMagic), noise...)
	_, err := CoreImage(Input{Read: fromMap(files), Modules: []string{"a"}})
	if err == nil || !strings.Contains(err.Error(), "leave modules out") {
		t.Errorf("error %v", err)
	}
}

func TestInstall(t *testing.T) {
	boot := make([]byte, SectorSize)
	boot[510], boot[511] = 0x55, 0xaa
	core := bytes.Repeat([]byte{7}, 3*SectorSize+1)
	mbr, installed, err := Install(boot, core, 0x1234)
	if err != nil {
		t.Fatal(err)
	}
	if len(mbr) != BootCodeSize || binary.LittleEndian.Uint64(mbr[0x5c:]) != 0x1234 || mbr[0x64] != 0xff || mbr[0x66] != 0x90 || mbr[0x67] != 0x90 {
		t.Errorf("boot code %x", mbr)
	}
	if len(installed) != 4*SectorSize {
		t.Fatalf("%d bytes", len(installed))
	}
	if want := []byte{0x35, 0x12, 0, 0, 0, 0, 0, 0, 3, 0, 0x20, 0x08}; !bytes.Equal(installed[500:512], want) {
		t.Errorf("block list %x, want %x", installed[500:512], want)
	}
	if !bytes.Equal(installed[512:len(core)], core[512:]) || installed[len(core)] != 0 || core[500] != 7 {
		t.Error("the rest of the core image is not kept")
	}
	for _, wrong := range []func() ([]byte, []byte, error){
		func() ([]byte, []byte, error) { return Install(boot[:511], core, 1) },
		func() ([]byte, []byte, error) { return Install(make([]byte, SectorSize), core, 1) },
		func() ([]byte, []byte, error) { return Install(boot, core[:512], 1) },
		func() ([]byte, []byte, error) { return Install(boot, make([]byte, MaxCore+1), 1) },
		func() ([]byte, []byte, error) { return Install(boot, core, 0) },
		func() ([]byte, []byte, error) { return Install(boot, core, ^uint64(0)) },
	} {
		if _, _, err := wrong(); err == nil {
			t.Error("wrong input was installed")
		}
	}
}

func TestReadError(t *testing.T) {
	cause := errors.New("the cause")
	_, err := CoreImage(Input{Read: func(string) ([]byte, error) { return nil, cause }})
	if !errors.Is(err, cause) {
		t.Errorf("error %v", err)
	}
}

// FuzzCoreImage gives the files that have a form with foreign bytes.
func FuzzCoreImage(f *testing.F) {
	good := fake("a: b\nb:\nc: a\n")
	f.Add(good["kernel.img"], good["moddep.lst"])
	f.Add(good["kernel.img"][:60], []byte("a: a\n"))
	f.Add([]byte(elfMagic), []byte("b:\n\na: b b b\n"))
	f.Fuzz(func(t *testing.T, kernel, moddep []byte) {
		files := fake("")
		files["kernel.img"], files["moddep.lst"] = kernel, moddep
		in := Input{Read: fromMap(files), Modules: []string{"a"}, Config: []byte("x")}
		core, err := CoreImage(in)
		if err != nil {
			return
		}
		payload := unpack(t, core, len(files["lzma_decompress.img"]))
		if !bytes.Contains(payload, append([]byte("mimg"), 12, 0, 0, 0)) {
			t.Error("no modules in the payload")
		}
		order, err := in.closure()
		if err != nil || !slices.Contains(order, "a") {
			t.Errorf("closure %q, %v", order, err)
		}
	})
}

func TestInstallCD(t *testing.T) {
	boot := make([]byte, SectorSize)
	boot[510], boot[511] = 0x55, 0xaa
	cdboot := bytes.Repeat([]byte{9}, CDBootSize)
	core := bytes.Repeat([]byte{7}, 3*SectorSize+1)
	const at = 29 * CDBootSize
	mbr, image, err := InstallCD(boot, cdboot, core, at)
	if err != nil {
		t.Fatal(err)
	}
	wantMBR, wantCore, err := Install(boot, core, 30*4)
	if err != nil || !bytes.Equal(mbr, wantMBR) || !bytes.Equal(image, append(cdboot, wantCore...)) {
		t.Errorf("boot code %x, image of %d bytes, %v", mbr, len(image), err)
	}
	for _, wrong := range []func() ([]byte, []byte, error){
		func() ([]byte, []byte, error) { return InstallCD(boot, cdboot[1:], core, at) },
		func() ([]byte, []byte, error) { return InstallCD(boot, cdboot, core, at+1) },
		func() ([]byte, []byte, error) { return InstallCD(boot, cdboot, core, -CDBootSize) },
		func() ([]byte, []byte, error) { return InstallCD(boot, cdboot, core[:9], at) },
	} {
		if _, _, err := wrong(); err == nil {
			t.Error("wrong input was installed")
		}
	}
}
