package pipeline

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/klauspost/compress/zstd"

	"ashlar/internal/contract/layout"
	"ashlar/internal/format/cpio"
	"ashlar/internal/format/pe"
	"ashlar/internal/foundation/digest"
	"ashlar/internal/foundation/tree"
)

// readArchives reads archives one after the other, as the kernel unpacks them:
// what a later one names stands in the place of what was there. Of an archive
// that is not compressed, behind one that is, nothing is read.
func readArchives(r *bufio.Reader, limit int64) (*tree.Tree, error) {
	var t *tree.Tree
	for {
		head, err := r.Peek(1)
		switch {
		case err == nil && head[0] == 0: // what fills an archive up
			if _, err := r.Discard(1); err != nil {
				return nil, err
			}
			continue
		case t != nil && (errors.Is(err, io.EOF) || errors.Is(err, zstd.ErrMagicMismatch)):
			return t, nil
		}
		next, err := cpio.Read(r, cpio.Limits{Bytes: limit})
		if err != nil {
			return nil, err
		}
		if t == nil {
			t = next
			continue
		}
		err = next.Walk(func(e *tree.Entry) error { return t.Put(*e) })
		if err != nil {
			return nil, err
		}
	}
}

// isProgram tells programs for UEFI by their names, too: a kernel, which is one
// also, has nothing to look into.
func isProgram(name string, head []byte) bool {
	return strings.HasSuffix(name, ".efi") && bytes.HasPrefix(head, []byte("MZ"))
}

// sectionContent is a section as the content of a file.
type sectionContent struct {
	file    *pe.File
	section *pe.Section
}

// Open implements tree.Content.
func (c sectionContent) Open() (io.ReadCloser, error) {
	return io.NopCloser(c.file.Data(c.section)), nil
}

// addProgram reads a program that UEFI starts: its sections as files, and the
// initramfs of a unified kernel image.
func (i *Image) addProgram(f *os.File, size int64) error {
	program, err := pe.Open(f, size)
	if err != nil {
		return err
	}
	t := &tree.Tree{}
	if err := t.Put(tree.NewDir(".", 0o755)); err != nil {
		return err
	}
	for n := range program.Sections {
		s := &program.Sections[n]
		data := program.Data(s)
		d, length, err := digest.Reader(data)
		if err != nil {
			return err
		}
		name := strings.TrimPrefix(s.Name, ".")
		if err := t.Put(tree.Entry{Path: name, Kind: tree.File, Mode: 0o444, Size: length, Digest: d, Source: sectionContent{program, s}}); err != nil {
			return fmt.Errorf("section %q: %w", s.Name, err)
		}
	}
	i.addPart("sections", "pe", 0, size, t)
	initrd := program.Section(".initrd")
	if initrd == nil {
		return nil
	}
	unpacked, err := readInitrd(program.Data(initrd))
	if err != nil {
		return fmt.Errorf("section .initrd: %w", err)
	}
	i.addPart(layout.GenInitrd, "cpio", int64(initrd.Offset), int64(initrd.VirtualSize), unpacked)
	return nil
}
