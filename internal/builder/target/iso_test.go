package target

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ashlar/internal/contract/layout"
	"ashlar/internal/format/iso9660"
	"ashlar/internal/foundation/digest"
	"ashlar/internal/foundation/tree"
)

func exampleISO(t testing.TB) ISOInput {
	t.Helper()
	in := example(t)
	return ISOInput{
		Name: in.Name, Lock: in.Lock, Epoch: in.Epoch, ESP: in.ESP, System: in.System,
		CDImage: func(at int64) ([]byte, []byte, error) {
			image := bytes.Repeat([]byte("boot"), 1024)
			return bytes.Repeat([]byte{0x90}, 440), image, iso9660.SetBootInfo(image, at)
		},
	}
}

func buildISO(t *testing.T, in ISOInput) (ISOPlan, string) {
	t.Helper()
	plan, err := PlanISO(in)
	if err != nil {
		t.Fatal(err)
	}
	image := filepath.Join(t.TempDir(), "disk.iso")
	f, err := os.Create(image)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(bytes.Repeat([]byte{0xff}, 3*mebibyte), 0); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(plan.Write(t.Context(), f), f.Close()); err != nil {
		t.Fatal(err)
	}
	return plan, image
}

// TestISOIsSound has foreign tools look at the three faces of the image: the CD
// for the BIOS and for UEFI, the disk, the file system.
func TestISOIsSound(t *testing.T) {
	plan, image := buildISO(t, exampleISO(t))
	if out := judge(t, "sgdisk", "-v", image); !strings.Contains(out, "No problems found") {
		t.Errorf("sgdisk -v:\n%s", out)
	}
	if out := judge(t, "sfdisk", "--verify", image); !strings.Contains(out, "No errors detected") || !strings.Contains(out, "Using 2 out of 128 partitions") {
		t.Errorf("sfdisk --verify:\n%s", out)
	}
	out := judge(t, "xorriso", "-indev", image, "-report_el_torito", "plain", "-report_system_area", "plain")
	for _, want := range []string{
		"Volume id    : '" + plan.Label + "'", "MBR protective-msdos-label cyl-align-off GPT",
		"El Torito boot img :   1  BIOS  y   none  0x0000  0x00      4 ", "El Torito boot img :   2  UEFI  y   none  0x0000  0x00   8192 ",
		"GPT start and size :   1  2048  ", "GPT partname local :   2  " + layout.PartESP,
	} {
		if !strings.Contains(out, want) {
			t.Errorf("xorriso does not say %q:\n%s", want, out)
		}
	}
	if out := judge(t, "file", image); !strings.Contains(out, "ISO 9660 CD-ROM filesystem data (DOS/MBR boot sector) '"+plan.Label+"' (bootable)") {
		t.Errorf("file says %s", out)
	}
	if out := judge(t, "blkid", "-p", "-o", "export", image); !strings.Contains(out, "LABEL="+plan.Label) || !strings.Contains(out, "TYPE=iso9660") {
		t.Errorf("blkid says %s", out)
	}
	esp := plan.Parts[1]
	part := cut(t, image, esp.Offset, esp.Size)
	if out := judge(t, "fsck.vfat", "-n", part); strings.Count(out, "\n") != 2 {
		t.Errorf("fsck.vfat remarks:\n%s", out)
	}
	if out := judge(t, "mdir", "-/", "-b", "-i", part, "::"); !strings.Contains(out, "::/EFI/BOOT/BOOTX64.EFI") {
		t.Errorf("mdir lists %s", out)
	}
}

func TestISOIsReproducible(t *testing.T) {
	const want = "4035850a26fc3ac86f43113d681f013fc8f8d5965676cf2ff36b78b5d645cfc3"
	for range 2 {
		_, image := buildISO(t, exampleISO(t))
		data, err := os.ReadFile(image)
		if err != nil {
			t.Fatal(err)
		}
		if sum := digest.Of(data).String(); sum != want {
			t.Errorf("digest of the image is %s, want %s", sum, want)
		}
	}
	other := exampleISO(t)
	other.Lock = digest.Of([]byte("other")).String()
	if plan, _ := PlanISO(other); plan.Label == ISOLabel("web", exampleISO(t).Lock) || len(plan.Label) != 23 {
		t.Errorf("label %s", plan.Label)
	}
}

func TestISOGivesTheTreesBack(t *testing.T) {
	in := exampleISO(t)
	plan, image := buildISO(t, in)
	data, err := os.ReadFile(image)
	if err != nil {
		t.Fatal(err)
	}
	r := bytes.NewReader(data)
	volume, err := iso9660.Open(r, plan.Size)
	if err != nil {
		t.Fatal(err)
	}
	files, err := volume.Tree()
	if err != nil {
		t.Fatal(err)
	}
	disk, err := OpenDisk(r, plan.Size)
	if err != nil {
		t.Fatal(err)
	}
	for want, got := range map[*tree.Tree]*tree.Tree{in.System: files, in.ESP: disk.Find(layout.PartESP).Tree} {
		for _, p := range want.Paths() {
			e := got.Get(p)
			if e == nil || e.Kind != want.Get(p).Kind {
				t.Errorf("%s: got %+v", p, e)
				continue
			}
			if data, err := e.ReadAll(1 << 30); e.Kind == tree.File && (err != nil || digest.Of(data) != want.Get(p).Digest) {
				t.Errorf("%s differs (%v)", p, err)
			}
		}
	}
	// The boot image lies where its table says.
	at := volume.Boots[0].Offset
	if binary.LittleEndian.Uint32(data[at+12:]) != uint32(at/2048) || string(data[at:at+4]) != "boot" {
		t.Errorf("boot image %x", data[at:at+64])
	}
}

func TestPlanISORefuses(t *testing.T) {
	cause := errors.New("the cause")
	for want, spoil := range map[string]func(*ISOInput){
		"name, lock and system tree": func(in *ISOInput) { in.System = nil },
		"boot image: the cause":      func(in *ISOInput) { in.CDImage = func(int64) ([]byte, []byte, error) { return nil, nil, cause } },
		"boot image of 4096 bytes and then of": func(in *ISOInput) {
			in.CDImage = func(at int64) ([]byte, []byte, error) { return nil, make([]byte, 4096+at), nil }
		},
		"extended attributes": func(in *ISOInput) { in.System.Get(layout.GrubConfig).Xattrs = []tree.Xattr{{Name: "user.x"}} },
	} {
		in := exampleISO(t)
		spoil(&in)
		if _, err := PlanISO(in); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an error with %q", err, want)
		}
	}
}
