package flash

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/sys/unix"

	"ashlar/internal/format/bmap"
	"ashlar/internal/format/imagetest"
	"ashlar/internal/format/qcow2"
	"ashlar/internal/foundation/progress"
	"ashlar/internal/testenv"
)

const mebibyte = 1 << 20

// disk has noise, zeros within and at the end of a piece, and ends in the midst of one.
func disk() []byte {
	data := make([]byte, 11*mebibyte+mebibyte/2)
	copy(data, imagetest.Noise(1, 300_000))
	copy(data[2*mebibyte+4096:], imagetest.Noise(2, 3*mebibyte))
	copy(data[9*mebibyte:], imagetest.Words(3, mebibyte/2))
	return data
}

// forms writes the disk in every form and gives the names.
func forms(t *testing.T) map[string]string {
	t.Helper()
	dir, data := t.TempDir(), disk()
	names := map[string]string{"raw": dir + "/d.img", "qcow2": dir + "/d.qcow2", "zst": dir + "/d.zst"}
	q := &imagetest.Memory{}
	if err := qcow2.Write(t.Context(), q, bytes.NewReader(data), qcow2.Options{Size: int64(len(data)), Zstd: true}); err != nil {
		t.Fatal(err)
	}
	enc, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	packed := enc.EncodeAll(data[:mebibyte], nil) // two frames
	packed = enc.EncodeAll(data[mebibyte:], packed)
	for form, content := range map[string][]byte{"raw": data, "qcow2": q.Data, "zst": packed} {
		if err := os.WriteFile(names[form], content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return names
}

func open(t *testing.T, name string) *Image {
	t.Helper()
	image, err := OpenImage(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := image.Close(); err != nil {
			t.Error(err)
		}
	})
	return image
}

func TestFiles(t *testing.T) {
	want := disk()
	for form, name := range forms(t) {
		to := filepath.Join(t.TempDir(), "to")
		for range 2 { // the second replaces the first
			device, err := FindDevice(to, true)
			if err != nil {
				t.Fatal(err)
			}
			seen := &imagetest.Recorder{}
			image := open(t, name)
			done, err := Write(t.Context(), image, device, seen)
			if err != nil || image.Form != form || done.Image != int64(len(want)) || done.Data+done.Zero != done.Image || done.Zero < 5*mebibyte {
				t.Errorf("%s: %+v, %v", form, done, err)
			}
			if got, err := os.ReadFile(to); err != nil || !bytes.Equal(got, want) {
				t.Errorf("%s: the file differs (%v)", form, err)
			}
		}
	}
}

// loop makes a disk of a file of the size, filled with garbage, and gives both.
func loop(t *testing.T, size int, options ...string) (device, backing string) {
	t.Helper()
	testenv.RequireRoot(t)
	if _, err := os.Stat("/dev/loop-control"); err != nil {
		testenv.Lack(t, "needs loop devices: %v", err)
	}
	backing = filepath.Join(t.TempDir(), "backing")
	if err := os.WriteFile(backing, bytes.Repeat([]byte("garbage!"), size/8), 0o600); err != nil {
		t.Fatal(err)
	}
	return attach(t, backing, options...), backing
}

func attach(t *testing.T, backing string, options ...string) string {
	t.Helper()
	out := tool(t, "losetup", append(options, "--show", "-f", backing)...)
	device := strings.TrimSpace(out)
	t.Cleanup(func() { tool(t, "losetup", "-d", device) })
	return device
}

func tool(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(testenv.RequireTool(t, name), args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v: %s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

func TestDevice(t *testing.T) {
	want := disk()
	for form, name := range forms(t) {
		path, backing := loop(t, 16*mebibyte)
		device, err := FindDevice(path, false)
		if err != nil || device.Size != 16*mebibyte {
			t.Fatalf("%+v, %v", device, err)
		}
		if _, err := Write(t.Context(), open(t, name), device, progress.Discard{}); err != nil {
			t.Fatalf("%s: %v", form, err)
		}
		got, err := os.ReadFile(backing)
		if err != nil || !bytes.Equal(got[:len(want)], want) {
			t.Errorf("%s: the device differs (%v)", form, err)
		}
		if !isZero(got[15*mebibyte:]) || string(got[len(want):len(want)+8]) != "garbage!" {
			t.Errorf("%s: what is behind the image: the last MiB is not zero, or more is", form)
		}
	}
}

// TestBlockMap: what holds nothing is left alone, and the map must be the image's.
func TestBlockMap(t *testing.T) {
	want, names := disk(), forms(t)
	m, err := bmap.Make(bytes.NewReader(want), int64(len(want)), []bmap.Extent{{Offset: 0, Size: 3 * mebibyte}, {Offset: 4*mebibyte + 8192, Size: 4096}})
	if err != nil {
		t.Fatal(err)
	}
	side := strings.TrimSuffix(names["zst"], ".zst") + ".bmap"
	write := func() (string, error) {
		if err := os.WriteFile(side, m.Marshal(), 0o600); err != nil {
			t.Fatal(err)
		}
		path, backing := loop(t, 16*mebibyte)
		device, err := FindDevice(path, false)
		if err != nil {
			t.Fatal(err)
		}
		done, err := Write(t.Context(), open(t, names["zst"]), device, progress.Discard{})
		if err == nil && done.Skipped != int64(len(want))-3*mebibyte-4096 {
			t.Errorf("%+v", done)
		}
		return backing, err
	}
	backing, err := write()
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(backing)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got[:3*mebibyte], want[:3*mebibyte]) || !bytes.Equal(got[4*mebibyte+8192:4*mebibyte+12288], want[4*mebibyte+8192:4*mebibyte+12288]) {
		t.Error("what is mapped differs")
	}
	if string(got[3*mebibyte:3*mebibyte+8]) != "garbage!" || string(got[4*mebibyte+12288:4*mebibyte+12296]) != "garbage!" {
		t.Error("what holds nothing was written")
	}
	m.Ranges[1].Sum[0] ^= 1
	if _, err := write(); err == nil || !strings.Contains(err.Error(), "belongs to another image") {
		t.Errorf("the map of another image: %v", err)
	}
	m.Size++
	if err := os.WriteFile(side, m.Marshal(), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenImage(t.Context(), names["zst"]); err == nil || !strings.Contains(err.Error(), "it is for a disk of") {
		t.Errorf("the map of another size: %v", err)
	}
}

func TestRefusesDevices(t *testing.T) {
	mounted, _ := loop(t, 16*mebibyte)
	tool(t, "mkfs.ext4", "-q", mounted)
	place := t.TempDir()
	tool(t, "mount", mounted, place)
	t.Cleanup(func() {
		if err := unix.Unmount(place, 0); err != nil {
			t.Error(err)
		}
	})
	readOnly, _ := loop(t, 16*mebibyte, "-r")
	for path, want := range map[string]string{
		mounted: "is mounted at " + place, readOnly: "is read-only", "/dev/null": "is no block device", forms(t)["raw"]: "is no block device", t.TempDir(): "is no block device",
	} {
		if _, err := FindDevice(path, false); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", path, err, want)
		}
	}
	if _, err := FindDevice("/dev/nowhere", false); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
	small, backing := loop(t, 8*mebibyte)
	device, err := FindDevice(small, false)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Write(t.Context(), open(t, forms(t)["raw"]), device, progress.Discard{}); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "fewer than the") {
		t.Errorf("an image that is larger: %v", err)
	}
	// The kernel itself has the last word.
	if _, err := Write(t.Context(), open(t, forms(t)["raw"]), &Device{Path: mounted, Size: 16 * mebibyte}, progress.Discard{}); !errors.Is(err, ErrRefused) {
		t.Errorf("a mounted device: %v", err)
	}
	if got, err := os.ReadFile(backing); err != nil || string(got[:8]) != "garbage!" {
		t.Errorf("a refused device was written (%v)", err)
	}
}

// fakeHost is a machine with the disk 8:0, its partition 8:1 and more.
func fakeHost(t *testing.T, files map[string]string) host {
	t.Helper()
	dir := t.TempDir()
	all := map[string]string{
		"sys/dev/block/8:0/size": "409600\n", "sys/dev/block/8:0/dev": "8:0\n", "sys/dev/block/8:0/ro": "0\n",
		"sys/dev/block/8:0/sda1/partition": "1\n", "sys/dev/block/8:0/sda1/dev": "8:1\n",
		"mounts": "22 1 0:20 / /proc rw - proc proc rw\n", "swaps": "Filename Type Size Used Priority\n",
	}
	for name, text := range files {
		all[name] = text
	}
	for name, text := range all {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	return host{dir + "/sys", dir + "/mounts", dir + "/swaps"}
}

func TestRefusesByWhatTheKernelSays(t *testing.T) {
	for want, files := range map[string]map[string]string{
		"":                        nil,
		"is a partition, not a":   {"sys/dev/block/8:0/partition": "1\n"},
		"holds no medium":         {"sys/dev/block/8:0/size": "0\n"},
		"is read-only":            {"sys/dev/block/8:0/ro": "1\n"},
		"sda1 is part of dm-0":    {"sys/dev/block/8:0/sda1/holders/dm-0": ""},
		"disk that this system":   {"mounts": "20 1 8:1 / / rw shared:1 - ext4 /dev/root rw\n"},
		"sda1 is mounted at /srv": {"mounts": "20 1 8:1 / /srv rw - ext4 /dev/sda1 rw\n"},
	} {
		device, err := fakeHost(t, files).device("/dev/sda", "8:0")
		switch {
		case want == "" && (err != nil || device.Size != 200*mebibyte):
			t.Errorf("a free disk: %+v, %v", device, err)
		case want != "" && (!errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), want)):
			t.Errorf("got %v, want %q", err, want)
		}
	}
	// Swap, and file systems with numbers of their own, are known by the node.
	node, _ := loop(t, mebibyte)
	id := idOf(node)
	for want, files := range map[string]map[string]string{
		"is swap space": {"swaps": "Filename Type\n" + node + " partition\n"}, "is mounted at /b": {"mounts": "20 1 0:44 / /b rw - btrfs " + node + " rw\n"},
	} {
		h := fakeHost(t, files)
		if err := h.unmounted("x", map[string]string{id: "loop"}); err == nil {
			err = h.noSwap("x", map[string]string{id: "loop"})
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v, want %q", err, want)
			}
		} else if !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

// TestBrokenDevice writes to a disk that fails in the midst: its file lies on a
// file system that gets full.
func TestBrokenDevice(t *testing.T) {
	testenv.RequireRoot(t)
	dir := t.TempDir()
	tool(t, "mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", dir)
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	backing := filepath.Join(dir, "backing")
	if err := errors.Join(os.WriteFile(backing, nil, 0o600), os.Truncate(backing, 16*mebibyte)); err != nil {
		t.Fatal(err)
	}
	path := attach(t, backing)
	device, err := FindDevice(path, false)
	if err != nil {
		t.Fatal(err)
	}
	_, err = Write(t.Context(), open(t, forms(t)["raw"]), device, progress.Discard{})
	if err == nil || !strings.Contains(err.Error(), "what the device holds now is no disk") {
		t.Errorf("got %v", err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	first := make([]byte, 4096)
	if _, err := f.ReadAt(first, 0); err != nil || !isZero(first) {
		t.Errorf("the first bytes are there (%v)", err)
	}
}

// TestBrokenImage: nothing is touched, and no file gets the name.
func TestBrokenImage(t *testing.T) {
	names := forms(t)
	packed, err := os.ReadFile(names["zst"])
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, data := range map[string][]byte{
		"cut": packed[:len(packed)-9], "changed": append(bytes.Clone(packed[:len(packed)-2000]), packed[1000:3000]...),
		"empty": nil, "qcow2": []byte("QFI\xfb and no more"), "nothing": {0x28, 0xb5, 0x2f, 0xfd, 0x20, 0, 1, 0, 0},
	} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		if image, err := OpenImage(t.Context(), path); err == nil {
			t.Errorf("%s: opened, %d bytes", name, image.Size)
		}
	}
	if _, err := OpenImage(t.Context(), dir); err == nil {
		t.Error("a directory is an image")
	}
	to := filepath.Join(dir, "to")
	if err := os.WriteFile(to, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	image := open(t, names["raw"])
	if err := os.Truncate(names["raw"], 5*mebibyte); err != nil {
		t.Fatal(err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for _, ctx := range []context.Context{t.Context(), ended} {
		if _, err := Write(ctx, image, &Device{Path: to, File: true}, progress.Discard{}); err == nil {
			t.Error("an image that is cut meanwhile was written")
		}
	}
	if got, err := os.ReadFile(to); err != nil || string(got) != "old" {
		t.Errorf("the file holds %.20q, %v", got, err)
	}
	if left, err := filepath.Glob(filepath.Join(dir, ".*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %q, %v", left, err)
	}
}
