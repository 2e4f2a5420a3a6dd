package erofs

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"ashlar/internal/format/imagetest"
	"ashlar/internal/foundation/tree"
	"ashlar/internal/testenv"
)

// TestRealPackages writes unpacked Debian packages. The kernel and our reader
// must give them back; the number of workers must not show; one changed file must cost
// one segment; and the size must stay near what mkfs.erofs makes.
func TestRealPackages(t *testing.T) {
	dir := testenv.Debian(t, "trixie").Unpack(t, "libc6", "tzdata", "nginx-common", "nginx", "iputils-ping")
	tr := imagetest.HostTree(t, dir)
	cache := &imagetest.BlockMap{}
	opt := Options{Compressor: compressor(t, "lz4", 3), Workers: 2, Cache: cache}
	data, first := writeImage(t, tr, opt)
	for judge, got := range map[string]*tree.Tree{
		"our reader": readImage(t, data),
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
	changed := tr.Clone()
	imagetest.Put(t, changed, tree.NewFile("etc/nginx/nginx.conf", 0o644, imagetest.Words(1, 1500)))
	opt.Cache = cache
	if _, stats := writeImage(t, changed, opt); stats.Segments-stats.CacheHits != 1 {
		t.Errorf("one changed file: %d of %d segments are compressed again, want 1", stats.Segments-stats.CacheHits, first.Segments)
	}
	compareSizes(t, dir, tr)
}

// compareSizes holds sizes against mkfs.erofs with the same compressor and clusters.
func compareSizes(t *testing.T, dir string, tr *tree.Tree) {
	t.Helper()
	tools := utilities(t)
	for _, c := range []struct {
		opt  Options
		args []string
		most float64
	}{
		{Options{}, nil, 1},
		{Options{Compressor: compressor(t, "lz4", 0), ClusterSize: BlockSize}, []string{"-zlz4hc,9", "-C4096", "-Eztailpacking"}, 1.01},
		{Options{Compressor: compressor(t, "lz4", 0)}, []string{"-zlz4hc,9", "-C16384", "-Eztailpacking"}, 1},
	} {
		start := time.Now()
		_, stats := writeImage(t, tr, c.opt)
		ours := time.Since(start)
		image := filepath.Join(t.TempDir(), "foreign.erofs")
		start = time.Now()
		if out, err := utility(tools, "mkfs.erofs", append(c.args, "--quiet", image, dir)...).CombinedOutput(); err != nil {
			t.Fatalf("mkfs.erofs %v: %v: %s", c.args, err, out)
		}
		theirs := time.Since(start)
		st, err := os.Stat(image)
		if err != nil {
			t.Fatal(err)
		}
		ratio := float64(stats.Size) / float64(st.Size())
		t.Logf("%v: %d bytes in %.2fs, mkfs.erofs makes %d in %.2fs: ratio %.3f; %+v", c.args, stats.Size, ours.Seconds(), st.Size(), theirs.Seconds(), ratio, stats)
		if ratio > c.most {
			t.Errorf("%v: ratio %.3f to mkfs.erofs, want at most %.2f", c.args, ratio, c.most)
		}
	}
}
