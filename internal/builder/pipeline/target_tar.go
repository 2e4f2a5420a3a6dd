package pipeline

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/klauspost/compress/zstd"

	"ashlar/internal/format/tarball"
)

// tarFile is the root as one archive.
const tarFile = "rootfs.tar.zst"

func makeTar(ctx context.Context, b *build, gen *generation, dir string) (err error) {
	root, err := b.rootTree(gen)
	if err != nil {
		return err
	}
	f, err := os.Create(filepath.Join(dir, tarFile))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return compressed(ctx, f, func(w io.Writer) error {
		return tarball.Write(w, root, tarball.Options{MTimeLimit: b.epoch})
	})
}

// compressed gives write a writer whose bytes go to w as one zstd frame. One
// encoder, however many processors there are, makes the same bytes everywhere.
func compressed(ctx context.Context, w io.Writer, write func(io.Writer) error) error {
	buffered := bufio.NewWriterSize(w, 1<<20)
	enc, err := zstd.NewWriter(buffered, zstd.WithEncoderLevel(zstd.SpeedDefault), zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(true))
	if err != nil {
		return fmt.Errorf("compress: %w", err)
	}
	if err := write(cancelWriter{ctx, enc}); err != nil {
		return errors.Join(err, enc.Close())
	}
	return errors.Join(enc.Close(), buffered.Flush())
}

// cancelWriter ends a long writing when the context does.
type cancelWriter struct {
	ctx context.Context
	w   io.Writer
}

func (c cancelWriter) Write(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.w.Write(p)
}
