package pipeline

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"ashlar/internal/format/erofs"
	"ashlar/internal/format/squashfs"
	"ashlar/internal/format/verity"
	"ashlar/internal/foundation/tree"
)

// The magic numbers of the formats that images are written as.
const (
	squashfsMagic = "hsqs"             // at byte 0
	erofsMagic    = "\xe2\xe1\xf5\xe0" // at byte erofsMagicAt
	erofsMagicAt  = 1024
)

// openedImage is an image of some format.
type openedImage struct {
	format string
	size   int64 // without what stands behind it
	tree   *tree.Tree
}

// readImageOf reads an image of a format that is told by its magic number.
func readImageOf(r io.ReaderAt, size int64) (i openedImage, err error) {
	head := make([]byte, erofsMagicAt+len(erofsMagic))
	n, err := r.ReadAt(head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return i, err
	}
	head = head[:n]
	switch {
	case bytes.HasPrefix(head, []byte(squashfsMagic)):
		reader, err := squashfs.Open(r, size)
		if err != nil {
			return i, err
		}
		i.format, i.size = "squashfs", (reader.Info().Used+verity.BlockSize-1)&^(verity.BlockSize-1)
		i.tree, err = reader.Tree()
		return i, err
	case len(head) > erofsMagicAt && string(head[erofsMagicAt:]) == erofsMagic:
		reader, err := erofs.Open(r, size)
		if err != nil {
			return i, err
		}
		i.format, i.size = "erofs", int64(reader.Info().Blocks)*erofs.BlockSize
		i.tree, err = reader.Tree()
		return i, err
	}
	return i, errors.New("the image is neither squashfs nor EROFS")
}

// addImage adds an image, and the hash tree behind it if there is one.
func (i *Image) addImage(name string, r io.ReaderAt, offset, size int64) error {
	image, err := readImageOf(r, size)
	if err != nil {
		return err
	}
	image.size = min(image.size, size)
	i.addPart(name, image.format, offset, image.size, image.tree)
	if info, err := verity.ReadInfo(r, image.size); err == nil && info.DataSize == image.size {
		i.addPart(name+".verity", "verity", offset+image.size, info.HashSize, nil)
	}
	return nil
}

func (i *Image) addRoot(f *os.File, size int64) error { return i.addImage("root", f, 0, size) }

// addImageOf adds an image that is a file of another one.
func (i *Image) addImageOf(name string, e *tree.Entry) error {
	r, err := e.Open()
	if err != nil {
		return err
	}
	at, ok := r.(io.ReaderAt)
	if !ok {
		return fmt.Errorf("read %s: its content can't be read at an offset", name)
	}
	if err := i.addImage(name, at, 0, e.Size); err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	return nil
}
