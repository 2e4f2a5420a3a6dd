package vmdk

import (
	"bytes"
	"context"
	"errors"
	"os/exec"
	"strings"
	"testing"

	"ashlar/internal/format/imagetest"
	"ashlar/internal/foundation/digest"
	"ashlar/internal/testenv"
)

// size needs three grain tables, of which one is empty.
const size = 1200*grain + 3*sector

func disk() []byte {
	data := make([]byte, size)
	copy(data[5000:], imagetest.Words(1, 300_000))
	copy(data[20*grain-7:], imagetest.Noise(2, 3*grain))
	copy(data[511*grain:], imagetest.Words(3, grain))
	copy(data[size-sector:], "the end")
	return data
}

func writeImage(t *testing.T, workers int) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := Write(t.Context(), &out, bytes.NewReader(disk()), Options{Size: size, ID: 0x12345678, Workers: workers}); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
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
	raw, image := imagetest.File(t, disk()), imagetest.File(t, writeImage(t, 2))
	judge(t, "compare", "-f", "raw", "-F", "vmdk", raw, image)
	judge(t, "check", "-f", "vmdk", image)
	if out := judge(t, "info", "-f", "vmdk", image); !strings.Contains(out, "create type: streamOptimized") || !strings.Contains(out, "cid: 305419896") {
		t.Errorf("qemu-img info: %s", out)
	}
	if out, err := exec.Command(testenv.RequireTool(t, "file"), image).CombinedOutput(); err != nil || !strings.Contains(string(out), "VMware4 disk image") {
		t.Errorf("file: %s, %v", out, err)
	}
}

func TestGolden(t *testing.T) {
	for workers := range 3 {
		const want = "57c27e5aae40ed82add87d2e2c3e269b136a1d265973d47b014756ecc2bf6f7c"
		if got := digest.Of(writeImage(t, workers)).String(); got != want {
			t.Errorf("%d workers: digest %s, want %s", workers, got, want)
		}
	}
}

// full takes some bytes and then no more.
type full struct{ left int }

var errFull = errors.New("no space left on device")

func (f *full) Write(p []byte) (int, error) {
	if f.left -= len(p); f.left < 0 {
		return 0, errFull
	}
	return len(p), nil
}

func TestFails(t *testing.T) {
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for name, err := range map[string]error{
		"empty":   Write(t.Context(), nil, nil, Options{}),
		"sectors": Write(t.Context(), nil, nil, Options{Size: 513}),
		"large":   Write(t.Context(), nil, nil, Options{Size: maxDisk + sector}),
		"short":   Write(t.Context(), &full{1 << 30}, bytes.NewReader(disk()), Options{Size: size + sector}),
		"context": Write(ended, &full{1 << 30}, bytes.NewReader(disk()), Options{Size: size}),
	} {
		if err == nil || !strings.HasPrefix(err.Error(), "write VMDK image: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
	for room := 0; room < len(writeImage(t, 1)); room += 60 * sector {
		if err := Write(t.Context(), &full{room}, bytes.NewReader(disk()), Options{Size: size}); !errors.Is(err, errFull) {
			t.Fatalf("room for %d bytes: %v", room, err)
		}
	}
}
