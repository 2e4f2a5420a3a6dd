package vhd

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"ashlar/internal/format/imagetest"
	"ashlar/internal/foundation/digest"
	"ashlar/internal/foundation/uuid"
	"ashlar/internal/testenv"
)

const size = 21*Unit + 1536

func disk() []byte {
	data := make([]byte, size)
	copy(data[5000:], imagetest.Words(1, 300_000))
	copy(data[8*Unit-7:], imagetest.Noise(2, 3*Unit))
	copy(data[size-512:], "the end")
	return data
}

func options(fixed bool) Options {
	return Options{Size: size, Fixed: fixed, ID: uuid.Derive("test"), Epoch: 1_750_000_000, Workers: 2}
}

func judge(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.Command(testenv.RequireTool(t, "qemu-img"), args...).CombinedOutput()
	if err != nil {
		t.Errorf("qemu-img %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

func TestQEMUReadsTheSame(t *testing.T) {
	raw := imagetest.File(t, append(disk(), make([]byte, Unit-1536)...))
	for _, fixed := range []bool{false, true} {
		image := filepath.Join(t.TempDir(), "image.vhd")
		f, err := os.Create(image)
		if err != nil {
			t.Fatal(err)
		}
		if err := Write(t.Context(), f, bytes.NewReader(disk()), options(fixed)); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		judge(t, "compare", "-f", "raw", "-F", "vpc", raw, image)
		if out := judge(t, "info", "-f", "vpc", image); !strings.Contains(out, "virtual size: 22 MiB (23068672 bytes)") {
			t.Errorf("qemu-img info: %s", out)
		}
		if out, err := exec.Command(testenv.RequireTool(t, "file"), image).CombinedOutput(); err != nil || !fixed && !strings.Contains(string(out), "Microsoft Disk Image, Virtual Server or Virtual PC") {
			t.Errorf("file: %s, %v", out, err)
		}
	}
}

func TestGolden(t *testing.T) {
	for want, fixed := range map[string]bool{"9deb309e6aaec1ceafb49a1616765b5bb114b55aba026f741189bee612f0449e": true, "711f7e07eb31c6b0763854fd467598b9092bd3639548662a69e60768dee4f8c9": false} {
		m := &imagetest.Memory{}
		if err := Write(t.Context(), m, bytes.NewReader(disk()), options(fixed)); err != nil {
			t.Fatal(err)
		}
		if got := digest.Of(m.Data).String(); got != want {
			t.Errorf("fixed %v: digest %s, want %s", fixed, got, want)
		}
		// One footer is at the end, and its sum is right.
		last := m.Data[len(m.Data)-footerSize:]
		sum := bytes.Clone(last)
		clear(sum[64:68])
		if string(last[:8]) != "conectix" || checksum(sum) != uint32(last[64])<<24|uint32(last[65])<<16|uint32(last[66])<<8|uint32(last[67]) {
			t.Errorf("the footer is %x", last[:80])
		}
	}
}

// TestGeometry has the figures that QEMU's own images have.
func TestGeometry(t *testing.T) {
	for total, want := range map[int64][3]int64{
		22 * 2048:    {662, 4, 17},
		1024 * 2048:  {2080, 16, 63},
		200 * 2048:   {825, 16, 31},
		1 << 34:      {65535, 16, 255},
		400 << 20:    {65535, 16, 255},
		65535 * 1008: {16191, 16, 255},
	} {
		c, h, s := geometry(total)
		if [3]int64{c, h, s} != want {
			t.Errorf("%d sectors: %d/%d/%d, want %v", total, c, h, s, want)
		}
	}
}

func TestFails(t *testing.T) {
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	large, long := options(false), options(true)
	large.Size, long.Size = maxDisk+1, size+1
	for name, err := range map[string]error{
		"empty":   Write(t.Context(), nil, nil, Options{}),
		"large":   Write(t.Context(), nil, nil, large),
		"short":   Write(t.Context(), &imagetest.Memory{}, bytes.NewReader(disk()), long),
		"full":    Write(t.Context(), &imagetest.FullDisk{Room: 5 * Unit}, bytes.NewReader(disk()), options(false)),
		"fixed":   Write(t.Context(), &imagetest.FullDisk{Room: 5 * Unit}, bytes.NewReader(disk()), options(true)),
		"context": Write(ended, &imagetest.Memory{}, bytes.NewReader(disk()), options(false)),
	} {
		if err == nil || !strings.HasPrefix(err.Error(), "write VHD image: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
