package target

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"ashlar/internal/contract/layout"
	"ashlar/internal/format/gpt"
	"ashlar/internal/foundation/digest"
	"ashlar/internal/foundation/tree"
	"ashlar/internal/testenv"
)

func treeOf(t testing.TB, files map[string][]byte) *tree.Tree {
	t.Helper()
	tr := &tree.Tree{}
	for name, data := range files {
		e := tree.NewFile(name, 0o644, data)
		e.MTime = 1_700_000_000
		if err := errors.Join(tr.Put(e), tr.AddParents(name, 0o755, 1_700_000_000)); err != nil {
			t.Fatal(err)
		}
	}
	return tr
}

func example(t testing.TB) DiskInput {
	t.Helper()
	return DiskInput{
		Name: "web", Lock: digest.Of([]byte("lock")).String(), Epoch: 1_750_000_000,
		BootCode: func(lba uint64) ([]byte, []byte, error) {
			return bytes.Repeat([]byte{0x90}, 440), fmt.Appendf(nil, "core image at %d", lba), nil
		},
		ESP: treeOf(t, map[string][]byte{"EFI/BOOT/BOOTX64.EFI": bytes.Repeat([]byte("efi"), 100_000), "EFI/BOOT/grub.cfg": []byte("configfile")}),
		System: treeOf(t, map[string][]byte{
			layout.GrubConfig: []byte("menuentry"),
			layout.GenerationsDir + "/0123456789abcdef/" + layout.GenKernel: bytes.Repeat([]byte("kernel"), 1_000_000),
			layout.GenerationsDir + "/0123456789abcdef/" + layout.GenRoot:   bytes.Repeat([]byte("root"), 3_000_001),
		}),
	}
}

func build(t *testing.T, in DiskInput) (DiskPlan, string) {
	t.Helper()
	plan, err := PlanDisk(in)
	if err != nil {
		t.Fatal(err)
	}
	image := filepath.Join(t.TempDir(), "disk.img")
	f, err := os.Create(image)
	if err != nil {
		t.Fatal(err)
	}
	// What was in the file before must not shine through.
	if _, err := f.WriteAt(bytes.Repeat([]byte{0xff}, 3*mebibyte), 0); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(plan.Write(context.Background(), f), f.Close()); err != nil {
		t.Fatal(err)
	}
	return plan, image
}

func judge(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(testenv.RequireTool(t, name), args...).CombinedOutput()
	if err != nil {
		t.Errorf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// cut copies one partition into a file of its own.
func cut(t *testing.T, image string, offset, size int64) string {
	t.Helper()
	f, err := os.Open(image)
	if err != nil {
		t.Fatal(err)
	}
	data := make([]byte, size)
	_, err = f.ReadAt(data, offset)
	part := filepath.Join(t.TempDir(), "part")
	if err := errors.Join(err, f.Close(), os.WriteFile(part, data, 0o644)); err != nil {
		t.Fatal(err)
	}
	return part
}

func TestDiskIsSound(t *testing.T) {
	plan, image := build(t, example(t))
	if out := judge(t, "sgdisk", "-v", image); !strings.Contains(out, "No problems found") {
		t.Errorf("sgdisk -v:\n%s", out)
	}
	names := []string{}
	for _, part := range plan.Parts {
		names = append(names, part.Name)
		if part.Offset%mebibyte != 0 || part.Size%mebibyte != 0 {
			t.Errorf("%s is not aligned: %d, %d", part.Name, part.Offset, part.Size)
		}
		file := cut(t, image, part.Offset, part.Size)
		switch part.Format {
		case FormatExt4:
			if out := judge(t, "e2fsck", "-fn", file); strings.Count(strings.TrimSpace(out), "\n") != 6 {
				t.Errorf("e2fsck remarks on %s:\n%s", part.Name, out)
			}
		case FormatFAT:
			if out := judge(t, "fsck.vfat", "-n", file); strings.Count(out, "\n") != 2 {
				t.Errorf("fsck.vfat remarks:\n%s", out)
			}
		case FormatRaw:
			if data, err := os.ReadFile(file); err != nil || !bytes.HasPrefix(data, []byte("core image at 2048")) {
				t.Errorf("core image: %.30q, %v", data, err)
			}
		}
		if part.Format == FormatRaw {
			continue
		}
		blkid := judge(t, "blkid", "-p", "-o", "value", "-s", "UUID", "-s", "LABEL", file)
		if !strings.Contains(blkid, part.UUID) || !strings.Contains(blkid, part.Label) {
			t.Errorf("blkid says %q, want %s and %s", blkid, part.Label, part.UUID)
		}
	}
	want := []string{layout.PartBIOSBoot, layout.PartESP, layout.PartSystem, layout.PartState}
	if strings.Join(names, " ") != strings.Join(want, " ") {
		t.Errorf("partitions %q, want %q", names, want)
	}
	var st syscall.Stat_t
	if err := syscall.Stat(image, &st); err != nil || st.Blocks*512 > 30*mebibyte {
		t.Errorf("image of %d bytes takes %d on disk (%v)", plan.Size, st.Blocks*512, err)
	}
}

func TestDiskIsReproducible(t *testing.T) {
	const want = "d5d75181931f59f5518b0e0183c41e6515742031ea53b1bccb2b72137e3122f8"
	for range 2 {
		_, image := build(t, example(t))
		f, err := os.Open(image)
		if err != nil {
			t.Fatal(err)
		}
		sum, _, err := digest.Reader(f)
		if err := errors.Join(err, f.Close()); err != nil {
			t.Fatal(err)
		}
		if sum.String() != want {
			t.Errorf("digest of the disk is %s, want %s", sum, want)
		}
	}
}

func TestOpenDiskGivesTheTreesBack(t *testing.T) {
	in := example(t)
	plan, image := build(t, in)
	f, err := os.Open(image)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	disk, err := OpenDisk(f, plan.Size)
	if err != nil {
		t.Fatal(err)
	}
	if disk.GUID != plan.table.DiskGUID || len(disk.Partitions) != len(plan.Parts) {
		t.Fatalf("disk %s with %d partitions", disk.GUID, len(disk.Partitions))
	}
	for i, part := range plan.Parts {
		got := disk.Partitions[i]
		if got.Name != part.Name || got.Format != part.Format || got.Label != part.Label || got.UUID != part.UUID || got.Offset != part.Offset || got.Size != part.Size {
			t.Errorf("partition %+v, want %+v", got, part)
		}
	}
	for name, tr := range map[string]*tree.Tree{layout.PartESP: in.ESP, layout.PartSystem: in.System} {
		for _, p := range tr.Paths() {
			want, got := tr.Get(p), disk.Find(name).Tree.Get(p)
			if got == nil || got.Kind != want.Kind || got.Size != want.Size {
				t.Errorf("%s of %s: got %+v", p, name, got)
				continue
			}
			if want.Kind != tree.File {
				continue
			}
			data, err := got.ReadAll(1 << 30)
			if err != nil || digest.Of(data) != want.Digest || got.MTime != want.MTime {
				t.Errorf("%s of %s: differs (%v)", p, name, err)
			}
		}
	}
	if id := FileSystemUUID(in.Name, layout.PartSystem, in.Lock).String(); disk.Find(layout.PartSystem).UUID != id {
		t.Errorf("system has UUID %s, FileSystemUUID says %s", disk.Find(layout.PartSystem).UUID, id)
	}
}

// A foreign tool finds the partitions where the plan has them, also after the
// disk has grown on the machine.
func TestGrownDiskIsSound(t *testing.T) {
	plan, image := build(t, example(t))
	bigger := plan.Size + 100*mebibyte
	f, err := os.OpenFile(image, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Truncate(bigger); err != nil {
		t.Fatal(err)
	}
	_, changed, err := gpt.Grow(f, bigger, layout.PartState)
	if err := errors.Join(err, f.Close()); err != nil || !changed {
		t.Fatalf("grow: changed %v, %v", changed, err)
	}
	if out := judge(t, "sgdisk", "-v", image); !strings.Contains(out, "No problems found") {
		t.Errorf("sgdisk -v:\n%s", out)
	}
	for i, part := range plan.Parts {
		size := part.Size
		if part.isState() {
			size += 100 * mebibyte
		}
		out := judge(t, "sgdisk", "-i", fmt.Sprint(i+1), image)
		for _, want := range []string{
			fmt.Sprintf("First sector: %d ", part.Offset/512), fmt.Sprintf("Partition size: %d sectors", size/512),
			fmt.Sprintf("Partition name: '%s'", part.Name),
		} {
			if !strings.Contains(out, want) {
				t.Errorf("sgdisk says of %s:\n%swant %s", part.Name, out, want)
			}
		}
	}
}

func TestPlanRefuses(t *testing.T) {
	for want, spoil := range map[string]func(*DiskInput){
		"are needed": func(in *DiskInput) { in.System = nil },
		"boot code: broken": func(in *DiskInput) {
			in.BootCode = func(uint64) ([]byte, []byte, error) { return nil, nil, errors.New("broken") }
		},
		"core image of": func(in *DiskInput) {
			in.BootCode = func(uint64) ([]byte, []byte, error) { return nil, make([]byte, mebibyte+1), nil }
		},
		"at least": func(in *DiskInput) { in.StateSize = mebibyte },
	} {
		in := example(t)
		spoil(&in)
		if _, err := PlanDisk(in); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got error %v", want, err)
		}
	}
}

// A write that fails leaves no partition table behind.
func TestFailedWriteIsNoDisk(t *testing.T) {
	for want, spoil := range map[string]func(*DiskInput){
		"larger":         func(in *DiskInput) { in.SystemSize = 32 * mebibyte; in.System.Get(layout.GrubConfig).Size = 1 << 30 },
		"unexpected EOF": func(in *DiskInput) { in.System.Get(layout.GrubConfig).Size++ },
	} {
		in := example(t)
		spoil(&in)
		plan, err := PlanDisk(in)
		if err != nil {
			t.Fatal(err)
		}
		f, err := os.Create(filepath.Join(t.TempDir(), "disk.img"))
		if err != nil {
			t.Fatal(err)
		}
		if err := plan.Write(context.Background(), f); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got error %v", want, err)
		}
		if _, err := OpenDisk(f, plan.Size); err == nil {
			t.Errorf("%s: what is left is a disk", want)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
