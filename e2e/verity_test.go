package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"ashlar/internal/contract/control"
	"ashlar/internal/contract/imageinfo"
	"ashlar/internal/contract/layout"
	"ashlar/internal/format/erofs"
	"ashlar/internal/machine/qemu"
	"ashlar/internal/testenv"
)

// TestVerity boots an image of EROFS with a hash tree, which veritysetup checks,
// and then with one bit of the disk turned: in the image's first block, which must not
// be mounted, and in the service's program, which must not run.
func TestVerity(t *testing.T) {
	dir := example(t, "app")
	replace(t, filepath.Join(dir, "ashlar.toml"), "[base]", "[image]\nformat = \"erofs\"\n\n[base]")
	useEncoder(t, dir, "erofs 1, ashlar lz4 1 level 5")
	must(t, "build", dir)
	image := filepath.Join(dir, "out", layout.GenRoot)
	checkTree(t, dir, image)
	e := emulator(t, dir)
	config := func(disk string) qemu.Config {
		return qemu.Config{Disk: disk, MemoryMB: 128, NoReboot: true, Publish: []qemu.PortForward{{GuestPort: 8080}}}
	}

	m := boot(t, e, config(filepath.Join(dir, "out", "disk.img")))
	if page := m.get(8080, "/"); !strings.Contains(page, "hello from") {
		t.Errorf("the page is %q", page)
	}
	for _, want := range []string{"root.img is checked by its hash tree", "modules.img is checked by its hash tree"} {
		if !bytes.Contains(m.SerialLog(), []byte(want)) {
			t.Errorf("the machine does not say %q:\n%s", want, m.SerialLog())
		}
	}
	m.powerOff()

	t.Run("first block", func(t *testing.T) {
		vm := startMachine(t, e, config(damaged(t, dir, image, 1024)))
		ctx, cancel := context.WithTimeout(t.Context(), bootPatience)
		defer cancel()
		if err := vm.WaitSerial(ctx, "boot failed: mount root.img: the image is damaged: "); err != nil {
			t.Fatalf("%v\n%s", err, vm.SerialLog())
		}
		if !bytes.Contains(vm.SerialLog(), []byte("data block 0 is corrupted")) {
			t.Errorf("the kernel does not name the block:\n%s", vm.SerialLog())
		}
	})
	t.Run("program", func(t *testing.T) {
		vm := startMachine(t, e, config(damaged(t, dir, image, firstByte(t, image, "usr/bin/app"))))
		ctx, cancel := context.WithTimeout(t.Context(), bootPatience)
		defer cancel()
		agent, err := vm.Agent(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if err := vm.WaitSerial(ctx, "is corrupted"); err != nil {
			t.Fatalf("%v\n%s", err, vm.SerialLog())
		}
		services, err := agent.PS(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range services {
			if s.Name == "app" && s.State == control.StateRunning {
				t.Errorf("a program with a changed bit runs:\n%s", vm.SerialLog())
			}
		}
	})
}

// useEncoder has a definition's lock name another encoder, as `ashlar lock` would,
// which may find newer packages besides.
func useEncoder(t *testing.T, dir, encoder string) {
	t.Helper()
	name := filepath.Join(dir, "ashlar.lock")
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	data = regexp.MustCompile(`"encoder": "[^"]*"`).ReplaceAll(data, []byte(`"encoder": "`+encoder+`"`))
	if err := os.WriteFile(name, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

// checkTree has cryptsetup's program verify the root image by what the manifest says.
func checkTree(t *testing.T, dir, image string) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, "out", "manifest.json"))
	if err != nil {
		t.Fatal(err)
	}
	var m imageinfo.Manifest
	if err := json.Unmarshal(data, &m); err != nil {
		t.Fatal(err)
	}
	if m.Format != "erofs" || len(m.Verity) != 2 || m.Verity[0].Name != layout.GenRoot {
		t.Fatalf("the manifest says format %q, hash trees %+v", m.Format, m.Verity)
	}
	tool := testenv.RequireTool(t, "veritysetup")
	if out, err := exec.Command(tool, "verify", image, image, m.Verity[0].Root.String(), hashOffset(m.Verity[0])).CombinedOutput(); err != nil {
		t.Errorf("veritysetup: %v: %s", err, out)
	}
}

func hashOffset(v imageinfo.Verity) string { return fmt.Sprintf("--hash-offset=%d", v.Blocks*4096) }

// startMachine starts a machine that may not come up.
func startMachine(t *testing.T, e *qemu.Emulator, c qemu.Config) *qemu.VM {
	t.Helper()
	vm, err := e.Start(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := vm.Close(); err != nil {
			t.Error(err)
		}
	})
	return vm
}

// damaged gives a copy of the disk with one bit of the root image turned.
func damaged(t *testing.T, dir, image string, at int64) string {
	t.Helper()
	disk := filepath.Join(t.TempDir(), "disk.img")
	copySparse(t, filepath.Join(dir, "out", "disk.img"), disk)
	const block = 4096
	want := make([]byte, block)
	img, err := os.Open(image)
	if err != nil {
		t.Fatal(err)
	}
	defer img.Close()
	if _, err := img.ReadAt(want, at&^(block-1)); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(disk, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	got := make([]byte, block)
	for from := int64(0); ; from += block {
		if _, err := f.ReadAt(got, from); err != nil {
			t.Fatalf("the disk does not have the block: %v", err)
		}
		if bytes.Equal(got, want) {
			got[at%block] ^= 1
			if _, err := f.WriteAt(got, from); err != nil {
				t.Fatal(err)
			}
			return disk
		}
	}
}

// firstByte gives the place in an EROFS image of a file's first block.
func firstByte(t *testing.T, image, name string) int64 {
	t.Helper()
	f, err := os.Open(image)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	r := &recorder{ReaderAt: f}
	reader, err := erofs.Open(r, info.Size())
	if err != nil {
		t.Fatal(err)
	}
	tr, err := reader.Tree()
	if err != nil {
		t.Fatal(err)
	}
	content, err := tr.Get(name).Open()
	if err != nil {
		t.Fatal(err)
	}
	defer content.Close()
	r.lowest = info.Size()
	if _, err := io.Copy(io.Discard, content); err != nil {
		t.Fatal(err)
	}
	return r.lowest // contents stand before the metadata, in order
}

// recorder notes the lowest place that was read.
type recorder struct {
	io.ReaderAt
	lowest int64
}

func (r *recorder) ReadAt(p []byte, at int64) (int, error) {
	r.lowest = min(r.lowest, at)
	return r.ReaderAt.ReadAt(p, at)
}
