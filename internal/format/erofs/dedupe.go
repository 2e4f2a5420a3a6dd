package erofs

import (
	"context"
	"errors"
	"fmt"
	"io"

	"golang.org/x/sync/errgroup"

	"ashlar/internal/foundation/digest"
	"ashlar/internal/foundation/tree"
)

// contentKey tells contents apart.
type contentKey struct {
	sum  digest.Digest
	size int64
}

// contentKeys gives the keys of all files that may share their content with
// another. A file of a size that no other has needs no digest; the digests that
// entries do not bring are computed, by several workers.
func contentKeys(ctx context.Context, p *plan, workers int) (map[*tree.Entry]contentKey, error) {
	sizes := map[int64]int{}
	for _, n := range p.inodes {
		if n.entry.Kind == tree.File && n.entry.Size > 0 {
			sizes[n.entry.Size]++
		}
	}
	var shared []*tree.Entry
	for _, n := range p.inodes {
		if e := n.entry; e.Kind == tree.File && sizes[e.Size] > 1 {
			shared = append(shared, e)
		}
	}
	sums := make([]digest.Digest, len(shared))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(workers)
	for i, e := range shared {
		if sums[i] = e.Digest; !e.Digest.IsZero() {
			continue
		}
		group.Go(func() (err error) {
			if err = ctx.Err(); err == nil {
				sums[i], err = digestOf(e)
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	keys := make(map[*tree.Entry]contentKey, len(shared))
	for i, e := range shared {
		keys[e] = contentKey{sums[i], e.Size}
	}
	return keys, nil
}

func digestOf(e *tree.Entry) (digest.Digest, error) {
	r, err := e.Open()
	if err != nil {
		return digest.Digest{}, fmt.Errorf("read %s: %w", e.Path, err)
	}
	sum, n, err := digest.Reader(io.LimitReader(r, e.Size+1))
	if err = errors.Join(err, r.Close()); err == nil && n != e.Size {
		err = wrongSize(e)
	}
	if err != nil {
		return sum, fmt.Errorf("read %s: %w", e.Path, err)
	}
	return sum, nil
}

func wrongSize(e *tree.Entry) error {
	return fmt.Errorf("content has not the %d bytes that the entry says", e.Size)
}
