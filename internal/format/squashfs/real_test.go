package squashfs

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"ashlar/internal/format/imagetest"
	"ashlar/internal/foundation/tree"
	"ashlar/internal/testenv"
)

// TestRealPackages writes unpacked Debian packages. unsquashfs, the kernel and
// our reader must give them back; the number of workers must not show; one changed
// file must cost few blocks; and the size must stay near what mksquashfs makes.
func TestRealPackages(t *testing.T) {
	dir := testenv.Debian(t, "trixie").Unpack(t, "perl-base", "libc6", "coreutils", "tzdata", "nginx-common", "nginx", "iputils-ping")
	tr := imagetest.HostTree(t, dir)
	cache := &imagetest.BlockMap{}
	opt := Options{BlockSize: 128 << 10, Workers: 2, Cache: cache}
	data, first := writeImage(t, tr, opt)
	for judge, got := range map[string]*tree.Tree{
		"our reader": readImage(t, data),
		"unsquashfs": unsquash(t, data),
		"the kernel": imagetest.HostTree(t, mount(t, data)),
	} {
		if diff := imagetest.Differences(t, tr, got); diff != "" {
			t.Errorf("%s: %s", judge, diff)
		}
	}
	opt.Workers, opt.Cache = 7, nil
	if again, _ := writeImage(t, tr, opt); !bytes.Equal(data, again) {
		t.Error("7 workers without a cache give other bytes than 2 with one")
	}
	changeOne(t, tr, cache, first)
	compareSize(t, dir, first.Size)
}

// changeOne changes one small file and looks what the cache saves.
func changeOne(t *testing.T, tr *tree.Tree, cache *imagetest.BlockMap, first Stats) {
	t.Helper()
	changed := tr.Clone()
	imagetest.Put(t, changed, tree.NewFile("etc/nginx/nginx.conf", 0o644, imagetest.Words(1, 1500)))
	_, stats := writeImage(t, changed, Options{BlockSize: 128 << 10, Cache: cache})
	if missed := stats.Blocks - stats.CacheHits; missed < 1 || missed > 3 {
		t.Errorf("one changed file: %d of %d blocks are compressed again, want 1 to 3", missed, first.Blocks)
	}
}

// compareSize holds the size against mksquashfs with the same format, block
// size and a zstd level of 15: the library has no encoder that searches as long.
func compareSize(t *testing.T, dir string, size int64) {
	t.Helper()
	image := filepath.Join(t.TempDir(), "foreign.squashfs")
	cmd := exec.Command(testenv.RequireTool(t, "mksquashfs"), dir, image, "-noappend", "-no-progress", "-quiet",
		"-comp", "zstd", "-Xcompression-level", "15", "-b", "128K")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("mksquashfs: %v: %s", err, out)
	}
	st, err := os.Stat(image)
	if err != nil {
		t.Fatal(err)
	}
	ratio := float64(size) / float64(st.Size())
	t.Logf("%d bytes, mksquashfs makes %d: ratio %.3f", size, st.Size(), ratio)
	if ratio > 1.12 {
		t.Errorf("ratio %.3f to mksquashfs, want at most 1.12", ratio)
	}
}
