package initramfs

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/klauspost/compress/zstd"

	"ashlar/internal/contract/layout"
	"ashlar/internal/format/cpio"
	"ashlar/internal/foundation/tree"
)

// appModules are the modules that a reaper loads, as far as the kernel has
// them: the network card and the random numbers of virtual machines. Others are
// named in the definition; a megabyte is all that may come with an application.
var appModules = []string{"virtio_pci", "virtio_mmio", "virtio_net", "virtio_rng"}

// App is an initramfs that holds one program and its files.
type App struct {
	Root    *tree.Tree // the program and its files
	Program string     // "/usr/bin/app", in Root
	Reaper  *tree.Entry
	Kernel  *Kernel
	Modules []string // for the reaper, or for the program to load; each must exist
	Epoch   int64
	// Compress makes one compressed archive; nil: Pack.
	Compress func(archive []byte, level Level) ([]byte, error)
}

// Level says what a compressed archive is for.
type Level int

// The levels.
const (
	Often  Level = iota // made anew at every change of the program
	Seldom              // stays the same for many builds
)

// BuildApp gives the compressed archives: the kernel unpacks them one after the
// other. With a reaper the first has it, the modules and where the program is;
// the last has the program's files. Without one /init is a link to the program.
func BuildApp(in App) ([]byte, error) {
	system, err := in.system()
	if err != nil {
		return nil, fmt.Errorf("build initramfs: %w", err)
	}
	if in.Root.Lookup(strings.TrimPrefix(in.Program, "/")) == nil {
		return nil, fmt.Errorf("build initramfs: init = %q: the image has no such program", in.Program)
	}
	var out []byte
	for _, part := range []struct {
		tree  *tree.Tree
		level Level
	}{{system, Seldom}, {in.Root, Often}} {
		var archive bytes.Buffer
		if err := cpio.Write(&archive, part.tree, cpio.Options{MTimeLimit: in.Epoch}); err != nil {
			return nil, fmt.Errorf("build initramfs: %w", err)
		}
		compress := in.Compress
		if compress == nil {
			compress = Pack
		}
		packed, err := compress(archive.Bytes(), part.level)
		if err != nil {
			return nil, fmt.Errorf("build initramfs: %w", err)
		}
		out = append(out, packed...)
	}
	return out, nil
}

// system is what there is besides the program's files.
func (in App) system() (*tree.Tree, error) {
	t := &tree.Tree{}
	console := tree.Entry{Path: "dev/console", Kind: tree.CharDevice, Mode: 0o600, Major: 5, Minor: 1}
	entries := []tree.Entry{tree.NewDir(".", 0o755), tree.NewDir("dev", 0o755), tree.NewDir("proc", 0o755), tree.NewDir("run", 0o755), tree.NewDir("sys", 0o755), console}
	names := in.Modules
	if in.Reaper == nil {
		entries = append(entries, tree.NewSymlink(layout.InitramfsInit, in.Program))
	} else {
		reaper := *in.Reaper
		reaper.Path, reaper.Mode = layout.InitramfsInit, 0o755
		entries = append(entries, reaper, tree.NewSymlink(layout.InitramfsApp, in.Program))
		names = append(append([]string{}, appModules...), in.Modules...)
	}
	order, err := addNamed(t, in.Kernel, names, in.Modules)
	if err != nil {
		return nil, err
	}
	if len(order) > 0 {
		entries = append(entries, tree.NewFile(layout.InitramfsOrder, 0o644, []byte(strings.Join(order, "\n")+"\n")))
	}
	for _, e := range entries {
		if err := errors.Join(t.AddParents(e.Path, 0o755, 0), t.Put(e)); err != nil {
			return nil, err
		}
	}
	return t, t.Walk(func(e *tree.Entry) error {
		e.MTime = in.Epoch
		return nil
	})
}

// Pack makes one zstd frame of an archive. The window is the largest that the
// kernel's initramfs decoder is sure to take (8 MiB).
func Pack(archive []byte, level Level) ([]byte, error) {
	speed := zstd.SpeedDefault
	if level == Seldom {
		speed = zstd.SpeedBestCompression
	}
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(speed), zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(8<<20), zstd.WithEncoderCRC(true))
	if err != nil {
		return nil, err
	}
	return enc.EncodeAll(archive, nil), enc.Close()
}
