package block

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"ashlar/internal/testenv"
)

const testUUID = "11111111-2222-3333-4444-555555555555"

// fileSystem makes a real ext4 file system in a file.
func fileSystem(t *testing.T, blockSize string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "fs")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, 16<<20); err != nil {
		t.Fatal(err)
	}
	mkfs := testenv.RequireTool(t, "mkfs.ext4")
	out, err := exec.Command(mkfs, "-q", "-b", blockSize, "-U", testUUID, "-L", "ashlar-state", path).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return path
}

func TestProbeReal(t *testing.T) {
	for blockSize, want := range map[string]Super{
		"1024": {Type: "ext4", UUID: testUUID, Label: "ashlar-state", BlockSize: 1024, Blocks: 16384},
		"4096": {Type: "ext4", UUID: testUUID, Label: "ashlar-state", BlockSize: 4096, Blocks: 4096},
	} {
		f, err := os.Open(fileSystem(t, blockSize))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		got, ok, err := Probe(f)
		if err != nil || !ok || got != want {
			t.Errorf("block size %s: %+v, %v, %v; want %+v", blockSize, got, ok, err, want)
		}
	}
}

func TestProbeNothing(t *testing.T) {
	for _, size := range []int{0, 1500, 4096} {
		if s, ok, err := Probe(bytes.NewReader(make([]byte, size))); ok || err != nil {
			t.Errorf("%d zeros: %+v, %v, %v", size, s, ok, err)
		}
	}
}

func FuzzProbe(f *testing.F) {
	good := make([]byte, superOffset+superSize)
	good[superOffset+offMagic], good[superOffset+offMagic+1] = 0x53, 0xef
	good[superOffset+offBlocksLo] = 9
	f.Add(good)
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		s, ok, err := Probe(bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		if ok && (len(s.UUID) != 36 || len(s.Label) > 3*labelLen || s.Blocks <= 0 || s.BlockSize < 1024) {
			t.Errorf("%+v", s)
		}
	})
}

func TestScanAndSpec(t *testing.T) {
	sys, dev := t.TempDir(), t.TempDir()
	for name, files := range map[string]map[string]string{
		"vda":   {"size": "65536\n", "uevent": "MAJOR=254\n"},
		"vda2":  {"size": "32768\n", "partition": "2\n", "uevent": "PARTNAME=ashlar-state\nPARTUUID=ABCD\n"},
		"loop0": {"size": "8\n"},
		"sr0":   {"size": "0\n"},
	} {
		for file, text := range files {
			if err := os.MkdirAll(filepath.Join(sys, name), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(sys, name, file), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := os.Symlink(fileSystem(t, "1024"), filepath.Join(dev, "vda2")); err != nil {
		t.Fatal(err)
	}
	found, err := scan(sys, dev)
	if err != nil || len(found) != 2 {
		t.Fatalf("found %v, %v; want vda and vda2", found, err)
	}
	for _, text := range []string{"UUID=" + testUUID, "LABEL=ashlar-state", "PARTLABEL=ashlar-state", "PARTUUID=abcd", "/dev/vda2"} {
		spec, err := ParseSpec(text)
		if err != nil {
			t.Fatal(err)
		}
		if spec.Match(found[0]) || !spec.Match(found[1]) {
			t.Errorf("%s: matches vda: %v, vda2: %v", text, spec.Match(found[0]), spec.Match(found[1]))
		}
		if spec.String() != text {
			t.Errorf("%s: text form %s", text, spec)
		}
	}
	for _, text := range []string{"", "UUID=", "vda", "/dev/", "ID=5"} {
		if spec, err := ParseSpec(text); err == nil {
			t.Errorf("%q gives %v", text, spec)
		}
	}
}

func TestWaitTellsWhatIsMissing(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := Wait(ctx, Spec{"UUID", "no-such"})
	if !errors.Is(err, ErrMissing) {
		t.Errorf("error %v", err)
	}
}
