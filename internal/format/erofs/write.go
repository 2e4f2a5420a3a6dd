package erofs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"

	"ashlar/internal/format/imagetree"
	"ashlar/internal/foundation/progress"
	"ashlar/internal/foundation/tree"
	"ashlar/internal/foundation/uuid"
)

// Layout is the version of how images are laid out: the order of everything, and
// what stands behind an inode. Images of one tree, compressor and options are equal
// as long as it is the same; the lock names it.
const Layout = 1

// BlockCache keeps compressed segments between runs. Keys are 64 hexadecimal
// digits, derived from the plain bytes and the compressor's name. The writer
// checks what it gets back, so a damaged value costs time and nothing else. Both
// methods must be safe for concurrent use and must not keep or change block.
type BlockCache interface {
	Get(key string) ([]byte, bool)
	Put(key string, block []byte)
}

// Options of Write. The zero value works: files are stored as they are.
type Options struct {
	Compressor Compressor
	// ClusterSize is the most bytes that a compressed cluster has, a multiple of
	// 4 KiB up to 1 MiB: larger compresses better and makes small reads slower. 0: what is
	// best for the compressor, 16 KiB for lz4 and 128 KiB for zstd.
	ClusterSize int
	// ChunkSize, a power of two from 4 KiB to 1 MiB, has files cut into chunks of
	// which equal ones are stored once, if nothing is compressed. 0: only files that are
	// equal as a whole are stored once, and only long runs of zeros are left out.
	ChunkSize int
	// Fragments has small files and the ends of files compressed together, which
	// makes images smaller and asks for Linux 6.1.
	Fragments bool
	// Epoch, in seconds since 1970, is the time in the superblock, and no inode's
	// time is later. 0: the superblock says 0 and inodes keep their times.
	Epoch    int64
	UUID     uuid.UUID // the caller derives it
	Label    string    // name of the volume, at most 15 bytes
	Workers  int       // compressing at once; 0: one a processor. Does not reach the bytes
	Cache    BlockCache
	Progress progress.Sink // nil: silent. Task "erofs", unit "bytes" of content
}

// Stats says what an image came to. Sizes are in bytes.
type Stats struct {
	Size           int64 // of the image
	Inodes         int
	Files          int
	ContentBytes   int64 // of all files, before compression and with duplicates
	StoredBytes    int64 // of blocks of content
	TailBytes      int64 // of ends of files that stand with their inodes
	MetadataBytes  int64 // inodes with their tails, indexes, directories
	Duplicates     int   // files whose content another file has
	DuplicateBytes int64
	SharedChunks   int // that another file or place has, not stored again
	ZeroChunks     int // not stored
	Segments       int // that were compressed, or came from the cache
	CacheHits      int
}

func (o Options) withDefaults() (Options, error) {
	if o.ClusterSize == 0 {
		o.ClusterSize = max(o.Compressor.cluster, BlockSize)
	}
	if o.Workers <= 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	if o.Progress == nil {
		o.Progress = progress.Discard{}
	}
	switch {
	case o.ClusterSize < BlockSize || o.ClusterSize > MaxCluster || o.ClusterSize%BlockSize != 0:
		return o, fmt.Errorf("cluster size %d: want a multiple of %d up to %d", o.ClusterSize, BlockSize, MaxCluster)
	case o.ChunkSize != 0 && (o.ChunkSize < BlockSize || o.ChunkSize > segmentSize || o.ChunkSize&(o.ChunkSize-1) != 0):
		return o, fmt.Errorf("chunk size %d: want a power of two from %d to %d", o.ChunkSize, BlockSize, segmentSize)
	case o.ChunkSize != 0 && o.compressed():
		return o, errors.New("chunks of files cannot be compressed: want a chunk size or a compressor")
	case o.Fragments && !o.compressed():
		return o, errors.New("fragments without a compressor")
	case o.Epoch < 0:
		return o, fmt.Errorf("epoch %d is before 1970", o.Epoch)
	case len(o.Label) > MaxLabel || strings.ContainsRune(o.Label, 0):
		return o, fmt.Errorf("label %q: at most %d bytes, none of them 0", o.Label, MaxLabel)
	}
	return o, nil
}

func (o Options) compressed() bool { return o.Compressor.newPacker != nil }

// Write writes the tree as an EROFS image that begins at offset 0 of w. All but
// the superblock, which comes last, is written in order of offsets. Memory: the plan of
// the tree, the metadata with the tails of files, and a few segments for each worker.
func Write(ctx context.Context, w io.WriterAt, t *tree.Tree, opt Options) (Stats, error) {
	stats, err := write(ctx, w, t, opt)
	if err != nil {
		return Stats{}, fmt.Errorf("write erofs: %w", err)
	}
	return stats, nil
}

func write(ctx context.Context, w io.WriterAt, t *tree.Tree, opt Options) (Stats, error) {
	opt, err := opt.withDefaults()
	if err != nil {
		return Stats{}, err
	}
	p, err := inodesOf(t, opt)
	if err != nil {
		return Stats{}, err
	}
	files, err := imagetree.Files(ctx, t, opt.Workers)
	if err != nil {
		return Stats{}, err
	}
	p.layOut(files)
	if opt.Fragments {
		p.packFragments(opt.ClusterSize, opt.Epoch)
	}

	im := &image{w: w, opt: opt, plan: p, at: BlockSize}
	if err := writeData(ctx, im); err != nil {
		return Stats{}, err
	}
	if err := im.writeMetadata(); err != nil {
		return Stats{}, err
	}
	if err := im.finish(); err != nil {
		return Stats{}, err
	}
	total := p.storedContent()
	opt.Progress.Report(progress.Event{Task: "erofs", Done: total, Total: total, Unit: "bytes", End: true})
	return p.stats, nil
}

// image is what is being written.
type image struct {
	w     io.WriterAt
	opt   Options
	plan  *plan
	at    int64 // where the next byte goes: a multiple of blocks between writes
	super superblock
}

// append writes at the end of what is written.
func (im *image) append(data []byte) error {
	if im.at>>blockBits+blocksOf(int64(len(data))) > maxBlocks {
		return fmt.Errorf("more than %d blocks, which the format cannot count", int64(maxBlocks))
	}
	n, err := im.w.WriteAt(data, im.at)
	im.at += int64(n)
	return err
}

// finish writes the superblock.
func (im *image) finish() error {
	s := &im.super
	s.Magic, s.BlockBits = magic, blockBits
	s.Compat = compatChecksum | compatMTime
	s.Inodes = uint64(len(im.plan.inodes))
	if im.plan.packed != nil {
		s.PackedNid = im.plan.packed.nid()
		s.Incompat |= incompatDedupe
	}
	s.BuildTime = uint64(im.opt.Epoch)
	s.Blocks = uint32(im.at >> blockBits)
	s.UUID = im.opt.UUID
	copy(s.Label[:], im.opt.Label)
	im.features()
	var configs []byte
	if s.Incompat&incompatConfigs != 0 {
		s.Algorithms = 1 << im.opt.Compressor.algorithm
		configs = im.opt.Compressor.configs(im.opt.ClusterSize)
	}
	raw, err := s.encode(configs)
	if err != nil {
		return err
	}
	_, err = im.w.WriteAt(raw, 0)
	im.plan.stats.Size = im.at
	im.plan.stats.Inodes = im.plan.named
	return err
}

// features notes what a kernel must know for this image.
func (im *image) features() {
	users := map[*content]int{}
	for _, n := range im.plan.inodes {
		c := n.content
		if c == nil {
			continue
		}
		users[c]++
		switch c.layout {
		case layoutChunks:
			im.super.Incompat |= incompatChunked
		case layoutCompactIndex:
			im.super.Incompat |= incompatZeroPadding | incompatConfigs
			if len(c.tail) > 0 {
				im.super.Incompat |= incompatTails
			}
			if users[c] > 1 && c.blocks > 0 {
				im.super.Incompat |= incompatDedupe
			}
		}
	}
}
