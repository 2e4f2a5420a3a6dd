package pipeline

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"ashlar/internal/builder/boot"
	"ashlar/internal/builder/lock"
	"ashlar/internal/contract/imageinfo"
	"ashlar/internal/contract/layout"
	"ashlar/internal/format/cpio"
	"ashlar/internal/foundation/tree"
)

// UKIFile is the artefact of the target uki.
const UKIFile = "uki.efi"

// ukiMemory is what a machine needs, in MiB, that starts such a file by OVMF:
// with a whole server, room for its images as well.
const (
	ukiMemory       = 256
	ukiServerMemory = 768
)

// isApp reports whether PID 1 is a program of the image.
func isApp(init string) bool { return strings.HasPrefix(init, "/") }

func startUKI(a *Artefacts) Start {
	if isApp(a.Manifest.Init) {
		return Start{Program: UKIFile, Firmwares: []string{"uefi"}, Memory: ukiMemory, Bare: true}
	}
	return Start{Program: UKIFile, Firmwares: []string{"uefi"}, Memory: ukiServerMemory}
}

// makeUKI makes one file of kernel, initramfs and command line.
func makeUKI(ctx context.Context, b *build, gen *generation, dir string) error {
	data, cmdline, err := b.ukiInitramfs(gen)
	if err != nil {
		return err
	}
	initrd := tree.NewFile(layout.GenInitrd, 0o444, data)
	packages := slices.DeleteFunc(slices.Clone(b.lock.Boot), func(p lock.Package) bool {
		return !slices.Contains(boot.UKIPackages(b.arch), p.Name)
	})
	unpacked, err := b.unpack(ctx, packages, b.env.Progress)
	if err != nil {
		return err
	}
	loaders, err := mergeFiles(unpacked)
	if err != nil {
		return err
	}
	program, err := boot.UKI{
		Loader: boot.FromTree(loaders), Arch: b.arch, Name: b.p.def.Name, Version: gen.id, Release: gen.kernel.Release,
		Cmdline: cmdline, Kernel: gen.files[layout.GenKernel], Initrd: initrd,
	}.Program()
	if err != nil {
		return err
	}
	f, err := os.Create(filepath.Join(dir, UKIFile))
	if err != nil {
		return err
	}
	return errors.Join(program.Write(f), f.Close())
}

// ukiInitramfs gives the initramfs of one program, or that of the server with
// its images behind it, and the command line.
func (b *build) ukiInitramfs(gen *generation) ([]byte, string, error) {
	if isApp(b.p.def.Init) {
		data, err := b.appInitramfs(gen)
		return data, b.cmdline(), err
	}
	var images []tree.Entry
	for _, name := range []string{layout.GenRoot, layout.GenModules} {
		e := gen.files[name]
		e.Path = layout.InitramfsImages + "/" + name
		images = append(images, e)
	}
	data, err := b.initrdWith(gen, images, false)
	return data, memoryLine(gen.manifest), err
}

// memoryLine is a command line for a machine whose images are files of its
// initramfs.
func memoryLine(m imageinfo.Manifest) string {
	const dir = "/" + layout.InitramfsImages + "/"
	return strings.Join([]string{
		m.Cmdline + trusted(m.Verity), layout.ParamRoot + "=" + dir + layout.GenRoot, layout.ParamModules + "=" + dir + layout.GenModules,
		layout.ParamState + "=none",
	}, " ")
}

// initrdWith gives the generation's initramfs with an archive of more files
// behind it, compressed unless they are so already.
func (b *build) initrdWith(gen *generation, files []tree.Entry, compress bool) ([]byte, error) {
	const limit = 1 << 30
	initrd := gen.files[layout.GenInitrd]
	data, err := initrd.ReadAll(limit)
	if err != nil {
		return nil, err
	}
	t := &tree.Tree{}
	for _, e := range files {
		e.MTime, e.UID, e.GID = b.epoch, 0, 0
		if err := errors.Join(t.AddParents(e.Path, 0o755, b.epoch), t.Put(e)); err != nil {
			return nil, err
		}
	}
	var archive bytes.Buffer
	if err := cpio.Write(&archive, t, cpio.Options{}); err != nil {
		return nil, err
	}
	if !compress {
		// An archive that is not compressed begins at a multiple of 4.
		const word = 4
		data = append(data, make([]byte, (word-len(data)%word)%word)...)
		return append(data, archive.Bytes()...), nil
	}
	packed, err := b.compressArchive(archive.Bytes(), seldom)
	return append(data, packed...), err
}
