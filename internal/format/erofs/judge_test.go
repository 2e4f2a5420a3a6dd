package erofs

import (
	"testing"

	"ashlar/internal/format/imagetest"
	"ashlar/internal/format/squashfs"
)

// mount has the kernel mount an image and gives the place.
func mount(t testing.TB, data []byte) string {
	t.Helper()
	return imagetest.Mount(t, "erofs", data)
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
				if diff := imagetest.Differences(t, tr, imagetest.HostTree(t, mount(t, data))); diff != "" {
					t.Error(diff)
				}
			}
		})
	}
}
