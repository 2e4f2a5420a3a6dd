package oci

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"ashlar/internal/format/tarball"
	"ashlar/internal/foundation/digest"
	"ashlar/internal/foundation/tree"
)

// Keeper takes the content of a file and says where it is from now on.
type Keeper func(r io.Reader) (tree.Content, digest.Digest, int64, error)

// InMemory keeps contents in memory.
func InMemory(r io.Reader) (tree.Content, digest.Digest, int64, error) {
	var b bytes.Buffer
	sum, n, err := digest.Copy(&b, r)
	return tree.Bytes(b.Bytes()), sum, n, err
}

// Whiteouts (image-spec, layer.md): a file of this name says that another of the
// layers below is gone, or that a directory shows nothing of them.
const (
	whiteout = ".wh."
	opaque   = ".wh..wh..opq"
)

// Tree gives the files of an image: its layers one over the other. Each layer is checked
// against both of its digests. Limits are those of all layers together, 0 that of one tarball.
func (l *Layout) Tree(ctx context.Context, m Manifest, limits tarball.Limits, keep Keeper) (*tree.Tree, error) {
	config, err := l.Config(m)
	if err != nil {
		return nil, err
	}
	t := &tree.Tree{}
	if err := t.AddParents("x", 0o755, 0); err != nil {
		return nil, err
	}
	for n, d := range m.Layers {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err := l.apply(t, d, config.RootFS.DiffIDs[n], limits, keep); err != nil {
			return nil, fmt.Errorf("unpack layer %d of %d: %w", n+1, len(m.Layers), err)
		}
	}
	return t, nil
}

func (l *Layout) apply(t *tree.Tree, d Descriptor, diffID string, limits tarball.Limits, keep Keeper) (err error) {
	blob, err := l.Blob(d)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, blob.Close()) }()
	raw, err := decompress(blob, d.MediaType)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, raw.Close()) }()
	sum := newSummer(io.Discard)
	tar := io.TeeReader(raw, sum)
	if err := applyTar(t, tar, limits, keep); err != nil {
		return err
	}
	// What follows the archive belongs to its digest too, but has an end.
	const padding = 1 << 20
	if _, err := io.Copy(io.Discard, io.LimitReader(tar, padding)); err != nil {
		return err
	}
	if err := sameDigest(sum.sum(), diffID); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, blob) // to its end, where it is checked
	return err
}

func applyTar(t *tree.Tree, r io.Reader, limits tarball.Limits, keep Keeper) error {
	own := map[string]bool{} // what this layer brings: its whiteouts are for those below
	return tarball.Each(r, limits, func(e tree.Entry, content io.Reader) error {
		dir, name := path.Split(e.Path)
		dir = path.Clean(dir)
		if strings.HasPrefix(name, whiteout) {
			remove(t, dir, name, own)
			return nil
		}
		for p := e.Path; p != "."; p = path.Dir(p) {
			own[p] = true
		}
		if e.Kind == tree.File {
			var err error
			if e.Source, e.Digest, e.Size, err = keep(content); err != nil {
				return err
			}
		}
		return tarball.Apply(t, e)
	})
}

// remove takes away what a whiteout names.
func remove(t *tree.Tree, dir, name string, own map[string]bool) {
	if name != opaque {
		gone := path.Join(dir, strings.TrimPrefix(name, whiteout))
		if gone != "." && !own[gone] {
			t.Remove(gone)
		}
		return
	}
	for _, p := range t.Paths() {
		if p != dir && p != "." && (dir == "." || strings.HasPrefix(p, dir+"/")) && !own[p] && t.Get(p) != nil {
			t.Remove(p)
		}
	}
}
