package imagetree

import (
	"context"
	"errors"
	"fmt"
	"io"

	"golang.org/x/sync/errgroup"

	"ashlar/internal/foundation/digest"
	"ashlar/internal/foundation/tree"
)

// File is a file of a tree. First is the first by path that has the same bytes,
// itself if there is none before it. Files without bytes are not compared.
type File struct {
	Entry, First *tree.Entry
}

// contentKey tells contents apart.
type contentKey struct {
	sum  digest.Digest
	size int64
}

// Files gives the files of a tree by path, without further hard links. A file of a size that
// no other has needs no digest; the digests that entries do not bring are
// computed, by several workers.
func Files(ctx context.Context, t *tree.Tree, workers int) ([]File, error) {
	var files []File
	sizes := map[int64]int{}
	for _, name := range t.Paths() {
		if e := t.Get(name); e.Kind == tree.File {
			files = append(files, File{e, e})
			sizes[e.Size]++
		}
	}
	var shared []int
	for i, f := range files {
		if f.Entry.Size > 0 && sizes[f.Entry.Size] > 1 {
			shared = append(shared, i)
		}
	}
	sums := make([]digest.Digest, len(files))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(workers)
	for _, i := range shared {
		e := files[i].Entry
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
	first := make(map[contentKey]*tree.Entry, len(shared))
	for _, i := range shared {
		key := contentKey{sums[i], files[i].Entry.Size}
		if first[key] == nil {
			first[key] = files[i].Entry
		}
		files[i].First = first[key]
	}
	return files, nil
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

// Fill reads the next bytes of an entry's content.
func Fill(r io.Reader, p []byte, e *tree.Entry) error {
	_, err := io.ReadFull(r, p)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return wrongSize(e)
	}
	return err
}

// AtEnd wants that an entry's content has no more bytes.
func AtEnd(r io.Reader, e *tree.Entry) error {
	var more [1]byte
	if _, err := io.ReadFull(r, more[:]); !errors.Is(err, io.EOF) {
		return errors.Join(wrongSize(e), err)
	}
	return nil
}

func wrongSize(e *tree.Entry) error {
	return fmt.Errorf("content has not the %d bytes that the entry says", e.Size)
}
