package pipeline

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"

	"ashlar/internal/builder/devicebin"
	"ashlar/internal/builder/initramfs"
	"ashlar/internal/contract/layout"
	"ashlar/internal/foundation/digest"
	"ashlar/internal/foundation/tree"
)

// AppInitramfs is the artefact of the target initramfs.
const AppInitramfs = "initramfs.img"

func startInitramfs(a *Artefacts) Start {
	return Start{Kernel: layout.GenKernel, Initrd: AppInitramfs, Cmdline: a.Manifest.Cmdline, Bare: true}
}

// makeInitramfs makes an initramfs of the application.
//
// Where a kernel is built from source, this archive before its compression is
// what CONFIG_INITRAMFS_SOURCE takes: the same file as input of the kernel's
// build gives a kernel with the application linked in.
func makeInitramfs(_ context.Context, b *build, gen *generation, dir string) error {
	data, err := b.appInitramfs(gen)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, AppInitramfs), data, 0o600)
}

func (b *build) appInitramfs(gen *generation) ([]byte, error) {
	root, err := b.rootTree(gen)
	if err != nil {
		return nil, err
	}
	for _, ours := range []string{filepath.Dir(layout.InitBinary), "usr/sbin/ashlar"} {
		root.Remove(ours) // the other PID 1 and what it reads
	}
	kernel, err := b.builtKernel(gen)
	if err != nil {
		return nil, err
	}
	in := initramfs.App{
		Root: root, Program: b.p.def.Init, Kernel: kernel, Modules: b.p.def.Kernel.Modules, Epoch: b.epoch, Compress: b.compressArchive,
	}
	if b.p.def.InitReaper {
		reaper, err := devicebin.Reaper(b.arch)
		if err != nil {
			return nil, err
		}
		in.Reaper = &reaper
	}
	return initramfs.BuildApp(in)
}

// builtKernel is the generation's kernel again as what FindKernel finds: its
// modules are read out of their image when they are wanted.
func (b *build) builtKernel(gen *generation) (*initramfs.Kernel, error) {
	modules, err := b.openTree(gen.files[layout.GenModules])
	if err != nil {
		return nil, fmt.Errorf("read modules: %w", err)
	}
	t := &tree.Tree{}
	kernel := gen.files[layout.GenKernel]
	kernel.Path = "boot/vmlinuz-" + gen.kernel.Release
	if err := t.Put(kernel); err != nil {
		return nil, err
	}
	err = modules.Walk(func(e *tree.Entry) error {
		moved := *e
		moved.Path = filepath.Join("lib/modules", e.Path)
		return t.Put(moved)
	})
	if err != nil {
		return nil, err
	}
	return initramfs.FindKernel(t)
}

// archiveKind names the store's records of compressed archives.
const archiveKind = "initramfs"

// compressArchive compresses an archive, once for each content.
func (b *build) compressArchive(archive []byte, level initramfs.Level) ([]byte, error) {
	h := sha256.New()
	fmt.Fprintln(h, b.in["program"], level, digest.Of(archive))
	key := digest.Digest(h.Sum(nil)).String()
	if !b.env.NoCache {
		if data, ok, err := b.env.Store.Record(archiveKind, key); err == nil && ok && len(data) > sha256.Size {
			if sum := digest.Of(data[sha256.Size:]); bytes.Equal(sum[:], data[:sha256.Size]) {
				return data[sha256.Size:], nil
			}
		}
	}
	packed, err := initramfs.Pack(archive, level)
	if err != nil {
		return nil, err
	}
	sum := digest.Of(packed)
	_ = b.env.Store.SetRecord(archiveKind, key, append(sum[:], packed...)) // on a full disk it is made again next time
	return packed, nil
}
