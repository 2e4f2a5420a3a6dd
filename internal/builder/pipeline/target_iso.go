package pipeline

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"ashlar/internal/builder/boot"
	"ashlar/internal/builder/target"
	"ashlar/internal/contract/layout"
)

// ISOImage is the name of the CD's image.
const ISOImage = "disk.iso"

func startISO(*Artefacts) Start {
	return Start{CDROM: ISOImage, Firmwares: []string{"bios", "uefi"}}
}

// makeISO makes the CD's image. It starts the same kernel and initramfs as the
// disk; the command line says that the CD is the system partition.
func makeISO(ctx context.Context, b *build, gen *generation, dir string) error {
	unpacked, err := b.unpack(ctx, b.lock.Boot, b.env.Progress)
	if err != nil {
		return err
	}
	loaders, err := mergeFiles(unpacked)
	if err != nil {
		return err
	}
	label := target.ISOLabel(b.p.def.Name, b.p.sum.String())
	files, err := boot.Make(boot.Input{
		Loader: boot.FromTree(loaders), Timeout: menuSeconds, CDLabel: label, Generation: gen.id, Title: b.p.def.Name, Epoch: b.epoch,
		Cmdline: b.startLine(gen) + " " + layout.ParamSystem + "=LABEL=" + label + " " + layout.ParamState + "=none",
	})
	if err != nil {
		return fmt.Errorf("prepare boot loader: %w", err)
	}
	if err := b.putGeneration(files.System, gen); err != nil {
		return err
	}
	plan, err := target.PlanISO(target.ISOInput{
		Name: b.p.def.Name, Lock: b.p.sum.String(), Epoch: b.epoch, ESP: files.ESP, System: files.System, CDImage: files.CDImage,
	})
	if err != nil {
		return err
	}
	f, err := os.Create(filepath.Join(dir, ISOImage))
	if err != nil {
		return err
	}
	return errors.Join(plan.Write(ctx, f), f.Close())
}
