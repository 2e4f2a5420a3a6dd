package iso9660

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ashlar/internal/format/imagetest"
	"ashlar/internal/foundation/digest"
	"ashlar/internal/foundation/tree"
)

func TestRoundTrip(t *testing.T) {
	tr := plain(t, imagetest.Sample(t))
	plan, data := writeImage(t, tr, Options{VolumeID: "LABEL_1", Epoch: 1_950_000_000, BIOS: 4096, UEFI: 40 << 20, Spare: 17 << 10})
	r, got := readImage(t, data)
	if diff := imagetest.Differences(t, tr, got); diff != "" {
		t.Error(diff)
	}
	if r.VolumeID != "LABEL_1" || r.UUID != "2031-10-17-10-40-00-00" || r.UUID != UUID(1_950_000_000) {
		t.Errorf("volume %q, UUID %q", r.VolumeID, r.UUID)
	}
	want := []Boot{
		{Platform: PlatformBIOS, Bootable: true, Sectors: 4, Offset: plan.BIOS.Offset},
		{Platform: PlatformEFI, Bootable: true, Sectors: 0, Offset: plan.UEFI.Offset},
	}
	if diff := cmp.Diff(want, r.Boots); diff != "" {
		t.Error(diff)
	}
	if plan.UEFI.Offset%efiAlign != 0 || plan.Size-plan.UEFI.Offset-plan.UEFI.Size < 17<<10 {
		t.Errorf("the EFI image lies at %d of %d", plan.UEFI.Offset, plan.Size)
	}
}

// TestRandomTrees is the property: what is written is read, whatever the tree.
func TestRandomTrees(t *testing.T) {
	for seed := range uint64(40) {
		rng := rand.New(rand.NewPCG(seed, 3))
		tr := plain(t, imagetest.Random(t, rng, 1+rng.IntN(300)))
		err := tr.Walk(func(e *tree.Entry) error { e.Major = max(e.Major, min(1, e.Minor>>8)); return nil })
		if err != nil {
			t.Fatal(err)
		}
		_, data := writeImage(t, tr, Options{})
		_, again := writeImage(t, tr.Clone(), Options{})
		if digest.Of(data) != digest.Of(again) {
			t.Errorf("seed %d: two images of one tree differ", seed)
		}
		if _, got := readImage(t, data); imagetest.Differences(t, tr, got) != "" {
			t.Fatalf("seed %d: %s", seed, imagetest.Differences(t, tr, got))
		}
	}
}

func TestGolden(t *testing.T) {
	const want = "0d1868929663765812809be8cb44264cb5da3ef19c83dee23c08d714b53178b9"
	_, data := writeImage(t, plain(t, imagetest.Sample(t)), Options{VolumeID: "GOLDEN", Epoch: epoch, BIOS: 4096, UEFI: 1 << 20})
	if got := digest.Of(data).String(); got != want {
		t.Errorf("image of the sample tree has digest %s, want %s", got, want)
	}
}

// TestLinksAndNames reaches the ends of entries, areas and blocks.
func TestLinksAndNames(t *testing.T) {
	tr := &tree.Tree{}
	imagetest.Put(t, tr, tree.NewDir(".", 0o755))
	targets := []string{"/", "//", "///x", "/a/", "a//b/", ".", "..", "../..", "./", "a/./../b", "/..", strings.Repeat("/", 4095), strings.Repeat("x/", 2047), strings.Repeat("./", 2047)}
	for n := 1; n <= 4095; n += 61 {
		targets = append(targets, strings.Repeat("n", n), "/"+strings.Repeat("ab/", n/3)+"e")
	}
	for i, target := range targets {
		imagetest.Put(t, tr, tree.NewSymlink(fmt.Sprintf("link%d", i), target))
	}
	for n := 1; n <= maxName; n++ {
		imagetest.Put(t, tr, tree.NewFile(strings.Repeat("é", n/2)+strings.Repeat("y", n%2), 0o600, nil))
	}
	_, data := writeImage(t, tr, Options{})
	if _, got := readImage(t, data); imagetest.Differences(t, tr, got) != "" {
		t.Error(imagetest.Differences(t, tr, got))
	}
}

func TestIdentifiers(t *testing.T) {
	var ids identifiers
	var got []string
	for _, name := range []string{"vmlinuz", "VMLINUZ", "root.squashfs", "root.squash", ".hidden", "a.b.c", "no ext.", "manifest.json", "manifest2.json", "ſſſſſſſſſ"} {
		got = append(got, string(ids.add(name, false).bytes(false)))
	}
	want := []string{"VMLINUZ.;1", "VMLINUZ0.;1", "ROOT.SQU;1", "ROOT0.SQU;1", "_HIDDEN.;1", "A_B.C;1", "NO_EXT.;1", "MANIFEST.JSO;1", "MANIFES0.JSO;1", "SSSS.;1"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	seen := map[identifier]bool{}
	for i := range 2000 {
		id := ids.add(fmt.Sprintf("same-stem-%d.ext", i), i%2 == 0)
		if seen[id] {
			t.Fatalf("%v comes twice", id)
		}
		seen[id] = true
	}
}

// TestListingOrder checks 9.3 and the path tables: what Rock Ridge's readers never see.
func TestListingOrder(t *testing.T) {
	plan, data := writeImage(t, plain(t, imagetest.Random(t, rand.New(rand.NewPCG(5, 5)), 400)), Options{})
	for _, dir := range plan.dirs {
		last := identifier{}
		for _, c := range dir.children {
			if c.id.compare(last) <= 0 {
				t.Errorf("%s stands after %s", c.id, last)
			}
			last = c.id
		}
	}
	little, big := data[plan.pathL*BlockSize:], data[plan.pathM*BlockSize:]
	for number, dir := range plan.dirs {
		at := uint32(dir.data.Offset / BlockSize)
		if l, b := binary.LittleEndian.Uint32(little[2:]), binary.BigEndian.Uint32(big[2:]); l != at || b != at {
			t.Errorf("directory %d: tables have blocks %d and %d, want %d", number+1, l, b, at)
		}
		if l, b := binary.LittleEndian.Uint16(little[6:]), binary.BigEndian.Uint16(big[6:]); l != b || int(l) != dir.parent.number || number > 0 && int(l) > number {
			t.Errorf("directory %d: tables have parents %d and %d, want %d", number+1, l, b, dir.parent.number)
		}
		size := 8 + (int(little[0])+1)&^1
		little, big = little[size:], big[size:]
	}
}

func TestBootInfo(t *testing.T) {
	image := make([]byte, 2052)
	for i := range image {
		image[i] = byte(i)
	}
	if err := SetBootInfo(image, 7*BlockSize); err != nil {
		t.Fatal(err)
	}
	sum := uint32(0)
	for i := 64; i < len(image); i += 4 {
		sum += binary.LittleEndian.Uint32(image[i:])
	}
	for i, want := range []uint32{16, 7, 2052, sum, 0} {
		if got := binary.LittleEndian.Uint32(image[8+4*i:]); got != want {
			t.Errorf("word %d is %d, want %d", i, got, want)
		}
	}
	if image[7] != 7 || image[64] != 64 {
		t.Error("bytes around the table changed")
	}
	if SetBootInfo(image[:2050], 0) == nil || SetBootInfo(image[:60], 0) == nil || SetBootInfo(image, 100) == nil || SetBootInfo(image, -2048) == nil {
		t.Error("a wrong image or place is taken")
	}
}

func TestRefuses(t *testing.T) {
	root := tree.NewDir(".", 0o755)
	for name, c := range map[string]struct {
		e    tree.Entry
		opt  Options
		want string
	}{
		"xattrs":    {tree.Entry{Path: "f", Kind: tree.File, Xattrs: []tree.Xattr{{Name: "user.x"}}}, Options{}, "f: has extended attributes"},
		"name":      {tree.NewDir(strings.Repeat("n", 254), 0o755), Options{}, "name of 254 bytes: Linux cuts"},
		"device":    {tree.Entry{Path: "f", Kind: tree.CharDevice, Minor: 256}, Options{}, "f: device 0,256: Linux takes"},
		"kind":      {tree.Entry{Path: "f"}, Options{}, "cannot write a kind(0)"},
		"label":     {root, Options{VolumeID: "label"}, `volume id "label": want A to Z`},
		"long":      {root, Options{VolumeID: strings.Repeat("L", 33)}, "longer than 32 bytes"},
		"negative":  {root, Options{UEFI: -1}, "negative"},
		"boot":      {root, Options{BIOS: 512}, "boot image of 512 bytes"},
		"too large": {tree.Entry{Path: "f", Kind: tree.File, Size: 1 << 43, Source: tree.Bytes(nil)}, Options{}, "counts blocks in 32 bits"},
	} {
		tr := &tree.Tree{}
		imagetest.Put(t, tr, root, c.e)
		if _, err := NewPlan(tr, c.opt); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want an error with %q", name, err, c.want)
		}
	}
}

func TestWriteFails(t *testing.T) {
	broken := errors.New("broken")
	for name, c := range map[string]struct {
		content tree.Content
		room    int64
		want    string
	}{
		"full":   {tree.Bytes(imagetest.Noise(1, 10_000)), 45_000, "no space left"},
		"short":  {tree.Bytes("short"), 1 << 20, "f: content ends"},
		"long":   {tree.Bytes(imagetest.Noise(1, 10_001)), 1 << 20, "f: content is longer"},
		"broken": {imagetest.Broken{Err: broken}, 1 << 20, "broken"},
	} {
		tr := &tree.Tree{}
		imagetest.Put(t, tr, tree.NewDir(".", 0o755), tree.Entry{Path: "f", Kind: tree.File, Size: 10_000, Source: c.content})
		plan, err := NewPlan(tr, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if err := plan.Write(t.Context(), &imagetest.FullDisk{Room: c.room}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want an error with %q", name, err, c.want)
		}
	}
}
