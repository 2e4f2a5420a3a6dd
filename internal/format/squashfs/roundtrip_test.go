package squashfs

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ashlar/internal/foundation/digest"
	"ashlar/internal/foundation/tree"
)

func TestRoundTrip(t *testing.T) {
	for _, name := range []string{"zstd", "gzip", "none"} {
		for _, blockSize := range []int{minBlockSize, 128 << 10, maxBlockSize} {
			tr := sample(t)
			data, _ := writeImage(t, tr, Options{Compressor: compressor(t, name, 0), BlockSize: blockSize})
			if diff := cmp.Diff(describe(t, tr), describe(t, readImage(t, data))); diff != "" {
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
		{"zstd", 0, "f8e3c1d28bb3f4ccdc857f097f0abebe4279ab99ee6a6f33e1101bbc71e476bf"},
		{"zstd", 7, "92f66623b5edbd24a4314fc32ca322a2a582286b723c6926a516778b4315a600"},
		{"zstd", 3, "7206f8272c153a494b846ba9c977e8623f56b302e97b5a88867b70e9a8e16acf"},
		{"zstd", 1, "3ed797eb4b9d7140f3d11569dad4b99df05b99823265e60e4060d569bd4e4b33"},
		{"gzip", 0, "ee5ea9d6ecb96592816e301770a3c22685d7d04e6a803cde03789bd734ea1f2f"},
		{"gzip", 1, "9726cac4aa4207fd5ccfc9765cb4bd349ee9ec7981bb54b3a022d87c37b84102"},
		{"none", 0, "70806a1a6a5a2cd940b8540670b4b840cc09716f4aa2db2c084c423f4389f7aa"},
	} {
		comp := compressor(t, c.name, c.level)
		data, _ := writeImage(t, sample(t), Options{Compressor: comp, Epoch: 1_750_000_000})
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
	cache := &blockMap{blocks: map[string][]byte{}}
	opt := Options{Compressor: compressor(t, "zstd", 1), BlockSize: 128 << 10, Cache: cache}
	tr := sample(t)
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
	for _, name := range []string{"zstd", "gzip"} {
		for seed := range uint64(4) {
			tr := randomTree(t, rand.New(rand.NewPCG(seed, 3)), 120)
			opt := Options{Compressor: compressor(t, name, 0), BlockSize: 16 << 10, Workers: 1}
			want, _ := writeImage(t, tr, opt)
			cache := &blockMap{blocks: map[string][]byte{}}
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
	cache := &blockMap{blocks: map[string][]byte{}}
	opt := Options{Compressor: compressor(t, "zstd", 1), Cache: cache}
	want, _ := writeImage(t, sample(t), opt)
	n := 0
	for key, block := range cache.blocks {
		switch n++; n % 4 {
		case 0:
			cache.blocks[key] = block[:len(block)/2]
		case 1:
			block[len(block)-1] ^= 1
		case 2:
			cache.blocks[key] = nil
		case 3:
			block[0] ^= 1
		}
	}
	got, stats := writeImage(t, sample(t), opt)
	if !bytes.Equal(want, got) || stats.CacheHits != 0 {
		t.Errorf("damaged cache: %d hits, same image: %v", stats.CacheHits, bytes.Equal(want, got))
	}
}

func TestRandomTrees(t *testing.T) {
	for seed := range uint64(60) {
		rng := rand.New(rand.NewPCG(seed, 1))
		tr := randomTree(t, rng, 1+rng.IntN(150))
		name := []string{"zstd", "gzip", "none"}[seed%3]
		level := 1
		if name == "none" {
			level = 0
		}
		data, _ := writeImage(t, tr, Options{Compressor: compressor(t, name, level), BlockSize: minBlockSize << (seed % 5)})
		if diff := cmp.Diff(describe(t, tr), describe(t, readImage(t, data))); diff != "" {
			t.Fatalf("seed %d: %s", seed, diff)
		}
	}
}

// randomTree makes a tree of n entries of all kinds.
func randomTree(t testing.TB, rng *rand.Rand, n int) *tree.Tree {
	t.Helper()
	tr := &tree.Tree{}
	put(t, tr, tree.NewDir(".", 0o755))
	dirs, inodes := []string{"."}, []string(nil)
	for i := range n {
		name, err := tree.Clean(dirs[rng.IntN(len(dirs))] + "/" + strings.Repeat("name-.", rng.IntN(9)) + fmt.Sprint(i))
		if err != nil {
			t.Fatal(err)
		}
		e := tree.Entry{Path: name, Kind: tree.File, Mode: uint32(rng.IntN(0o10000)), UID: uint32(rng.IntN(5)), GID: rng.Uint32(), MTime: int64(rng.Uint32())}
		if rng.IntN(6) == 0 { // user.* is for files and directories only
			e.Xattrs = []tree.Xattr{{Name: "security.s", Value: noise(uint64(rng.IntN(3)), rng.IntN(300))}, {Name: "trusted.t", Value: []byte("v")}}
		}
		switch kind := rng.IntN(12); {
		case kind < 2:
			e.Kind = tree.Dir
			dirs = append(dirs, name)
		case kind == 2:
			e.Kind, e.Target = tree.Symlink, strings.Repeat("t", 1+rng.IntN(200))
		case kind == 3 && len(inodes) > 0:
			e = tree.Entry{Path: name, Kind: tree.HardLink, Target: inodes[rng.IntN(len(inodes))]}
		case kind == 4:
			e.Kind, e.Major, e.Minor = tree.CharDevice, uint32(rng.IntN(4096)), uint32(rng.IntN(1<<20))
		case kind == 5:
			e.Kind = tree.Fifo
		default:
			data := randomContent(rng)
			e.Size, e.Source = int64(len(data)), tree.Bytes(data)
			if rng.IntN(2) == 0 {
				e.Digest = digest.Of(data)
			}
		}
		put(t, tr, e)
		if e.Kind != tree.Dir && e.Kind != tree.HardLink {
			inodes = append(inodes, name)
		}
	}
	return tr
}

// randomContent gives text, noise or zeros; every third comes twice or more.
func randomContent(rng *rand.Rand) []byte {
	seed, size := rng.Uint64(), rng.IntN(1<<(2+rng.IntN(15)))
	if rng.IntN(3) == 0 {
		seed = uint64(rng.IntN(5))
		size = int(1000 * (seed + 1) * (seed + 1))
	}
	switch seed % 5 {
	case 0:
		return noise(seed, size)
	case 1:
		return make([]byte, size)
	}
	return words(seed, size)
}
