package verity

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"sync"

	"golang.org/x/sync/errgroup"

	"ashlar/internal/foundation/digest"
)

// WrongBlockError names the first block that is not what its digest says.
type WrongBlockError struct {
	Level int   // −1: data; else the level of the tree, 0 above the data
	Block int64 // number in its level, from 0
	At    int64 // byte in its file
}

// Error implements error.
func (e *WrongBlockError) Error() string {
	if e.Level < 0 {
		return fmt.Sprintf("data block %d (byte %d) is not what the tree says", e.Block, e.At)
	}
	return fmt.Sprintf("hash block %d of level %d (byte %d) is not what the block above it says", e.Block, e.Level, e.At)
}

// Verify checks the hash area at byte at of hashes against the root hash, and
// the data against it, and gives what the superblock says. The tree is checked from the
// root down, so that a digest is trusted before it judges; of wrong blocks the
// first of the highest wrong level is named, by a *WrongBlockError.
func Verify(ctx context.Context, data, hashes io.ReaderAt, at int64, root digest.Digest, workers int) (Info, error) {
	info, err := ReadInfo(hashes, at)
	if err != nil {
		return info, err
	}
	if err := verify(ctx, data, hashes, at, info, root, workers); err != nil {
		return info, fmt.Errorf("verify: %w", err)
	}
	return info, nil
}

func verify(ctx context.Context, data, hashes io.ReaderAt, at int64, info Info, root digest.Digest, count int) error {
	c := &checker{salt: info.Salt, workers: workers(count)}
	above := blocks{r: bytes.NewReader(root[:]), level: -1}
	levels, _ := levelsOf(info.DataSize / BlockSize)
	for i := len(levels) - 1; i >= 0; i-- {
		below := blocks{hashes, at + levels[i].at, levels[i].blocks, i}
		if err := c.check(ctx, above, below); err != nil {
			return err
		}
		above = below
	}
	return c.check(ctx, above, blocks{data, 0, info.DataSize / BlockSize, -1})
}

// blocks are a level of the tree, or the data.
type blocks struct {
	r     io.ReaderAt
	at    int64
	count int64
	level int
}

type checker struct {
	salt    []byte
	workers int

	mu    sync.Mutex
	first *WrongBlockError // by number, of the level that is checked
}

// check compares all blocks of a level with the digests above, 128 at a time.
func (c *checker) check(ctx context.Context, above, below blocks) error {
	groups := (below.count + int64(fanOut) - 1) >> fanBits
	parent := ctx
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(c.workers)
	for i := range groups {
		if ctx.Err() != nil || c.isWrong() {
			break
		}
		group.Go(func() error { return c.checkGroup(above, below, i) })
	}
	err := group.Wait()
	if err == nil {
		err = parent.Err()
	}
	if c.first != nil {
		return c.first
	}
	return err
}

func (c *checker) isWrong() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.first != nil
}

// checkGroup checks the blocks below one block of digests. Groups start in
// order, and each runs to its end: so the lowest wrong block is always found.
func (c *checker) checkGroup(above, below blocks, i int64) error {
	first := i << fanBits
	count := min(int64(fanOut), below.count-first)
	digests := make([]byte, count*int64(len(digest.Digest{})))
	if n, err := above.r.ReadAt(digests, above.at+i*BlockSize); n < len(digests) {
		return fmt.Errorf("read hash block %d of level %d: %w", i, above.level, noEOF(err))
	}
	plain := make([]byte, count*BlockSize)
	n, readErr := below.r.ReadAt(plain, below.at+first*BlockSize)
	h := newHasher(c.salt)
	for k := range int64(n) / BlockSize {
		sum := h.sum(plain[k*BlockSize : (k+1)*BlockSize])
		if bytes.Equal(sum[:], digests[k*int64(len(sum)):][:len(sum)]) {
			continue
		}
		c.note(&WrongBlockError{below.level, first + k, below.at + (first+k)*BlockSize})
		return nil
	}
	if n < len(plain) {
		return fmt.Errorf("read block %d of level %d: %w", first+int64(n)/BlockSize, below.level, noEOF(readErr))
	}
	return nil
}

func (c *checker) note(e *WrongBlockError) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.first == nil || e.Block < c.first.Block {
		c.first = e
	}
}
