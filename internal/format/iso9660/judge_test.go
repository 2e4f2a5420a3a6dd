package iso9660

import (
	"fmt"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"ashlar/internal/format/imagetest"
	"ashlar/internal/foundation/tree"
	"ashlar/internal/testenv"
)

func judge(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(testenv.RequireTool(t, name), args...).CombinedOutput()
	if err != nil {
		t.Errorf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// TestXorrisoReadsTheSame has xorriso bring the image to the disk of the host:
// all kinds, modes, owners, times and contents, compared path by path.
func TestXorrisoReadsTheSame(t *testing.T) {
	testenv.RequireRoot(t)
	tr := plain(t, imagetest.Sample(t))
	tr.Get("dev/big").Major, tr.Get("dev/big").Minor = 259, 7 // and takes numbers of 20 bits for others
	tr.Get("marked-link").Target = "a/b"                      // xorriso refuses 4000 bytes
	_, data := writeImage(t, tr, Options{VolumeID: "JUDGE", Epoch: epoch})
	name, to := imagetest.File(t, data), t.TempDir()+"/out"
	list := strings.Join(strings.Fields(judge(t, "xorriso", "-indev", name, "-find", "/dev", "-exec", "lsdl")), " ")
	for _, want := range []string{"crw------- 1 0 0 5,1 Jan 1 1970 '/dev/console'", "brw-rw---- 1 0 6 259,7 Jan 1 1970 '/dev/big'", "srwxr-xr-x 1 0 0 0 Jan 1 1970 '/dev/sock'"} {
		if !strings.Contains(list, want) {
			t.Errorf("xorriso does not list %q:\n%s", want, list)
		}
	}
	out := judge(t, "xorriso", "-osirrox", "on:o_excl_off", "-hardlinks", "on", "-abort_on", "WARNING", "-indev", name, "-extract", "/", to)
	if strings.Contains(out, "WARNING") || strings.Contains(out, "SORRY") {
		t.Errorf("xorriso remarks:\n%s", out)
	}
	got := imagetest.HostTree(t, to)
	for _, tr := range []*tree.Tree{tr, got} {
		for _, gone := range []string{"dev/console", "dev/big", "dev/sock"} { // which xorriso does not make
			tr.Remove(gone)
		}
		if err := tr.Walk(boundTime); err != nil {
			t.Fatal(err)
		}
	}
	if diff := imagetest.Differences(t, tr, got); diff != "" {
		t.Error(diff)
	}
}

func TestXorrisoSeesBootImages(t *testing.T) {
	plan, data := writeImage(t, plain(t, imagetest.Small(t, BlockSize)), Options{VolumeID: "JUDGE", Epoch: epoch, BIOS: 8192, UEFI: 3 << 20})
	if err := SetBootInfo(data[plan.BIOS.Offset:][:plan.BIOS.Size], plan.BIOS.Offset); err != nil {
		t.Fatal(err)
	}
	out := judge(t, "xorriso", "-indev", imagetest.File(t, data), "-report_el_torito", "plain", "-pvd_info")
	for _, want := range []string{
		`El Torito boot img :   1  BIOS  y   none  0x0000  0x00      4 +` + fmt.Sprintf("%d\n", plan.BIOS.Offset/BlockSize),
		`El Torito boot img :   2  UEFI  y   none  0x0000  0x00   6144 +` + fmt.Sprintf("%d\n", plan.UEFI.Offset/BlockSize),
		`El Torito catalog  : 19  1`,
		"Volume Id    : JUDGE\n", "System Id    : LINUX\n",
		"Creation Time: 2025061515064000\n",
	} {
		if !regexp.MustCompile(want).MatchString(out) {
			t.Errorf("xorriso does not say %q:\n%s", want, out)
		}
	}
}

func TestIsoinfoAndFile(t *testing.T) {
	tr := plain(t, imagetest.Sample(t))
	tr.Get("marked-link").Target = "a/b" // isoinfo dies of 4000 bytes
	_, data := writeImage(t, tr, Options{VolumeID: "JUDGE", Epoch: epoch, BIOS: 4096})
	name := imagetest.File(t, data)
	out := judge(t, "isoinfo", "-d", "-i", name)
	for _, want := range []string{"Volume id: JUDGE\n", "Rock Ridge signatures version 1 found", "Eltorito validation header:", "Arch 0 (x86)", "Boot media 0 (No Emulation Boot)"} {
		if !strings.Contains(out, want) {
			t.Errorf("isoinfo does not say %q:\n%s", want, out)
		}
	}
	if out := judge(t, "isoinfo", "-R", "-f", "-i", name); !strings.Contains(out, "/data/copy-without-digest\n") || !strings.Contains(out, "/bin.last\n") {
		t.Errorf("isoinfo lists:\n%s", out)
	}
	if out := judge(t, "isoinfo", "-f", "-i", name); !strings.Contains(out, "/DATA/COPY_WIT.;1\n") {
		t.Errorf("isoinfo lists without Rock Ridge:\n%s", out)
	}
	if out := judge(t, "file", name); !strings.Contains(out, "ISO 9660 CD-ROM filesystem data 'JUDGE' (bootable)") {
		t.Errorf("file says %s", out)
	}
	if out := judge(t, "blkid", "-p", "-o", "export", name); !strings.Contains(out, "LABEL=JUDGE\n") || !strings.Contains(out, "UUID="+UUID(epoch)+"\n") {
		t.Errorf("blkid says %s", out)
	}
}
