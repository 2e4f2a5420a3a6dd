package squashfs

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
)

// metadataWriter collects one table as metadata blocks.
type metadataWriter struct {
	compressor Compressor
	out        []byte   // compressed blocks with their headers
	plain      []byte   // the block that is being filled, always less than full
	starts     []uint64 // offset of each block in out
}

// position is where the next byte will stand.
func (m *metadataWriter) position() (block uint64, offset int) {
	return uint64(len(m.out)), len(m.plain)
}

func (m *metadataWriter) write(p []byte) error {
	for len(p) > 0 {
		n := min(len(p), metadataSize-len(m.plain))
		m.plain = append(m.plain, p[:n]...)
		p = p[n:]
		if len(m.plain) == metadataSize {
			if err := m.flush(); err != nil {
				return err
			}
		}
	}
	return nil
}

// flush ends the current block.
func (m *metadataWriter) flush() error {
	if len(m.plain) == 0 {
		return nil
	}
	m.starts = append(m.starts, uint64(len(m.out)))
	at := len(m.out)
	m.out = append(m.out, 0, 0)
	out, err := m.compressor.Compress(m.out, m.plain)
	if err != nil {
		return fmt.Errorf("compress metadata: %w", err)
	}
	header := uint16(len(out) - at - 2)
	if len(out)-at-2 >= len(m.plain) {
		out = append(m.out[:at+2], m.plain...)
		header = uint16(len(m.plain)) | metadataPlain
	}
	order.PutUint16(out[at:], header)
	m.out, m.plain = out, m.plain[:0]
	return nil
}

// writeMetadata writes all tables, in the order the kernel demands.
func (im *image) writeMetadata(ctx context.Context) error {
	before := im.at
	im.ids = collectIDs(im.plan)
	if len(im.ids.list) > maxIDs {
		return fmt.Errorf("%d different owners and groups, squashfs counts at most %d", len(im.ids.list), maxIDs)
	}
	var err error
	if im.xattrs, err = collectXattrs(im.plan, im.opt.Compressor); err != nil {
		return err
	}
	if err := im.writeInodes(ctx); err != nil {
		return err
	}
	if len(im.fragments) > 0 {
		im.super.FragTable, err = writeTable(im, im.fragments)
	} else {
		im.super.FragTable = noTable
	}
	if err != nil {
		return err
	}
	refs := make([]uint64, len(im.plan.inodes))
	for _, n := range im.plan.inodes {
		refs[n.number-1] = n.ref
	}
	if im.super.ExportTable, err = writeTable(im, refs); err != nil {
		return err
	}
	if im.super.IDTable, err = writeTable(im, im.ids.list); err != nil {
		return err
	}
	if im.super.XattrTable, err = im.xattrs.write(im); err != nil {
		return err
	}
	if im.super.XattrTable == noTable {
		im.super.Flags |= flagNoXattrs
	}
	im.plan.stats.MetadataBytes = im.at - before
	return nil
}

// writeInodes writes the inode table and the directory table. They name
// places in each other, so both are made at once: a directory's listing, then its inode.
func (im *image) writeInodes(ctx context.Context) error {
	inodes := &metadataWriter{compressor: im.opt.Compressor}
	dirs := &metadataWriter{compressor: im.opt.Compressor}
	for _, n := range im.plan.inodes {
		if err := ctx.Err(); err != nil {
			return err
		}
		raw, err := im.inode(n, dirs)
		if err != nil {
			return fmt.Errorf("%s: %w", n.entry.Path, err)
		}
		block, offset := inodes.position()
		n.ref = reference(block, offset)
		if err := inodes.write(raw); err != nil {
			return err
		}
	}
	for _, table := range []struct {
		m     *metadataWriter
		start *uint64
	}{{inodes, &im.super.InodeTable}, {dirs, &im.super.DirTable}} {
		if err := table.m.flush(); err != nil {
			return err
		}
		if len(table.m.out) > math.MaxUint32 {
			return fmt.Errorf("metadata of %d bytes, the format holds 4 GiB", len(table.m.out))
		}
		*table.start = uint64(im.at)
		if err := im.append(table.m.out); err != nil {
			return err
		}
	}
	return nil
}

// writeTable writes rows of fixed size as metadata blocks and then the index
// of those blocks, and gives the index's place.
func writeTable[Row any](im *image, rows []Row) (uint64, error) {
	m := &metadataWriter{compressor: im.opt.Compressor}
	raw, err := binary.Append(nil, order, rows)
	if err != nil {
		return 0, err
	}
	if err := m.write(raw); err != nil {
		return 0, err
	}
	if err := m.flush(); err != nil {
		return 0, err
	}
	index := make([]byte, 0, 8*len(m.starts))
	for _, start := range m.starts {
		index = order.AppendUint64(index, uint64(im.at)+start)
	}
	if err := im.append(m.out); err != nil {
		return 0, err
	}
	at := uint64(im.at)
	return at, im.append(index)
}

// idTable numbers owners and groups, which share one table.
type idTable struct {
	list []uint32 // ascending
}

func collectIDs(p *plan) idTable {
	seen := map[uint32]bool{}
	for _, n := range p.inodes {
		seen[n.entry.UID], seen[n.entry.GID] = true, true
	}
	list := make([]uint32, 0, len(seen))
	for id := range seen {
		list = append(list, id)
	}
	slices.Sort(list)
	return idTable{list}
}

func (t idTable) index(id uint32) uint16 {
	i, _ := slices.BinarySearch(t.list, id)
	return uint16(i)
}
