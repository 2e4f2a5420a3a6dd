package squashfs

import (
	"context"
	"fmt"
	"io"
	"math"
	"math/bits"
	"runtime"

	"ashlar/internal/format/imagetree"
	"ashlar/internal/foundation/progress"
	"ashlar/internal/foundation/tree"
)

// BlockCache keeps compressed blocks between runs. Keys are 64 hexadecimal
// digits, derived from the plain bytes and the compressor's name. The writer
// checks what it gets back, so a damaged value costs time and nothing else. Both
// methods must be safe for concurrent use and must not keep or change block.
type BlockCache interface {
	Get(key string) ([]byte, bool)
	Put(key string, block []byte)
}

// Options of Write. The zero value works.
type Options struct {
	Compressor Compressor // nil: zstd at its default level
	BlockSize  int        // a power of two, 4 KiB to 1 MiB; 0: DefaultBlockSize
	// Epoch, in seconds since 1970, is the time in the superblock, and no
	// inode's time is later. 0: the superblock says 0 and inodes keep their times.
	Epoch    int64
	Workers  int // compressing at once; 0: one a processor. Does not reach the bytes
	Cache    BlockCache
	Progress progress.Sink // nil: silent. Task "squashfs", unit "bytes" of content
}

// Stats says what an image came to. Sizes are in bytes.
type Stats struct {
	Size           int64 // of the image with its padding
	Inodes         int
	Files          int
	ContentBytes   int64 // of all files, before compression and with duplicates
	StoredBytes    int64 // of blocks and fragment blocks, compressed
	MetadataBytes  int64 // inodes, directories and tables, compressed
	Blocks         int   // stored, fragment blocks included
	FragmentBlocks int
	SparseBlocks   int // of zeros, not stored
	Duplicates     int // files whose content another file has
	DuplicateBytes int64
	CacheHits      int
}

func (o Options) withDefaults() (Options, error) {
	if o.Compressor == nil {
		c, err := NewCompressor("zstd", 0)
		if err != nil {
			return o, err
		}
		o.Compressor = c
	}
	if o.BlockSize == 0 {
		o.BlockSize = DefaultBlockSize
	}
	if o.Workers <= 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	if o.Progress == nil {
		o.Progress = progress.Discard{}
	}
	if o.Epoch < 0 || o.Epoch > math.MaxUint32 {
		return o, fmt.Errorf("epoch %d is not between 1970 and 2106", o.Epoch)
	}
	return o, checkBlockSize(int64(o.BlockSize))
}

// Write writes the tree as a squashfs image that begins at offset 0 of w. All
// but the superblock, which comes last, is written in order of offsets. Memory:
// the plan of the tree, and a few blocks for each worker.
func Write(ctx context.Context, w io.WriterAt, t *tree.Tree, opt Options) (Stats, error) {
	stats, err := write(ctx, w, t, opt)
	if err != nil {
		return Stats{}, fmt.Errorf("write squashfs: %w", err)
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
	p.layOut(files, opt.BlockSize)

	im := &image{w: w, opt: opt, plan: p, at: superblockSize}
	if err := im.writeOptions(); err != nil {
		return Stats{}, err
	}
	if im.fragments, err = writeData(ctx, im); err != nil {
		return Stats{}, err
	}
	if err := im.writeMetadata(ctx); err != nil {
		return Stats{}, err
	}
	if err := im.finish(); err != nil {
		return Stats{}, err
	}
	total := p.storedContent()
	opt.Progress.Report(progress.Event{Task: "squashfs", Done: total, Total: total, Unit: "bytes", End: true})
	return p.stats, nil
}

// image is what is being written.
type image struct {
	w         io.WriterAt
	opt       Options
	plan      *plan
	at        int64 // where the next byte goes
	super     superblock
	fragments []fragmentEntry
	ids       idTable
	xattrs    *xattrTable
}

// append writes at the end of what is written.
func (im *image) append(data []byte) error {
	n, err := im.w.WriteAt(data, im.at)
	im.at += int64(n)
	return err
}

func (im *image) writeOptions() error {
	options := im.opt.Compressor.Options()
	if options == nil {
		return nil
	}
	im.super.Flags |= flagOptions
	head := order.AppendUint16(nil, uint16(len(options))|metadataPlain)
	return im.append(append(head, options...))
}

// finish pads the image and writes the superblock.
func (im *image) finish() error {
	s := &im.super
	s.Magic, s.Major, s.Minor = magic, 4, 0
	s.Inodes = uint32(len(im.plan.inodes))
	s.Time = uint32(im.opt.Epoch)
	s.BlockSize = uint32(im.opt.BlockSize)
	s.BlockLog = uint16(bits.TrailingZeros32(s.BlockSize))
	s.Fragments = uint32(len(im.fragments))
	s.Compressor = im.opt.Compressor.ID()
	s.Flags |= flagDuplicates | flagExport | flagAlwaysTails
	if _, plain := im.opt.Compressor.(noCompressor); plain {
		s.Flags |= flagPlainInodes | flagPlainData | flagPlainFragments | flagPlainXattrs | flagPlainIDs
	}
	s.IDs = uint16(len(im.ids.list))
	s.Root = im.plan.root.ref
	s.Used = uint64(im.at)
	if err := im.append(make([]byte, -im.at&(padTo-1))); err != nil {
		return err
	}
	raw, err := s.encode()
	if err != nil {
		return err
	}
	_, err = im.w.WriteAt(raw, 0)
	im.plan.stats.Size = im.at
	im.plan.stats.Inodes = len(im.plan.inodes)
	return err
}
