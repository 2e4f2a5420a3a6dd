package erofs

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"ashlar/internal/format/squashfs"
	"ashlar/internal/testenv"
)

// mount has the kernel mount an image, through a loop device, and gives the place.
func mount(t *testing.T, data []byte) string {
	t.Helper()
	testenv.RequireRoot(t)
	tool := testenv.RequireTool(t, "mount")
	if known, err := os.ReadFile("/proc/filesystems"); err != nil || !strings.Contains(string(known), "erofs") {
		testenv.Lack(t, "needs a kernel with erofs")
	}
	if _, err := os.Stat("/dev/loop-control"); err != nil {
		testenv.Lack(t, "needs loop devices: %v", err)
	}
	dir := t.TempDir()
	if out, err := exec.Command(tool, "-t", "erofs", "-o", "loop,ro", imageFile(t, data), dir).CombinedOutput(); err != nil {
		t.Fatalf("mount: %v: %s", err, out)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Errorf("unmount %s: %v", dir, err)
		}
	})
	return dir
}

// frames is zstd by the compressor of the other image.
func frames(t testing.TB) Compressor {
	t.Helper()
	c, err := squashfs.NewCompressor("zstd", 3)
	if err != nil {
		t.Fatal(err)
	}
	return Zstd(c)
}

// manners are the ways to store files.
func manners(t testing.TB) map[string]Options {
	t.Helper()
	return map[string]Options{
		"plain":         {},
		"chunks":        {ChunkSize: BlockSize},
		"large chunks":  {ChunkSize: 64 << 10},
		"lz4 4K":        {Compressor: compressor(t, "lz4", 1), ClusterSize: BlockSize},
		"lz4":           {Compressor: compressor(t, "lz4", 0)},
		"lz4 64K":       {Compressor: compressor(t, "lz4", 3), ClusterSize: 64 << 10},
		"zstd packed":   {Compressor: frames(t), Fragments: true},
		"lz4 packed":    {Compressor: compressor(t, "lz4", 3), Fragments: true},
		"lz4 4K packed": {Compressor: compressor(t, "lz4", 3), ClusterSize: BlockSize, Fragments: true},
		"zstd":          {Compressor: frames(t)},
		"zstd 1M":       {Compressor: frames(t), ClusterSize: MaxCluster},
		"lz4 1M":        {Compressor: compressor(t, "lz4", 3), ClusterSize: MaxCluster},
	}
}

func TestKernel(t *testing.T) {
	for name, opt := range manners(t) {
		t.Run(name, func(t *testing.T) {
			for _, opt.Epoch = range []int64{0, 1_700_000_000} {
				tr := sample(t)
				data, _ := writeImage(t, tr, opt)
				for _, p := range tr.Paths() {
					if e := tr.Get(p); opt.Epoch > 0 {
						e.MTime = min(e.MTime, opt.Epoch)
					}
				}
				if diff := cmp.Diff(describe(t, tr), describe(t, hostTree(t, mount(t, data)))); diff != "" {
					t.Error(diff)
				}
			}
		})
	}
}
