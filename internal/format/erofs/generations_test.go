package erofs

import (
	"testing"

	"ashlar/internal/format/imagetest"
	"ashlar/internal/foundation/tree"
)

// TestGenerations counts the blocks of 4 KiB that two images have in common whose
// trees differ in one package: all that an image of the other packages alone has, but
// for its metadata.
func TestGenerations(t *testing.T) {
	before, after, own := imagetest.Generations(t)
	others := after.Clone()
	for p := range own {
		others.Remove(p)
	}
	for name, opt := range map[string]Options{"plain": {}, "lz4": {Compressor: compressor(t, "lz4", 1), Cache: &imagetest.BlockMap{}}} {
		data, stats := writeImage(t, others, opt)
		both := make([]map[string]bool, 2)
		for i := range both {
			both[i] = map[string]bool{}
			image, _ := writeImage(t, []*tree.Tree{before, after}[i], opt)
			for at := BlockSize; at < len(image); at += BlockSize {
				both[i][string(image[at:at+BlockSize])] = true
			}
		}
		blocks, equal := 0, 0
		for at := BlockSize; at < BlockSize+int(stats.StoredBytes); at += BlockSize {
			blocks++
			if block := data[at : at+BlockSize]; both[0][string(block)] && both[1][string(block)] {
				equal++
			}
		}
		t.Logf("%s: %d of %d blocks of the other packages are in both images", name, equal, blocks)
		if blocks < 1000 || equal != blocks {
			t.Errorf("%s: %d of %d blocks of the other packages are in both images, want all of many", name, equal, blocks)
		}
	}
}
