package erofs

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ashlar/internal/format/imagetest"
	"ashlar/internal/foundation/digest"
	"ashlar/internal/foundation/tree"
	"ashlar/internal/foundation/uuid"
)

func TestRoundTrip(t *testing.T) {
	for name, opt := range manners(t) {
		tr := sample(t)
		data, _ := writeImage(t, tr, opt)
		if diff := imagetest.Differences(t, tr, readImage(t, data)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// TestGolden holds the bytes: whatever changes them invalidates every digest that
// locks and manifests keep, and must change the compressor's name or say so loudly.
func TestGolden(t *testing.T) {
	want := map[string]string{
		"chunks":       "5390fe84e32168548765e54e22743722c5d4bb85f9deed36f1980122bbf96221",
		"large chunks": "4db146dc15db83ff7cf82fa66cc7e00c073922669f4f51d7f0753cd92eb25fca",
		"lz4":          "da58d7e543d55620ac0337151b71dbbec4780666158e432da1e0a613960b3f03",
		"lz4 1M":       "89cbe422d8137c9041d073a43639752f9ca0ee65eb48cd50a91161fa3fc4ba86",
		"lz4 4K":       "748b36f7703a8aecfcd7bd7de8e172016a078acec3a3919ffcdc08b4b94671b7",
		"lz4 64K":      "b08ed4e1602fd80ae535d3c1d70bd114e90f915a37d1438dfa9a4120b92b50f9",
		"plain":        "5fb9c07da9bb6f60cc25d0d126b7310af94ac6833d9c5ded59ab0ad30e7f1ddb",
	}
	all := manners(t)
	for name := range want { // zstd's frames are another room's
		opt := all[name]
		opt.Epoch, opt.UUID, opt.Label = 1_750_000_000, uuid.Derive("golden"), "golden"
		data, _ := writeImage(t, sample(t), opt)
		if got := digest.Of(data).String(); got != want[name] {
			t.Errorf("%s: image of the sample tree has digest %s, want %s", name, got, want[name])
		}
		r, err := Open(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			t.Fatal(err)
		}
		info := Info{Inodes: 22, Blocks: uint32(len(data) / BlockSize), Time: opt.Epoch, UUID: opt.UUID, Label: opt.Label, Compressed: opt.compressed()}
		if diff := cmp.Diff(info, r.Info()); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestStats(t *testing.T) {
	tr := sample(t)
	_, got := writeImage(t, tr, Options{ChunkSize: 64 << 10})
	want := Stats{
		Size: got.Size, StoredBytes: got.StoredBytes, TailBytes: 38, MetadataBytes: got.MetadataBytes,
		Inodes: tr.Len() - 3, Files: 11, ContentBytes: got.ContentBytes, Duplicates: 1, DuplicateBytes: 300_000, ZeroChunks: 15 + 16,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if got.Size != BlockSize+got.StoredBytes+got.MetadataBytes {
		t.Errorf("%d bytes are not the superblock, %d of content and %d of metadata", got.Size, got.StoredBytes, got.MetadataBytes)
	}
	opt := Options{Compressor: compressor(t, "lz4", 1), Cache: &imagetest.BlockMap{}}
	_, first := writeImage(t, tr, opt)
	_, again := writeImage(t, tr, opt)
	if first.CacheHits != 0 || again.Segments != 10 || again.CacheHits != again.Segments {
		t.Errorf("%d and then %d of %d segments came from the cache", first.CacheHits, again.CacheHits, again.Segments)
	}
}

// TestEqualFilesAreEqualBlocks has files at different places of different trees.
func TestEqualFilesAreEqualBlocks(t *testing.T) {
	for name, opt := range manners(t) {
		if opt.Fragments {
			continue // the end of a file is in one block with those of others
		}
		one, other := &tree.Tree{}, &tree.Tree{}
		imagetest.Put(t, one, tree.NewDir(".", 0o755), tree.NewFile("a", 0o644, imagetest.Words(1, 77_777)), tree.NewFile("b", 0o644, imagetest.Words(2, 333_333)))
		imagetest.Put(t, other, tree.NewDir(".", 0o755), tree.NewFile("a", 0o644, imagetest.Words(3, 5555)), tree.NewFile("c", 0o600, imagetest.Words(2, 333_333)))
		blocks := func(tr *tree.Tree) map[string]bool {
			data, _ := writeImage(t, tr, opt)
			all := map[string]bool{}
			for at := BlockSize; at < len(data); at += BlockSize {
				all[string(data[at:at+BlockSize])] = true
			}
			return all
		}
		b := &tree.Tree{}
		imagetest.Put(t, b, tree.NewDir(".", 0o755), *one.Get("b"))
		alone, first, second := blocks(b), blocks(one), blocks(other)
		missing := 0
		for block := range alone {
			if !first[block] || !second[block] {
				missing++
			}
		}
		if missing > 1 { // the metadata
			t.Errorf("%s: %d of %d blocks of a file are not in both images", name, missing, len(alone))
		}
	}
}

// TestSharedChunks has a file that differs from another in one chunk.
func TestSharedChunks(t *testing.T) {
	data := imagetest.Words(1, 100*BlockSize)
	changed := bytes.Clone(data)
	changed[50*BlockSize+7] ^= 1
	tr := &tree.Tree{}
	imagetest.Put(t, tr, tree.NewDir(".", 0o755), tree.NewFile("a", 0o644, data), tree.NewFile("b", 0o644, changed))
	image, stats := writeImage(t, tr, Options{ChunkSize: BlockSize})
	if stats.SharedChunks != 99 || stats.StoredBytes != 101*BlockSize {
		t.Errorf("%d chunks are shared, %d bytes stored", stats.SharedChunks, stats.StoredBytes)
	}
	if diff := imagetest.Differences(t, tr, readImage(t, image)); diff != "" {
		t.Error(diff)
	}
}

// TestSameBytes writes one tree under different conditions that must not show.
func TestSameBytes(t *testing.T) {
	for name, opt := range manners(t) {
		for seed := range uint64(2) {
			tr := imagetest.Random(t, rand.New(rand.NewPCG(seed, 3)), 120)
			opt.Workers, opt.Cache = 1, nil
			want, _ := writeImage(t, tr, opt)
			cache := &imagetest.BlockMap{}
			for _, workers := range []int{2, 7, 1, 7} {
				opt.Workers, opt.Cache = workers, cache
				got, stats := writeImage(t, tr.Clone(), opt)
				if !bytes.Equal(want, got) {
					t.Fatalf("%s, seed %d: %d workers with %d cache hits give other bytes", name, seed, workers, stats.CacheHits)
				}
			}
		}
	}
}

// TestDamagedCache has every cached segment damaged: the image must not change.
func TestDamagedCache(t *testing.T) {
	cache := &imagetest.BlockMap{}
	opt := Options{Compressor: compressor(t, "lz4", 1), Cache: cache}
	want, _ := writeImage(t, sample(t), opt)
	n := cache.Damage()
	got, stats := writeImage(t, sample(t), opt)
	if n < 10 || !bytes.Equal(want, got) || stats.CacheHits != 0 {
		t.Errorf("damaged cache of %d: %d hits, same image: %v", n, stats.CacheHits, bytes.Equal(want, got))
	}
}

func TestRandomTrees(t *testing.T) {
	for name, opt := range manners(t) {
		for seed := range uint64(6) {
			rng := rand.New(rand.NewPCG(seed, 1))
			tr := imagetest.Random(t, rng, 1+rng.IntN(150))
			data, _ := writeImage(t, tr, opt)
			if diff := imagetest.Differences(t, tr, readImage(t, data)); diff != "" {
				t.Fatalf("%s, seed %d: %s", name, seed, diff)
			}
		}
	}
}
