package squashfs

import (
	"bytes"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ashlar/internal/format/imagetest"
	"ashlar/internal/foundation/digest"
)

func TestRoundTrip(t *testing.T) {
	for _, name := range []string{"zstd", "gzip", "lz4", "none"} {
		for _, blockSize := range []int{minBlockSize, 128 << 10, maxBlockSize} {
			tr := imagetest.Sample(t)
			data, _ := writeImage(t, tr, Options{Compressor: compressor(t, name, 0), BlockSize: blockSize})
			if diff := imagetest.Differences(t, tr, readImage(t, data)); diff != "" {
				t.Errorf("%s, blocks of %d: %s", name, blockSize, diff)
			}
		}
	}
}

// TestGolden holds the bytes: whatever changes them invalidates every digest that
// locks and manifests keep, and must change the compressor's name or say so loudly.
func TestGolden(t *testing.T) {
	for _, c := range []struct {
		name  string
		level int
		want  string
	}{
		{"zstd", 0, "0e47dd4f6b988a24de9deb96bf88f13571e72725ac86ae6b49720aa2f201a780"},
		{"zstd", 1, "f3768a1fcee32e2bb1a314be8df45ff21638dccd39833100cc98e87293f3b0e2"},
		{"zstd", 18, "44e581ffd38a9cde55f96b24456054aff90f07bd757d28fda19db47d80cd1914"},
		{"zstd", 22, "68fe5a8297cced0b0be4335bf7c97c6db4da1313f9ca25fe269780e263e6c9bd"},
		{"gzip", 0, "ee5ea9d6ecb96592816e301770a3c22685d7d04e6a803cde03789bd734ea1f2f"},
		{"gzip", 1, "9726cac4aa4207fd5ccfc9765cb4bd349ee9ec7981bb54b3a022d87c37b84102"},
		{"lz4", 0, "225c1f3e41123c90b7eb4772c6b65b4c02c1fa2f9bf09b13f4e466b907917f93"},
		{"lz4", 12, "7102a42a33740bfab9cdd9ca5c8e690f7926b8c58ea4edada89cb84e833f6537"},
		{"none", 0, "70806a1a6a5a2cd940b8540670b4b840cc09716f4aa2db2c084c423f4389f7aa"},
	} {
		comp := compressor(t, c.name, c.level)
		data, _ := writeImage(t, imagetest.Sample(t), Options{Compressor: comp, Epoch: 1_750_000_000})
		if got := digest.Of(data).String(); got != c.want {
			t.Errorf("%s: image of the sample tree has digest %s, want %s", comp.Name(), got, c.want)
		}
	}
}

// TestLibraryVersion keeps the version in compressors' names true.
func TestLibraryVersion(t *testing.T) {
	mod, err := os.ReadFile("../../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	if want := "github.com/klauspost/compress v" + libraryVersion; !strings.Contains(string(mod), want+" ") && !strings.Contains(string(mod), want+"\n") {
		t.Errorf("go.mod does not require %s", want)
	}
}

func TestStats(t *testing.T) {
	cache := &imagetest.BlockMap{}
	opt := Options{Compressor: compressor(t, "zstd", 1), BlockSize: 128 << 10, Cache: cache}
	tr := imagetest.Sample(t)
	_, got := writeImage(t, tr, opt)
	want := Stats{
		Size: got.Size, StoredBytes: got.StoredBytes, MetadataBytes: got.MetadataBytes, FragmentBlocks: got.FragmentBlocks,
		Inodes: tr.Len() - 3, Files: 10, ContentBytes: got.ContentBytes,
		Blocks:       2 + 1 + 1 + 1 + got.FragmentBlocks, // original, noise, hole, whole
		SparseBlocks: 8 + 7, Duplicates: 1, DuplicateBytes: 300_000,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if _, again := writeImage(t, tr, opt); again.CacheHits != again.Blocks {
		t.Errorf("second run: %d of %d blocks came from the cache", again.CacheHits, again.Blocks)
	}
}

// TestSameBytes writes one tree under different conditions that must not show.
func TestSameBytes(t *testing.T) {
	for _, name := range []string{"zstd", "gzip", "lz4"} {
		for seed := range uint64(4) {
			tr := imagetest.Random(t, rand.New(rand.NewPCG(seed, 3)), 120)
			opt := Options{Compressor: compressor(t, name, 0), BlockSize: 16 << 10, Workers: 1}
			want, _ := writeImage(t, tr, opt)
			cache := &imagetest.BlockMap{}
			for _, workers := range []int{2, 7, 1, 7} {
				opt.Workers, opt.Cache = workers, cache
				got, stats := writeImage(t, tr, opt)
				if !bytes.Equal(want, got) {
					t.Fatalf("%s, seed %d: %d workers with %d cache hits give other bytes", name, seed, workers, stats.CacheHits)
				}
			}
			opt.Compressor = compressor(t, name, 0) // with encoders that have seen nothing
			opt.Cache = nil
			if got, _ := writeImage(t, tr.Clone(), opt); !bytes.Equal(want, got) {
				t.Fatalf("%s, seed %d: a fresh compressor gives other bytes", name, seed)
			}
		}
	}
}

// TestDamagedCache has every cached block damaged: the image must not change.
func TestDamagedCache(t *testing.T) {
	cache := &imagetest.BlockMap{}
	opt := Options{Compressor: compressor(t, "zstd", 1), Cache: cache}
	want, _ := writeImage(t, imagetest.Sample(t), opt)
	n := cache.Damage()
	got, stats := writeImage(t, imagetest.Sample(t), opt)
	if n < 5 || !bytes.Equal(want, got) || stats.CacheHits != 0 {
		t.Errorf("damaged cache of %d: %d hits, same image: %v", n, stats.CacheHits, bytes.Equal(want, got))
	}
}

func TestRandomTrees(t *testing.T) {
	for seed := range uint64(60) {
		rng := rand.New(rand.NewPCG(seed, 1))
		tr := imagetest.Random(t, rng, 1+rng.IntN(150))
		name := []string{"zstd", "gzip", "lz4", "none"}[seed%4]
		level := 1
		if name == "none" {
			level = 0
		}
		data, _ := writeImage(t, tr, Options{Compressor: compressor(t, name, level), BlockSize: minBlockSize << (seed % 9)})
		if diff := imagetest.Differences(t, tr, readImage(t, data)); diff != "" {
			t.Fatalf("seed %d: %s", seed, diff)
		}
	}
}
