package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"ashlar/internal/builder/devicebin"
	"ashlar/internal/builder/initramfs"
	"ashlar/internal/contract/machine"
	"ashlar/internal/format/erofs"
	"ashlar/internal/format/squashfs"
	"ashlar/internal/foundation/digest"
	"ashlar/internal/foundation/tree"
)

// imageRoles are the ways to write an image.
var imageRoles = map[string]func(ctx context.Context, f *os.File, t *tree.Tree) error{
	"squashfs":      squashfsAt(0),
	"squashfs-best": squashfsAt(22),
	"erofs-lz4":     erofsLZ4,
}

const imageBlock = 256 << 10 // bytes, as a definition's default

func squashfsAt(level int) func(context.Context, *os.File, *tree.Tree) error {
	return func(ctx context.Context, f *os.File, t *tree.Tree) error {
		c, err := squashfs.NewCompressor("zstd", level)
		if err != nil {
			return err
		}
		_, err = squashfs.Write(ctx, f, t, squashfs.Options{BlockSize: imageBlock, Compressor: c})
		return err
	}
}

func erofsLZ4(ctx context.Context, f *os.File, t *tree.Tree) error {
	c, err := erofs.NewCompressor("lz4", 0)
	if err != nil {
		return err
	}
	const cluster = 64 << 10
	_, err = erofs.Write(ctx, f, t, erofs.Options{Compressor: c, ClusterSize: cluster})
	return err
}

// writeImage packs a directory: ROLE DIR IMAGE.
func writeImage(args []string) error {
	if len(args) != 3 || imageRoles[args[0]] == nil {
		return errors.New("image: want a way to write, a directory and an image")
	}
	t := &tree.Tree{}
	if err := readTree(t, args[1], "."); err != nil {
		return err
	}
	f, err := os.Create(args[2])
	if err != nil {
		return err
	}
	return errors.Join(imageRoles[args[0]](context.Background(), f, t), f.Close())
}

// writeInitramfs makes an initramfs of the kernel in a directory: DIR INITRD.
func writeInitramfs(args []string) error {
	if len(args) != 2 {
		return errors.New("initramfs: want a directory and a file")
	}
	t := &tree.Tree{}
	for _, part := range []string{"usr/lib/modules", "boot"} {
		if err := errors.Join(t.AddParents(part, 0o755, 0), readTree(t, args[0], part)); err != nil {
			return err
		}
	}
	kernel, err := initramfs.FindKernel(t)
	if err != nil {
		return err
	}
	device, err := devicebin.Entry("amd64")
	if err != nil {
		return err
	}
	data, err := initramfs.Build(initramfs.Input{Kernel: kernel, Device: device, Boot: machine.Boot{
		Version: machine.Version, Name: "bench", RootMode: "overlay", Init: "ashlar", DiskWait: 30, System: "LABEL=ashlar-system", State: "LABEL=ashlar-state",
	}})
	if err != nil {
		return err
	}
	return os.WriteFile(args[1], data, 0o644)
}

// readTree puts a directory of the host, or a part of it, into a tree. Hard links
// become files of their own, which the writer stores once.
func readTree(t *tree.Tree, root, part string) error {
	return filepath.WalkDir(filepath.Join(root, part), func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		e, err := hostEntry(path, name)
		if err != nil {
			return fmt.Errorf("read tree: %w", err)
		}
		return t.Put(e)
	})
}

func hostEntry(path, name string) (e tree.Entry, err error) {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return e, err
	}
	e = tree.Entry{Path: name, Mode: st.Mode & 0o7777, UID: st.Uid, GID: st.Gid, MTime: st.Mtim.Sec}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		e.Kind = tree.Dir
	case unix.S_IFLNK:
		e.Kind = tree.Symlink
		e.Target, err = os.Readlink(path)
	case unix.S_IFREG:
		e.Kind, e.Size, e.Source = tree.File, st.Size, tree.HostFile(path)
		var f *os.File
		if f, err = os.Open(path); err != nil {
			return e, err
		}
		e.Digest, _, err = digest.Reader(f)
		err = errors.Join(err, f.Close())
	case unix.S_IFCHR:
		e.Kind, e.Major, e.Minor = tree.CharDevice, unix.Major(st.Rdev), unix.Minor(st.Rdev)
	case unix.S_IFBLK:
		e.Kind, e.Major, e.Minor = tree.BlockDevice, unix.Major(st.Rdev), unix.Minor(st.Rdev)
	default:
		return e, fmt.Errorf("%s: a file of mode %o", path, st.Mode)
	}
	return e, err
}
