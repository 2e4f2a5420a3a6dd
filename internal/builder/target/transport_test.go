package target

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"ashlar/internal/contract/layout"
	"ashlar/internal/foundation/tree"
	"ashlar/internal/testenv"
)

// TestFlashing has bmaptool write the compressed image by its map over garbage.
// What it left alone must not matter: the file systems are sound, and all files
// are what they were, with their zeros.
func TestFlashing(t *testing.T) {
	in := example(t)
	zeros := tree.NewFile(layout.GenerationsDir+"/0123456789abcdef/zeros", 0o444, append(make([]byte, 3*mebibyte), "end"...))
	if err := in.System.Put(zeros); err != nil {
		t.Fatal(err)
	}
	plan, image := build(t, in)
	raw, err := os.ReadFile(image)
	if err != nil {
		t.Fatal(err)
	}
	m, err := MapDisk(bytes.NewReader(raw), plan.Size)
	if err != nil {
		t.Fatal(err)
	}
	if total := plan.Size / m.BlockSize; m.Mapped() > total/2 || m.Mapped() < 30*mebibyte/m.BlockSize {
		t.Errorf("%d of %d blocks are mapped", m.Mapped(), total)
	}
	var packed bytes.Buffer
	if err := CompressDisk(t.Context(), &packed, bytes.NewReader(raw), plan.Size, 2); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	zst, text, to := filepath.Join(dir, "disk.img.zst"), filepath.Join(dir, "disk.img.bmap"), filepath.Join(dir, "to")
	for name, data := range map[string][]byte{zst: packed.Bytes(), text: m.Marshal(), to: bytes.Repeat([]byte("garbage!"), int(plan.Size/8))} {
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := exec.Command(testenv.RequireTool(t, "zstd"), "-d", "-o", filepath.Join(dir, "again"), zst).CombinedOutput(); err != nil {
		t.Fatalf("zstd: %v: %s", err, out)
	}
	if again, err := os.ReadFile(filepath.Join(dir, "again")); err != nil || !bytes.Equal(again, raw) {
		t.Errorf("zstd gives other bytes (%v)", err)
	}
	judge(t, "bmaptool", "copy", "--bmap", text, zst, to)
	for _, part := range plan.Parts {
		file := cut(t, to, part.Offset, part.Size)
		switch part.Format {
		case FormatExt4:
			judge(t, "e2fsck", "-fn", file)
		case FormatFAT:
			judge(t, "fsck.vfat", "-n", file)
		}
	}
	f, err := os.Open(to)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	disk, err := OpenDisk(f, plan.Size)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]*tree.Tree{layout.PartESP: in.ESP, layout.PartSystem: in.System} {
		for _, p := range want.Paths() {
			e := want.Get(p)
			if e.Kind != tree.File {
				continue
			}
			a, errA := e.ReadAll(1 << 30)
			b, errB := disk.Find(name).Tree.Get(p).ReadAll(1 << 30)
			if errA != nil || errB != nil || !bytes.Equal(a, b) {
				t.Errorf("%s of %s differs (%v, %v)", p, name, errA, errB)
			}
		}
	}
}

func TestCompressDiskFails(t *testing.T) {
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := CompressDisk(ended, &bytes.Buffer{}, bytes.NewReader(make([]byte, mebibyte)), mebibyte, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if err := CompressDisk(t.Context(), &bytes.Buffer{}, bytes.NewReader(nil), mebibyte, 1); err == nil || !strings.HasPrefix(err.Error(), "compress disk: read image at 0") {
		t.Errorf("got %v", err)
	}
	if _, err := MapDisk(bytes.NewReader(make([]byte, 4*mebibyte)), 4*mebibyte); err == nil {
		t.Error("a disk without partitions is mapped")
	}
	// An end within a frame.
	want := bytes.Repeat([]byte("text"), 300_000)
	var packed bytes.Buffer
	if err := CompressDisk(t.Context(), &packed, bytes.NewReader(want), int64(len(want)), 1); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(testenv.RequireTool(t, "zstd"), "-dc")
	cmd.Stdin = &packed
	if got, err := cmd.Output(); err != nil || !bytes.Equal(got, want) {
		t.Errorf("zstd gives %d bytes, %v", len(got), err)
	}
}
