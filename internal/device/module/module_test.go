package module

import (
	"bufio"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestName(t *testing.T) {
	for path, want := range map[string]string{
		"lib/modules/6.12/kernel/drivers/block/virtio_blk.ko": "virtio_blk",
		"a/crc32c-intel.ko": "crc32c_intel",
		"sd_mod":            "sd_mod",
	} {
		if got := Name(path); got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
}

func TestReadList(t *testing.T) {
	got, err := readList(bufio.NewScanner(strings.NewReader("a.ko\n\n# why\n  b.ko \n")))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"a.ko", "b.ko"}, got); diff != "" {
		t.Error(diff)
	}
	if _, err := readList(bufio.NewScanner(strings.NewReader(strings.Repeat("x\n", maxModules+1)))); err == nil {
		t.Error("an endless list is read")
	}
}

func TestLoadListPassesOverMissing(t *testing.T) {
	root := t.TempDir()
	none := func(string) string { return "" }
	if n, err := LoadList(root, filepath.Join(root, "none.txt"), none); n != 0 || err != nil {
		t.Errorf("without a list: %d, %v", n, err)
	}
	list := filepath.Join(root, "modules.txt")
	if err := os.WriteFile(list, []byte("lib/modules/x/built-in.ko\nlib/garbage.ko\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(root, "lib"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "lib/garbage.ko"), []byte("no module"), 0o644); err != nil {
		t.Fatal(err)
	}
	n, err := LoadList(root, list, none)
	if n != 0 || err == nil || !strings.Contains(err.Error(), "load module garbage") || strings.Contains(err.Error(), "built") {
		t.Errorf("%d, %v; want an error for garbage alone", n, err)
	}
}
