package block

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"ashlar/internal/testenv"
)

// TestProbeCD reads what xorriso made, and blkid's words for it.
func TestProbeCD(t *testing.T) {
	dir := t.TempDir()
	image := filepath.Join(dir, "cd.iso")
	if err := os.Mkdir(dir+"/files", 0o755); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(testenv.RequireTool(t, "xorriso"), "-as", "mkisofs", "-R", "-V", "A_LABEL", "--modification-date=2026112312345600", "-o", image, dir+"/files").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	f, err := os.Open(image)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	got, ok, err := Probe(f)
	if err != nil || !ok || got.Type != "iso9660" || got.Label != "A_LABEL" || got.UUID != "2026-11-23-12-34-56-00" || got.BlockSize != 2048 || got.Blocks < 100 {
		t.Errorf("%+v, %v, %v", got, ok, err)
	}
	words, err := exec.Command(testenv.RequireTool(t, "blkid"), "-p", "-o", "export", image).CombinedOutput()
	if err != nil || !strings.Contains(string(words), "LABEL="+got.Label+"\n") || !strings.Contains(string(words), "UUID="+got.UUID+"\n") || !strings.Contains(string(words), "TYPE="+got.Type+"\n") {
		t.Errorf("%v: blkid says %s", err, words)
	}
}

func TestProbeNoCD(t *testing.T) {
	good := make([]byte, volumeOffset+volumeSize)
	volume := good[volumeOffset:]
	copy(volume, volumeMagic)
	volume[offVolumeSpace], volume[offVolumeBlock+1] = 1, 8
	for name, spoil := range map[string]func(){
		"":           func() {},
		"magic":      func() { volume[0] = 2 },
		"block size": func() { volume[offVolumeBlock+1] = 4 },
		"no blocks":  func() { volume[offVolumeSpace] = 0 },
	} {
		before := bytes.Clone(volume)
		spoil()
		if s, ok, err := Probe(bytes.NewReader(good)); err != nil || ok != (name == "") {
			t.Errorf("%s: %+v, %v, %v", name, s, ok, err)
		}
		copy(volume, before)
	}
	if s, ok, err := Probe(bytes.NewReader(good[:len(good)-1])); ok || err != nil {
		t.Errorf("a short device: %+v, %v, %v", s, ok, err)
	}
}
