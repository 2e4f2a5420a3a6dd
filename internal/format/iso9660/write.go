package iso9660

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"ashlar/internal/foundation/sparse"
)

// Write writes the image into w, which must be fresh: Size zero bytes. The
// system area, the boot images and the spare bytes stay as they are. What a
// failed Write leaves must be thrown away.
func (p *Plan) Write(ctx context.Context, w io.WriterAt) error {
	if err := p.write(ctx, w); err != nil {
		return fmt.Errorf("write ISO 9660 image: %w", err)
	}
	return nil
}

func (p *Plan) write(ctx context.Context, w io.WriterAt) error {
	type piece struct {
		block int64
		data  []byte
	}
	pieces := []piece{
		{pvdBlock, p.descriptors()},
		{p.pathL, p.pathTable(binary.LittleEndian)},
		{p.pathM, p.pathTable(binary.BigEndian)},
		{p.area, p.continuations()},
	}
	if p.boots() {
		pieces = append(pieces, piece{p.catalog, p.bootCatalog()})
	}
	for _, piece := range pieces {
		if err := sparse.WriteAt(w, piece.data, piece.block*BlockSize); err != nil {
			return err
		}
	}
	for _, dir := range p.dirs {
		if err := sparse.WriteAt(w, p.listing(dir), dir.data.Offset); err != nil {
			return err
		}
	}
	for _, f := range p.files {
		if err := copyFile(ctx, w, f); err != nil {
			return fmt.Errorf("%s: %w", f.entry.Path, err)
		}
	}
	return nil
}

func copyFile(ctx context.Context, w io.WriterAt, n *node) (err error) {
	r, err := n.entry.Open()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	if err := sparse.Copy(ctx, w, n.data.Offset, r, n.data.Size); err != nil {
		return err
	}
	return sparse.AtEnd(r)
}
