package initramfs

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ashlar/internal/format/cpio"
	"ashlar/internal/foundation/tree"
	"ashlar/internal/testenv"
)

// update makes a microcode update of Intel's form; size is that of its data.
func update(processor, platforms, revision uint32, size int, fill byte) []byte {
	words := []uint32{1, revision, 0x01022026, processor, 0, 1, platforms, uint32(size), uint32(size) + 48, 0, 0, 0}
	var out []byte
	for _, w := range words {
		out = binary.LittleEndian.AppendUint32(out, w)
	}
	out = append(out, bytes.Repeat([]byte{fill}, size)...)
	sum := uint32(0)
	for n := range len(out) / 4 {
		sum += binary.LittleEndian.Uint32(out[4*n:])
	}
	binary.LittleEndian.PutUint32(out[16:], -sum)
	return out
}

func TestJoinIntel(t *testing.T) {
	low, high := update(0x10, 1, 5, 64, 1), update(0x20, 1, 5, 128, 2)
	older, other := update(0x20, 1, 4, 32, 3), update(0x20, 2, 1, 32, 4)
	got, err := joinIntel([][]byte{slices.Concat(high, low), older, slices.Concat(low, other)})
	if want := slices.Concat(low, high, other); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%v, got %d bytes, want %d", err, len(got), len(want))
	}
	flipped := bytes.Clone(low)
	flipped[60] ^= 1
	long := bytes.Clone(low)
	long[32] += 4
	for what, c := range map[string]struct {
		data []byte
		want string
	}{
		"half":            {low[:80], "an update says that it has 112 bytes, and 64 of data, where 80 are left"},
		"little":          {low[:20], "20 bytes are too few"},
		"text":            {[]byte(strings.Repeat("text", 30)), "header version"},
		"damaged":         {flipped, "the update for processor 0x10 is damaged"},
		"longer than all": {long, "says that it has 116 bytes"},
	} {
		if _, err := joinIntel([][]byte{high, c.data}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestJoinAMD(t *testing.T) {
	got, err := joinAMD([][]byte{[]byte("DMA\x00one"), []byte("DMA\x00two")})
	if err != nil || string(got) != "DMA\x00oneDMA\x00two" {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := joinAMD([][]byte{[]byte("DMA\x00one"), []byte("no")}); err == nil {
		t.Error("what is no container is joined")
	}
}

// TestEarlyArchive: it stands first, is not compressed, and what follows is as
// without it.
func TestEarlyArchive(t *testing.T) {
	in := input(t, map[string][]byte{"a.ko": needing(t)}, "a")
	plain := build(t, in)
	for name, data := range map[string][]byte{
		"usr/lib/firmware/intel-ucode/06-01-02": update(0x10, 1, 5, 64, 1), "lib/firmware/amd-ucode/microcode_amd.bin": []byte("DMA\x00amd"),
		"usr/lib/firmware/amd-ucode/README": []byte("not microcode"), "usr/lib/firmware/intel-ucode/list/deep": []byte("not looked at"),
	} {
		if err := in.Kernel.files.AddParents(name, 0o755, 0); err != nil {
			t.Fatal(err)
		}
		if err := in.Kernel.files.Put(tree.NewFile(name, 0o644, data)); err != nil {
			t.Fatal(err)
		}
	}
	archive := build(t, in)
	early, ok := bytes.CutSuffix(archive, plain)
	if !ok || len(early)%4 != 0 {
		t.Fatalf("%d bytes do not end with the %d of before", len(archive), len(plain))
	}
	tr, err := cpio.Read(bytes.NewReader(early), cpio.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(tr.Paths(), " "); got != ". kernel kernel/x86 kernel/x86/microcode kernel/x86/microcode/AuthenticAMD.bin kernel/x86/microcode/GenuineIntel.bin" {
		t.Errorf("it has %s", got)
	}
	if at := bytes.Index(early, update(0x10, 1, 5, 64, 1)); at < 0 || at%16 != 0 {
		t.Errorf("the update stands at %d", at)
	}
	if e := tr.Get("kernel/x86/microcode/GenuineIntel.bin"); e.MTime != epoch {
		t.Errorf("it is of %d", e.MTime)
	}
}

// TestDebianMicrocode makes the archive from Debian's packages; iucode_tool
// makes the same of Intel's, and GNU cpio finds both.
func TestDebianMicrocode(t *testing.T) {
	tool, unpack := testenv.RequireTool(t, "iucode_tool"), testenv.RequireTool(t, "cpio")
	packages := MicrocodePackages("amd64")
	dir := testenv.DebianComponent(t, "stable", "non-free-firmware").Unpack(t, packages...)
	tr := treeOf(t, dir)
	early, err := (&Kernel{files: tr}).microcode(epoch)
	if err != nil {
		t.Fatal(err)
	}
	out := t.TempDir()
	cmd := exec.Command(unpack, "-id", "--quiet")
	cmd.Dir, cmd.Stdin = out, bytes.NewReader(early)
	if text, err := cmd.CombinedOutput(); err != nil || len(text) > 0 {
		t.Fatalf("cpio: %v: %s", err, text)
	}
	read := func(name string) []byte {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	theirs := filepath.Join(t.TempDir(), "early")
	if text, err := exec.Command(tool, "--write-earlyfw="+theirs, filepath.Join(dir, "usr/lib/firmware/intel-ucode")).CombinedOutput(); err != nil {
		t.Fatalf("iucode_tool: %v: %s", err, text)
	}
	archive, err := cpio.Read(bufio.NewReader(bytes.NewReader(read(theirs))), cpio.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	const intel = "kernel/x86/microcode/GenuineIntel.bin"
	want, err := archive.Get(intel).ReadAll(64 << 20)
	if got := read(filepath.Join(out, intel)); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s has %d bytes, that of iucode_tool %d, %v", intel, len(got), len(want), err)
	}
	amd := read(filepath.Join(out, "kernel/x86/microcode/AuthenticAMD.bin"))
	for _, family := range []string{"", "_fam15h", "_fam17h", "_fam19h"} {
		if !bytes.Contains(amd, read(filepath.Join(dir, "usr/lib/firmware/amd-ucode/microcode_amd"+family+".bin"))) {
			t.Errorf("AMD's lacks %q", family)
		}
	}
	if packages := MicrocodePackages("arm64"); packages != nil {
		t.Errorf("arm64 has %q", packages)
	}
}

// FuzzIntel joins what may be updates: joined once more they are the same.
func FuzzIntel(f *testing.F) {
	f.Add(update(0x10, 1, 5, 64, 1))
	f.Add(slices.Concat(update(0x20, 1, 5, 4, 1), update(0x10, 3, 7, 0, 1), update(0x20, 1, 6, 4, 1)))
	f.Add(update(0x20, 1, 5, 0, 1)[:40])
	f.Fuzz(func(t *testing.T, data []byte) {
		once, err := joinIntel([][]byte{data})
		if err != nil {
			return
		}
		if len(once) > len(data) {
			t.Errorf("%d bytes became %d", len(data), len(once))
		}
		if again, err := joinIntel([][]byte{once, once}); err != nil || !bytes.Equal(again, once) {
			t.Errorf("joined again: %v, %d bytes of %d", err, len(again), len(once))
		}
	})
}
