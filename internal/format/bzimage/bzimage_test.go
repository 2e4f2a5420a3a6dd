package bzimage

import (
	"bytes"
	"compress/gzip"
	"debug/elf"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"ashlar/internal/testenv"
)

// small is an ELF file for x86-64 with one segment of data, and behind it what
// is no part of it.
func small() (file, more []byte) {
	const header, entry = 64, 56
	data := []byte(strings.Repeat("kernel ", 1000))
	file = make([]byte, header+entry, header+entry+len(data))
	copy(file, "\x7fELF\x02\x01\x01")
	put := func(at int, size int, v uint64) {
		var word [8]byte
		binary.LittleEndian.PutUint64(word[:], v)
		copy(file[at:at+size], word[:])
	}
	put(0x10, 2, uint64(elf.ET_EXEC))
	put(0x12, 2, uint64(elf.EM_X86_64))
	put(0x14, 4, 1)
	put(0x20, 8, header)
	put(0x34, 2, header)
	put(0x36, 2, entry)
	put(0x38, 2, 1)
	put(header, 4, uint64(elf.PT_LOAD))
	put(header+0x08, 8, header+entry)
	put(header+0x20, 8, uint64(len(data)))
	put(header+0x28, 8, uint64(len(data)))
	file = append(file, data...)
	return file, append(bytes.Clone(file), "relocations"...)
}

// image wraps a payload.
func image(payload []byte) []byte {
	const sectors, offset = 2, 100
	b := make([]byte, (sectors+1)*sector+offset)
	b[offSetupSectors] = sectors
	binary.LittleEndian.PutUint16(b[offBootFlag:], 0xaa55)
	copy(b[offMagic:], "HdrS")
	binary.LittleEndian.PutUint16(b[offVersion:], 0x20f)
	binary.LittleEndian.PutUint32(b[offPayload:], offset)
	binary.LittleEndian.PutUint32(b[offLength:], uint32(len(payload)))
	return append(append(b, payload...), "signature"...)
}

func sized(stream []byte, n int) []byte { return binary.LittleEndian.AppendUint32(stream, uint32(n)) }

func gzipped(data []byte) []byte {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, _ = w.Write(data) // into memory
	_ = w.Close()
	return out.Bytes()
}

// TestFormats takes kernels out that the programs of the kernel's own build
// have packed, with the options that it gives them.
func TestFormats(t *testing.T) {
	want, plain := small()
	for _, c := range []struct {
		sized   bool
		command []string
	}{
		{false, []string{"gzip", "-n", "-9"}},
		{true, []string{"zstd", "-q", "--ultra", "-22", "-c"}},
		{true, []string{"xz", "--check=crc32", "--x86", "--lzma2=,dict=128MiB", "-c"}},
		{true, []string{"lz4", "-l", "-9", "-c"}},
	} {
		t.Run(c.command[0], func(t *testing.T) {
			cmd := exec.Command(testenv.RequireTool(t, c.command[0]), c.command[1:]...)
			cmd.Stdin = bytes.NewReader(plain)
			payload, err := cmd.Output()
			if err != nil {
				t.Fatal(err)
			}
			if c.sized {
				payload = sized(payload, len(plain))
			}
			got, err := Kernel(image(payload))
			if err != nil || !bytes.Equal(got, want) {
				t.Fatalf("%d bytes, %v; want %d", len(got), err, len(want))
			}
			if !c.sized {
				return
			}
			if _, err := Kernel(image(sized(payload[:len(payload)-trailer], len(plain)+1))); err == nil || !strings.Contains(err.Error(), "the image says") {
				t.Errorf("a wrong size: %v", err)
			}
		})
	}
}

// TestReal takes Debian's kernel out and asks readelf about it.
func TestReal(t *testing.T) {
	archive := testenv.Debian(t, "trixie")
	files, err := filepath.Glob(filepath.Join(archive.CloudKernel(t), "boot/vmlinuz-*"))
	if err != nil || len(files) != 1 {
		t.Fatalf("%q, %v", files, err)
	}
	data, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	kernel, err := Kernel(data)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "vmlinux")
	if err := os.WriteFile(path, kernel, 0o644); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(testenv.RequireTool(t, "readelf"), "-h", "-S", "-n", path).CombinedOutput()
	// Xen's note 18 is the entry for PVH, by which QEMU and Firecracker start it.
	for _, want := range []string{"EXEC (Executable file)", "X86-64", ".notes", "Xen"} {
		if err != nil || !strings.Contains(string(out), want) {
			t.Fatalf("readelf: %v, no %q\n%s", err, want, out)
		}
	}
	if strings.Contains(string(out), "Warning") {
		t.Errorf("readelf warns:\n%s", out)
	}
}

func TestRefuses(t *testing.T) {
	_, plain := small()
	good := image(gzipped(plain))
	if _, err := Kernel(good); err != nil {
		t.Fatal(err)
	}
	changed := func(change func(b []byte)) []byte {
		b := bytes.Clone(good)
		change(b)
		return b
	}
	if _, err := kernel(good, len(plain)-1); err == nil || !strings.Contains(err.Error(), "unpack kernel: more than ") {
		t.Errorf("beyond the limit: %v", err)
	}
	other := bytes.Clone(plain)
	other[0x12] = byte(elf.EM_AARCH64)
	for want, bad := range map[string][]byte{
		"no setup header":                   good[:headerEnd-1],
		"it has no setup header":            changed(func(b []byte) { b[offMagic] = 'h' }),
		"boot protocol 2.07":                changed(func(b []byte) { b[offVersion] = 7 }),
		"in a file of":                      changed(func(b []byte) { b[offLength+3] = 1 }),
		"a payload of 0 bytes":              changed(func(b []byte) { copy(b[offLength:], "\x00\x00\x00\x00") }),
		"no known compression begins with ": image([]byte("BZh91AY&SY")),
		"unpack kernel: ":                   changed(func(b []byte) { b[offLength] -= 20 }),
		"bad magic number":                  image(gzipped([]byte(strings.Repeat("no kernel", 9)))),
		"not a kernel for x86-64":           image(gzipped(other)),
		"an ELF file of":                    image(gzipped(plain[:len(plain)-100])),
		"unexpected EOF":                    image(sized([]byte(lz4Magic+"\x09\x00\x00\x00x"), 9)),
	} {
		if _, err := Kernel(bad); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

func FuzzKernel(f *testing.F) {
	_, plain := small()
	f.Add(image(gzipped(plain)))
	f.Add(image(sized([]byte(lz4Magic), 0)))
	f.Add(image(sized([]byte(lz4Magic+"\x02\x00\x00\x00\x10k"), 1)))
	f.Add(image(sized([]byte("\x28\xb5\x2f\xfd\x20\x00\x01\x00\x00"), 0)))
	f.Add(image(sized([]byte("\xfd7zXZ\x00\x00\x01\x69\x22\xde\x36"), 0)))
	f.Fuzz(func(t *testing.T, data []byte) {
		const limit = 1 << 20
		plain, err := kernel(data, limit)
		if err != nil {
			return
		}
		if _, err := elf.NewFile(bytes.NewReader(plain)); err != nil {
			t.Errorf("what was taken out is no ELF file: %v", err)
		}
	})
}
