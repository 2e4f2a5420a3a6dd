package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"ashlar/internal/builder/definition"
	"ashlar/internal/contract/imageinfo"
	"ashlar/internal/contract/layout"
	"ashlar/internal/contract/machine"
	"ashlar/internal/format/erofs"
	"ashlar/internal/format/squashfs"
	"ashlar/internal/format/verity"
	"ashlar/internal/foundation/digest"
	"ashlar/internal/foundation/progress"
	"ashlar/internal/foundation/tree"
	"ashlar/internal/foundation/uuid"
)

// imageWriter writes images of a format as a definition wants them.
type imageWriter struct {
	encoder string // all that makes the bytes besides the definition; the lock names it
	module  string // of the kernel, that reads the format
	oldest  [2]int // Linux that reads what is written; zero: any that Debian has
	write   func(ctx context.Context, w io.WriterAt, t *tree.Tree, opt imageOptions) error
}

// imageOptions are what all formats have in common.
type imageOptions struct {
	id       uuid.UUID
	label    string
	epoch    int64
	workers  int
	cache    squashfs.BlockCache // nil: none
	progress progress.Sink
}

// imageWriterOf gives the writer of a format, its compressor and level.
func imageWriterOf(i definition.Image) (imageWriter, error) {
	size, err := definition.ParseSize(i.BlockSize)
	if err != nil {
		return imageWriter{}, fmt.Errorf("image.block_size: %w", err)
	}
	w := imageWriter{}
	switch i.Format {
	case "squashfs":
		w, err = squashfsWriter(i, int(size))
	case "erofs":
		w, err = erofsWriter(i, int(size))
	default:
		err = fmt.Errorf("format %q is neither squashfs nor erofs", i.Format)
	}
	if err != nil {
		return w, fmt.Errorf("image: %w", err)
	}
	return w, nil
}

func squashfsWriter(i definition.Image, blockSize int) (imageWriter, error) {
	c, err := squashfs.NewCompressor(i.Compressor, i.Level)
	if err != nil {
		return imageWriter{}, err
	}
	write := func(ctx context.Context, w io.WriterAt, t *tree.Tree, o imageOptions) error {
		opt := squashfs.Options{Compressor: c, BlockSize: blockSize, Epoch: o.epoch, Workers: o.workers, Cache: o.cache, Progress: o.progress}
		_, err := squashfs.Write(ctx, w, t, opt)
		return err
	}
	return imageWriter{encoder: fmt.Sprintf("squashfs %d, %s", squashfs.Layout, c.Name()), module: "squashfs", write: write}, nil
}

func erofsWriter(i definition.Image, clusterSize int) (imageWriter, error) {
	c, oldest, err := erofsCompressor(i)
	if err != nil {
		return imageWriter{}, err
	}
	write := func(ctx context.Context, w io.WriterAt, t *tree.Tree, o imageOptions) error {
		opt := erofs.Options{Compressor: c, ClusterSize: clusterSize, Epoch: o.epoch, UUID: o.id, Label: o.label,
			Workers: o.workers, Cache: o.cache, Progress: o.progress}
		_, err := erofs.Write(ctx, w, t, opt)
		return err
	}
	return imageWriter{encoder: fmt.Sprintf("erofs %d, %s", erofs.Layout, c.Name()), module: "erofs", oldest: oldest, write: write}, nil
}

// erofsCompressor gives a compressor and the first Linux that reads what the
// writer makes with it (see package erofs).
func erofsCompressor(i definition.Image) (c erofs.Compressor, oldest [2]int, err error) {
	switch i.Compressor {
	case "zstd":
		frames, err := squashfs.NewCompressor(i.Compressor, i.Level)
		if err != nil {
			return c, oldest, err
		}
		return erofs.Zstd(frames), [2]int{6, 10}, nil
	case "lz4":
		c, err = erofs.NewCompressor(i.Compressor, i.Level)
		return c, [2]int{6, 1}, err
	}
	c, err = erofs.NewCompressor(i.Compressor, i.Level)
	return c, [2]int{5, 15}, err
}

// verityModule is the kernel's that checks blocks by a hash tree.
const verityModule = "dm_verity"

// modules are those of the initramfs without which the images cannot be mounted.
func (w imageWriter) modules(i definition.Image) []string {
	if i.Verity {
		return []string{w.module, verityModule}
	}
	return []string{w.module}
}

// described tells a format in a few words.
func described(i definition.Image) string {
	text := fmt.Sprintf("%s %s, blocks of %s", i.Format, i.Compressor, i.BlockSize)
	if i.Verity {
		text += ", with a hash tree"
	}
	return text
}

// imageWriter gives the writer of the definition's format, if the kernel reads
// what it writes.
func (b *build) imageWriter(release string) (imageWriter, error) {
	w, err := imageWriterOf(b.p.def.Image)
	if err != nil {
		return w, err
	}
	var got [2]int
	if n, err := fmt.Sscanf(release, "%d.%d", &got[0], &got[1]); n != 2 || err != nil {
		return w, nil // a kernel of somebody's own, who knows what it reads
	}
	if slices.Compare(got[:], w.oldest[:]) < 0 {
		i := b.p.def.Image
		return w, fmt.Errorf("image: %s with %s is read by Linux %d.%d and later, and the kernel is %s: choose another compressor or format",
			i.Format, i.Compressor, w.oldest[0], w.oldest[1], release)
	}
	return w, nil
}

func (b *build) imageOptions(name string, sink progress.Sink) imageOptions {
	opt := imageOptions{id: b.identity(name), label: b.p.def.Name, epoch: b.epoch, workers: b.env.Workers, progress: sink}
	opt.label = opt.label[:min(len(opt.label), erofs.MaxLabel)]
	if !b.env.NoCache {
		opt.cache = blockCache{b.env.Store}
	}
	return opt
}

// writeImage writes a tree as an image of the definition's format, with its
// hash tree behind it if it is to have one, into the work directory.
func (b *build) writeImage(ctx context.Context, name string, t *tree.Tree, sink progress.Sink) (e tree.Entry, trees []imageinfo.Verity, err error) {
	w, err := imageWriterOf(b.p.def.Image)
	if err != nil {
		return e, nil, err
	}
	path := filepath.Join(b.dir, name)
	f, err := os.Create(path)
	if err != nil {
		return e, nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	err = w.write(ctx, f, t, b.imageOptions(name, sink))
	if err == nil && b.p.def.Image.Verity {
		trees, err = b.appendTree(ctx, f, name)
	}
	if err != nil {
		return e, nil, b.noWorkRoom(fmt.Errorf("write %s: %w", name, err))
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return e, nil, err
	}
	d, size, err := digest.Reader(f)
	return tree.Entry{Path: name, Kind: tree.File, Mode: 0o444, Size: size, Digest: d, Source: tree.HostFile(path)}, trees, err
}

// appendTree writes the hash tree behind an image. Its salt is the image's own,
// so that nobody can look for blocks that fit many images at once.
func (b *build) appendTree(ctx context.Context, f *os.File, name string) ([]imageinfo.Verity, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	salt := digest.Of([]byte("dm-verity salt " + b.uuid(name)))
	opt := verity.Options{Salt: salt[:], UUID: b.identity("verity " + name), Workers: b.env.Workers}
	root, err := verity.Write(ctx, f, info.Size(), f, info.Size(), opt)
	return []imageinfo.Verity{{Name: name, Blocks: info.Size() / verity.BlockSize, Salt: salt.String(), Root: root}}, err
}

// identity derives an identity from the name, a label and the lock.
func (b *build) identity(label string) uuid.UUID {
	return uuid.Derive(b.p.def.Name, label, b.p.sum.String())
}

// trusted is what the kernel command line says of the images' hash trees.
func trusted(trees []imageinfo.Verity) string {
	if len(trees) == 0 {
		return ""
	}
	words := make([]string, len(trees))
	for n, v := range trees {
		words[n] = machine.Verity{Name: v.Name, Blocks: v.Blocks, Root: v.Root}.String()
	}
	return " " + layout.ParamVerity + "=" + strings.Join(words, ",")
}

// verityOf gives what a manifest says of one image.
func verityOf(trees []imageinfo.Verity, name string) []imageinfo.Verity {
	n := slices.IndexFunc(trees, func(v imageinfo.Verity) bool { return v.Name == name })
	if n < 0 {
		return nil
	}
	return trees[n : n+1]
}
