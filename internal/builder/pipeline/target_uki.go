package pipeline

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"ashlar/internal/builder/boot"
	"ashlar/internal/builder/lock"
	"ashlar/internal/contract/layout"
	"ashlar/internal/foundation/tree"
)

// UKIFile is the artefact of the target uki.
const UKIFile = "uki.efi"

// ukiMemory is what a machine needs, in MiB, that starts such a file by OVMF.
const ukiMemory = 256

func startUKI(a *Artefacts) Start {
	return Start{Program: UKIFile, Firmwares: []string{"uefi"}, Memory: ukiMemory, Bare: strings.HasPrefix(a.Manifest.Init, "/")}
}

// makeUKI makes one file of kernel, initramfs and command line.
func makeUKI(ctx context.Context, b *build, gen *generation, dir string) error {
	data, err := b.appInitramfs(gen)
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
		Cmdline: b.cmdline(), Kernel: gen.files[layout.GenKernel], Initrd: initrd,
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
