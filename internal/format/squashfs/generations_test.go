package squashfs

import (
	"bytes"
	"testing"

	"ashlar/internal/format/imagetest"
	"ashlar/internal/format/imagetree"
	"ashlar/internal/foundation/digest"
	"ashlar/internal/foundation/tree"
)

// blocksOf gives the stored blocks of an image, by what they hold, and says of
// each whether a file of the package that changes has a part in it. pack says which
// are fragment blocks.
func blocksOf(t *testing.T, tr *tree.Tree, own map[string]bool, cache BlockCache) (touched, pack map[digest.Digest]bool, bytesOf map[digest.Digest]int64) {
	t.Helper()
	data, _ := writeImage(t, tr, Options{Cache: cache})
	r, err := Open(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	back, err := r.Tree()
	if err != nil {
		t.Fatal(err)
	}
	touched, pack, bytesOf = map[digest.Digest]bool{}, map[digest.Digest]bool{}, map[digest.Digest]int64{}
	for _, p := range back.Paths() {
		extents, _, err := imagetree.Extents(back.Get(p))
		if err != nil {
			t.Fatal(err)
		}
		for _, x := range extents {
			sum := digest.Of(data[x.Place : x.Place+x.Stored])
			touched[sum] = touched[sum] || own[p]
			pack[sum], bytesOf[sum] = x.Tail, x.Stored
		}
	}
	return touched, pack, bytesOf
}

// TestGenerations counts the blocks that two images have in common whose trees
// differ in one package: all data blocks of all others, and all fragment blocks in
// which the package has no part but for few in the groups of those that it has one in.
func TestGenerations(t *testing.T) {
	before, after, own := imagetest.Generations(t)
	cache := &imagetest.BlockMap{}
	old, _, _ := blocksOf(t, before, own, cache)
	touched, pack, size := blocksOf(t, after, own, cache)
	type count struct {
		blocks, equal int
		bytes         int64
	}
	var data, packs, mine count
	for sum, is := range touched {
		c := &data
		if is {
			c = &mine
		} else if pack[sum] {
			c = &packs
		}
		c.blocks++
		c.bytes += size[sum]
		if _, ok := old[sum]; ok {
			c.equal++
		}
	}
	t.Logf("%d files; %d of %d data blocks and %d of %d fragment blocks without a part of the package are equal; with one: %d of %d, %d bytes of %d",
		after.Len(), data.equal, data.blocks, packs.equal, packs.blocks, mine.equal, mine.blocks, mine.bytes, mine.bytes+data.bytes+packs.bytes)
	if data.blocks < 20 || packs.blocks < 20 || mine.blocks < 3 {
		t.Error("the roots are not those of a server")
	}
	if data.equal != data.blocks {
		t.Errorf("%d data blocks of other packages are not in both images", data.blocks-data.equal)
	}
	if lost := packs.blocks - packs.equal; lost*40 > packs.blocks {
		t.Errorf("%d of %d fragment blocks without a part of the package are not in both images, at most a fortieth may be", lost, packs.blocks)
	}
}
