package verity

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"ashlar/internal/foundation/digest"
	"ashlar/internal/foundation/uuid"
)

// memory is a file in memory.
type memory struct{ data []byte }

// WriteAt implements io.WriterAt for disjoint ranges inside of data.
func (m *memory) WriteAt(p []byte, at int64) (int, error) {
	if at+int64(len(p)) > int64(len(m.data)) {
		return 0, errors.New("no space left on device")
	}
	return copy(m.data[at:], p), nil
}

func noise(seed uint64, n int) []byte {
	rng := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)})
	out := make([]byte, n)
	rng.Read(out)
	return out
}

func options(salt int) Options {
	return Options{Salt: noise(77, salt), UUID: uuid.Derive("verity", "test")}
}

// writeTree gives a hash area of its own.
func writeTree(t testing.TB, data []byte, opt Options) ([]byte, digest.Digest) {
	t.Helper()
	size, err := Size(int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	m := &memory{make([]byte, size)}
	root, err := Write(context.Background(), m, 0, bytes.NewReader(data), int64(len(data)), opt)
	if err != nil {
		t.Fatal(err)
	}
	return m.data, root
}

func TestGolden(t *testing.T) {
	tree, root := writeTree(t, noise(1, 300*BlockSize), options(32))
	const wantRoot, wantTree = "a265ce6fd90082e143d4b5be1bafb56b124b47839553fc2e82179df29ab45e0b", "d1b7c046ca4e94b5a85a3883c4bbddf35b3a53d38405c87cec9bea7e9b8f1e04"
	if root.String() != wantRoot || digest.Of(tree).String() != wantTree {
		t.Errorf("root hash %s, hash area %s", root, digest.Of(tree))
	}
}

// TestSameBytes writes one tree with different numbers of workers.
func TestSameBytes(t *testing.T) {
	for _, blocks := range []int{1, 2, 128, 129, 16384, 16385} {
		data := noise(uint64(blocks), blocks*BlockSize)
		opt := options(16)
		opt.Workers = 1
		tree, root := writeTree(t, data, opt)
		for _, opt.Workers = range []int{2, 7, 0} {
			again, root2 := writeTree(t, data, opt)
			if root != root2 || !bytes.Equal(tree, again) {
				t.Fatalf("%d blocks: %d workers give another tree", blocks, opt.Workers)
			}
		}
	}
}

// TestAppended has the tree behind the data, in one file.
func TestAppended(t *testing.T) {
	data := noise(3, 200*BlockSize)
	tree, root := writeTree(t, data, options(8))
	m := &memory{append(bytes.Clone(data), make([]byte, len(tree))...)}
	root2, err := Write(context.Background(), m, int64(len(data)), bytes.NewReader(m.data), int64(len(data)), options(8))
	if err != nil {
		t.Fatal(err)
	}
	if root != root2 || !bytes.Equal(m.data[len(data):], tree) {
		t.Error("the tree behind the data is another one")
	}
	r := bytes.NewReader(m.data)
	info, err := Verify(context.Background(), r, r, int64(len(data)), root, 2)
	if err != nil {
		t.Fatal(err)
	}
	if info.DataSize != int64(len(data)) || info.HashSize != int64(len(tree)) || info.UUID != options(8).UUID || !bytes.Equal(info.Salt, options(8).Salt) {
		t.Errorf("superblock says %+v", info)
	}
}

// TestNamesWrongBlock flips bytes of data and tree.
func TestNamesWrongBlock(t *testing.T) {
	const blocks = 128*128 + 300 // three levels: 1, 2 and 131 blocks
	data := noise(4, blocks*BlockSize)
	tree, root := writeTree(t, data, options(32))
	for _, c := range []struct {
		name       string
		inData     []int // bytes to flip
		inTree     []int
		want       WrongBlockError
		wantInText string
	}{
		{"data", []int{5*BlockSize + 9}, nil, WrongBlockError{-1, 5, 5 * BlockSize}, "data block 5 (byte 20480)"},
		{"the first of several", []int{16000 * BlockSize, 700 * BlockSize, 701 * BlockSize}, nil, WrongBlockError{-1, 700, 700 * BlockSize}, "data block 700"},
		{"last data", []int{blocks*BlockSize - 1}, nil, WrongBlockError{-1, blocks - 1, (blocks - 1) * BlockSize}, "data block"},
		{"root", nil, []int{BlockSize}, WrongBlockError{2, 0, BlockSize}, "hash block 0 of level 2"},
		{"spare bytes of the root", nil, []int{2*BlockSize - 1}, WrongBlockError{2, 0, BlockSize}, "hash block 0 of level 2"},
		{"middle", nil, []int{3*BlockSize + 40}, WrongBlockError{1, 1, 3 * BlockSize}, "hash block 1 of level 1"},
		{"bottom before data", []int{0}, []int{(4+130)*BlockSize + 1}, WrongBlockError{0, 130, (4 + 130) * BlockSize}, "hash block 130 of level 0"},
	} {
		badData, badTree := bytes.Clone(data), bytes.Clone(tree)
		for _, at := range c.inData {
			badData[at] ^= 0x10
		}
		for _, at := range c.inTree {
			badTree[at] ^= 1
		}
		for _, workers := range []int{1, 5} {
			_, err := Verify(context.Background(), bytes.NewReader(badData), bytes.NewReader(badTree), 0, root, workers)
			var wrong *WrongBlockError
			if !errors.As(err, &wrong) || *wrong != c.want || !strings.Contains(err.Error(), c.wantInText) {
				t.Errorf("%s, %d workers: %v, want %+v", c.name, workers, err, c.want)
			}
		}
	}
	if _, err := Verify(context.Background(), bytes.NewReader(data), bytes.NewReader(tree), 0, root, 3); err != nil {
		t.Errorf("good data: %v", err)
	}
	if _, err := Verify(context.Background(), bytes.NewReader(data), bytes.NewReader(tree), 0, digest.Of(nil), 3); err == nil {
		t.Error("another root hash is taken")
	}
	if _, err := Verify(context.Background(), bytes.NewReader(data[:len(data)-1]), bytes.NewReader(tree), 0, root, 3); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("short data: %v", err)
	}
	if _, err := Verify(context.Background(), bytes.NewReader(data), bytes.NewReader(tree[:len(tree)-1000]), 0, root, 3); err == nil {
		t.Error("a short tree is taken")
	}
}

func TestRefusals(t *testing.T) {
	good := options(4)
	for name, c := range map[string]struct {
		at, size int64
		opt      Options
		want     string
	}{
		"no data":    {0, 0, good, "whole blocks"},
		"half block": {0, BlockSize + 512, good, "whole blocks"},
		"place":      {512, BlockSize, good, "multiple of 4096"},
		"salt":       {0, BlockSize, Options{Salt: make([]byte, 257), UUID: good.UUID}, "salt of 257 bytes"},
		"uuid":       {0, BlockSize, Options{}, "without a UUID"},
		"short data": {0, 9 * BlockSize, good, "read data block"},
		"full disk":  {4 * BlockSize, 2 * BlockSize, good, "no space left"},
	} {
		_, err := Write(context.Background(), &memory{make([]byte, 4*BlockSize)}, c.at, bytes.NewReader(noise(1, 4*BlockSize)), c.size, c.opt)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want an error with %q", name, err, c.want)
		}
	}
	if _, err := Size(5); err == nil {
		t.Error("Size takes 5 bytes")
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Write(ctx, &memory{make([]byte, 1<<20)}, 0, bytes.NewReader(noise(1, 1<<20)), 1<<20, good); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled write: %v", err)
	}
}

// FuzzVerify reads hash areas that someone changed. Only the one that was
// written, or one that differs in its spare bytes and UUID, may pass for it.
func FuzzVerify(f *testing.F) {
	data := noise(9, 130*BlockSize)
	tree, root := writeTree(f, data, options(32))
	f.Add(tree)
	f.Add(tree[:superblockSize])
	one, _ := writeTree(f, data[:BlockSize], options(0))
	f.Add(one)
	f.Fuzz(func(t *testing.T, hashes []byte) {
		info, err := Verify(context.Background(), bytes.NewReader(data), bytes.NewReader(hashes), 0, root, 2)
		if err == nil && (info.DataSize != int64(len(data)) || !bytes.Equal(hashes[BlockSize:info.HashSize], tree[BlockSize:])) {
			t.Errorf("another tree is taken: %+v", info)
		}
	})
}
