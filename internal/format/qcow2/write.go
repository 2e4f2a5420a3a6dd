package qcow2

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"

	"ashlar/internal/format/chunked"
	"ashlar/internal/format/zstdblock"
)

// writer is one run of Write.
type writer struct {
	w     io.WriterAt
	at    int64            // the next free cluster, in bytes
	pack  int64            // where the next compressed cluster goes, up to end
	end   int64            // of what is taken for compressed clusters
	refs  map[int64]uint16 // of host clusters
	l1    []uint64
	l2    map[int64][]uint64 // by place in the L1 table
	order []int64            // of l2's keys
}

// Write makes an image of the disk that r holds. w must be empty; what a failed
// Write leaves in it is no image, for the header is missing.
func Write(ctx context.Context, w io.WriterAt, r io.ReaderAt, opt Options) error {
	err := opt.check()
	if err == nil {
		err = write(ctx, w, r, opt)
	}
	if err != nil {
		return fmt.Errorf("write qcow2 image: %w", err)
	}
	return nil
}

func write(ctx context.Context, out io.WriterAt, r io.ReaderAt, opt Options) error {
	w := &writer{w: out, at: cluster, refs: map[int64]uint16{0: 1}, l2: map[int64][]uint64{}}
	w.l1 = make([]uint64, (opt.Size+cluster*perL2-1)/(cluster*perL2))
	pieces := chunked.Options{Size: opt.Size, Chunk: cluster, Workers: opt.Workers}
	if opt.Zstd {
		pieces.NewPacker = newPacker
	}
	if err := chunked.Each(ctx, r, pieces, w.add); err != nil {
		return err
	}
	if err := w.tables(); err != nil {
		return err
	}
	return w.finish(opt)
}

func newPacker() (func(out, data []byte) ([]byte, error), error) {
	encoder := zstdblock.New(zstdblock.Fast)
	return func(out, data []byte) ([]byte, error) { return encoder.Encode(out, data), nil }, nil
}

// add writes a cluster of the disk, unless it is zero.
func (w *writer) add(c chunked.Chunk) error {
	if c.Zero {
		return nil
	}
	// One that does not get smaller stands as it is, in a cluster of its own.
	if len(c.Packed) == 0 || len(c.Packed) >= cluster-sector {
		at, err := w.clusters(c.Data)
		w.note(c.Index, uint64(at)|flagCopied)
		return err
	}
	at := w.place(int64(len(c.Packed)))
	sectors := (at+int64(len(c.Packed))-1)/sector - at/sector
	w.note(c.Index, flagCompressed|uint64(sectors)<<packedBits(clusterBits)|uint64(at))
	for host := at / cluster; host <= (at+int64(len(c.Packed))-1)/cluster; host++ {
		w.refs[host]++
	}
	_, err := w.w.WriteAt(c.Packed, at)
	return err
}

// place finds a place for a compressed cluster, which may lie in two clusters
// that follow each other.
func (w *writer) place(size int64) int64 {
	if w.pack+size > w.end {
		if w.end != w.at {
			w.pack = w.at
		}
		w.at += cluster
		w.end = w.at
	}
	at := w.pack
	w.pack += size
	return at
}

func (w *writer) note(index int64, entry uint64) {
	table := index / perL2
	if w.l2[table] == nil {
		w.l2[table] = make([]uint64, perL2)
		w.order = append(w.order, table)
	}
	w.l2[table][index%perL2] = entry
}

// clusters writes bytes into whole clusters of their own and gives the place.
func (w *writer) clusters(data []byte) (int64, error) {
	at := w.at
	if _, err := w.w.WriteAt(data, at); err != nil {
		return 0, err
	}
	w.at += int64(len(data))
	for host := at / cluster; host < w.at/cluster; host++ {
		w.refs[host] = 1
	}
	return at, nil
}

// tables writes the L2 tables and fills the L1 table.
func (w *writer) tables() error {
	for _, table := range w.order {
		at, err := w.clusters(numbers(w.l2[table]))
		if err != nil {
			return err
		}
		w.l1[table] = uint64(at) | flagCopied
	}
	return nil
}

func numbers(list []uint64) []byte {
	out := make([]byte, 0, 8*len(list))
	for _, n := range list {
		out = binary.BigEndian.AppendUint64(out, n)
	}
	return out
}

// finish writes the L1 table, the refcounts, and then the header.
func (w *writer) finish(opt Options) error {
	l1, err := w.clusters(padded(numbers(w.l1)))
	if err != nil {
		return err
	}
	// The blocks and the table count themselves.
	first := w.at / cluster
	blocks := int64(1)
	for blocks*perRefBlock < first+blocks+1 {
		blocks++
	}
	if blocks > cluster/8 {
		return fmt.Errorf("%d refcount blocks, at most %d", blocks, cluster/8)
	}
	table := make([]uint64, 0, blocks)
	counts := make([]byte, blocks*cluster)
	for i := range blocks + 1 {
		w.refs[first+i] = 1
	}
	for host := range first + blocks + 1 {
		binary.BigEndian.PutUint16(counts[host*refcountBytes:], w.refs[host])
	}
	for i := range blocks {
		table = append(table, uint64((first+i)*cluster))
	}
	if _, err := w.w.WriteAt(counts, first*cluster); err != nil {
		return err
	}
	tableAt := (first + blocks) * cluster
	if _, err := w.w.WriteAt(padded(numbers(table)), tableAt); err != nil {
		return err
	}
	_, err = w.w.WriteAt(header(opt, int64(len(w.l1)), l1, tableAt), 0)
	return err
}

// padded fills up to whole clusters, at least one.
func padded(data []byte) []byte {
	size := max(1, (len(data)+cluster-1)/cluster) * cluster
	return append(data, make([]byte, size-len(data))...)
}

func header(opt Options, l1Size, l1, refTable int64) []byte {
	be := binary.BigEndian
	b := make([]byte, cluster)
	be.PutUint32(b, magic)
	be.PutUint32(b[4:], version)
	be.PutUint32(b[20:], clusterBits)
	be.PutUint64(b[24:], uint64(opt.Size))
	be.PutUint32(b[36:], uint32(l1Size))
	be.PutUint64(b[40:], uint64(l1))
	be.PutUint64(b[48:], uint64(refTable))
	be.PutUint32(b[56:], 1) // clusters of the refcount table
	if opt.Zstd {
		be.PutUint64(b[72:], incompatibleCompression)
		b[104] = compressionZstd
	}
	be.PutUint32(b[96:], refcountOrder)
	be.PutUint32(b[100:], headerSize)
	return b // the end of the header's extensions is eight zeros
}
