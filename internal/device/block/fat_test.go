package block

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"ashlar/internal/testenv"
)

// TestProbeFAT reads what mkfs.vfat makes.
func TestProbeFAT(t *testing.T) {
	tool := testenv.RequireTool(t, "mkfs.vfat")
	const size = 64 << 20
	for _, c := range []struct {
		bits, label, want string
	}{{"12", "ASHLAR", "ASHLAR"}, {"16", "ASHLAR", "ASHLAR"}, {"32", "ELEVENBYTES", "ELEVENBYTES"}, {"32", "", ""}} {
		image := filepath.Join(t.TempDir(), "fat")
		args := []string{"-C", "-F", c.bits, "-i", "1234ABCD", image, "65536"}
		if c.label != "" {
			args = append([]string{"-n", c.label}, args...)
		}
		if c.bits == "12" {
			args = append([]string{"-s", "128"}, args...)
		}
		if out, err := exec.Command(tool, args...).CombinedOutput(); err != nil {
			t.Fatalf("mkfs.vfat: %v: %s", err, out)
		}
		data, err := os.ReadFile(image)
		if err != nil {
			t.Fatal(err)
		}
		got, ok, err := Probe(bytes.NewReader(data))
		if err != nil || !ok || got.Type != "vfat" || got.Label != c.want || got.UUID != "1234-abcd" || got.BlockSize*got.Blocks != size {
			t.Errorf("FAT%s: %+v, %v, %v", c.bits, got, ok, err)
		}
		data[510] = 0
		if got, ok, err := Probe(bytes.NewReader(data)); ok || err != nil {
			t.Errorf("without a boot sector: %+v, %v", got, err)
		}
	}
}

// FuzzBootSector reads what may be one.
func FuzzBootSector(f *testing.F) {
	whole := make([]byte, bootSize)
	copy(whole[82:], "FAT32   ")
	copy(whole[510:], bootMagic)
	whole[12], whole[32] = 2, 1
	f.Add(whole)
	f.Add(whole[:100])
	f.Fuzz(func(t *testing.T, data []byte) {
		if s, ok := parseBootSector(data); ok && (s.Blocks <= 0 || s.BlockSize < bootSize || len(s.UUID) != 9 || s.Type != "vfat") {
			t.Errorf("%+v", s)
		}
	})
}
