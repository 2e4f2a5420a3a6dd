package pipeline

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"ashlar/internal/builder/boot"
	"ashlar/internal/contract/layout"
	"ashlar/internal/format/tarball"
)

// bootFiles is the name of the archive of a boot partition's files.
const bootFiles = "files.tar"

// makeFiles packs what a boot partition holds for loaders that are there
// already: on a board, on an SD card. The machine finds the partition by its
// label.
func makeFiles(ctx context.Context, b *build, gen *generation, dir string) (err error) {
	files, err := boot.Plain(boot.Input{
		Timeout: menuSeconds, Generation: gen.id, Title: b.p.def.Name, Epoch: b.epoch,
		Cmdline: b.startLine(gen) + " " + layout.ParamSystem + "=LABEL=" + layout.LabelFiles + " " + layout.ParamState + "=none",
	})
	if err != nil {
		return fmt.Errorf("prepare boot loader: %w", err)
	}
	if err := b.putGeneration(files, gen); err != nil {
		return err
	}
	f, err := os.Create(filepath.Join(dir, bootFiles))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	buffered := bufio.NewWriterSize(cancelWriter{ctx, f}, 1<<20)
	return errors.Join(tarball.Write(buffered, files, tarball.Options{}), buffered.Flush())
}
