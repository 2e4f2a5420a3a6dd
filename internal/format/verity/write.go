package verity

import (
	"context"
	"crypto/sha256"
	"fmt"
	"hash"
	"io"
	"runtime"

	"golang.org/x/sync/errgroup"

	"ashlar/internal/foundation/digest"
)

// Write writes the hash area of the first dataSize bytes of data to w, from
// byte at on, and gives the root hash. data and w may be one file when at is not below dataSize.
func Write(ctx context.Context, w io.WriterAt, at int64, data io.ReaderAt, dataSize int64, opt Options) (digest.Digest, error) {
	root, err := write(ctx, w, at, data, dataSize, opt)
	if err != nil {
		return digest.Digest{}, fmt.Errorf("write verity tree: %w", err)
	}
	return root, nil
}

func write(ctx context.Context, w io.WriterAt, at int64, data io.ReaderAt, dataSize int64, opt Options) (digest.Digest, error) {
	if err := checkSize(dataSize); err != nil {
		return digest.Digest{}, err
	}
	if err := opt.check(at); err != nil {
		return digest.Digest{}, err
	}
	super, err := opt.superblock(dataSize)
	if err != nil {
		return digest.Digest{}, err
	}
	if _, err := w.WriteAt(super[:BlockSize], at); err != nil {
		return digest.Digest{}, err
	}
	levels, _ := levelsOf(dataSize / BlockSize)
	if len(levels) == 0 {
		return singleBlock(data, opt.Salt)
	}
	t := &builder{w: w, at: at, salt: opt.Salt}
	digests, err := t.fromData(ctx, data, dataSize, levels[0], workers(opt.Workers))
	for i := 1; i < len(levels) && err == nil; i++ {
		digests, err = t.fromDigests(digests, levels[i])
	}
	if err != nil {
		return digest.Digest{}, err
	}
	return digests[0], nil
}

func workers(n int) int {
	if n <= 0 {
		return runtime.GOMAXPROCS(0)
	}
	return n
}

func singleBlock(data io.ReaderAt, salt []byte) (digest.Digest, error) {
	block := make([]byte, BlockSize)
	if _, err := data.ReadAt(block, 0); err != nil {
		return digest.Digest{}, fmt.Errorf("read data block 0: %w", noEOF(err))
	}
	return newHasher(salt).sum(block), nil
}

// hasher computes salted digests. One goroutine uses it.
type hasher struct {
	state hash.Hash
	salt  []byte
}

func newHasher(salt []byte) *hasher { return &hasher{sha256.New(), salt} }

func (h *hasher) sum(block []byte) (d digest.Digest) {
	h.state.Reset()
	h.state.Write(h.salt)
	h.state.Write(block)
	h.state.Sum(d[:0])
	return d
}

// builder writes levels. Of each level only the digests of its blocks are kept.
type builder struct {
	w    io.WriterAt
	at   int64
	salt []byte
}

// fromData writes level 0, of which each worker takes the next block.
func (t *builder) fromData(ctx context.Context, data io.ReaderAt, dataSize int64, l level, workers int) ([]digest.Digest, error) {
	digests := make([]digest.Digest, l.blocks)
	next := make(chan int64)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		defer close(next)
		for i := range l.blocks {
			select {
			case next <- i:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	})
	for range workers {
		group.Go(func() error {
			h, plain := newHasher(t.salt), make([]byte, fanOut*BlockSize)
			for i := range next {
				from := i * int64(len(plain))
				part := plain[:min(int64(len(plain)), dataSize-from)]
				if n, err := data.ReadAt(part, from); n < len(part) {
					return fmt.Errorf("read data block %d: %w", from/BlockSize, noEOF(err))
				}
				var err error
				if digests[i], err = t.hashBlock(h, l, i, blockDigests(h, part)); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return digests, group.Wait()
}

// blockDigests gives a hash block over the blocks of data.
func blockDigests(h *hasher, data []byte) []byte {
	out := make([]byte, 0, BlockSize)
	for ; len(data) > 0; data = data[BlockSize:] {
		d := h.sum(data[:BlockSize])
		out = append(out, d[:]...)
	}
	return out[:BlockSize]
}

// hashBlock writes block i of a level and gives its digest.
func (t *builder) hashBlock(h *hasher, l level, i int64, block []byte) (digest.Digest, error) {
	if _, err := t.w.WriteAt(block, t.at+l.at+i*BlockSize); err != nil {
		return digest.Digest{}, err
	}
	return h.sum(block), nil
}

// fromDigests writes a level over the digests of the one below.
func (t *builder) fromDigests(below []digest.Digest, l level) ([]digest.Digest, error) {
	h, digests := newHasher(t.salt), make([]digest.Digest, l.blocks)
	for i := range digests {
		block := make([]byte, 0, BlockSize)
		for _, d := range below[i*fanOut : min(len(below), (i+1)*fanOut)] {
			block = append(block, d[:]...)
		}
		var err error
		if digests[i], err = t.hashBlock(h, l, int64(i), block[:BlockSize]); err != nil {
			return nil, err
		}
	}
	return digests, nil
}
