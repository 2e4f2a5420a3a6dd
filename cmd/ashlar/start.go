package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"ashlar/internal/builder/pipeline"
	"ashlar/internal/machine/qemu"
)

// give gives the machine of the flags what it starts from: files below dir.
func (f *machineFlags) give(c *qemu.Config, dir string, s pipeline.Start) error {
	path := func(name string) string {
		if name == "" {
			return ""
		}
		return filepath.Join(dir, name)
	}
	switch {
	case len(s.Firmwares) == 0 && (f.bios || f.uefi):
		return &usageError{errors.New("--bios and --uefi: the target starts without firmware")}
	case f.bios && !slices.Contains(s.Firmwares, string(qemu.BIOS)):
		return &usageError{errors.New("--bios: the target starts by UEFI only")}
	case f.uefi && !slices.Contains(s.Firmwares, string(qemu.UEFI)):
		return &usageError{errors.New("--uefi: the target starts by the BIOS only")}
	case s.Disk == "" && (f.disk != "" || f.diskSize != ""):
		return &usageError{errors.New("--disk and --disk-size: the target has no disk")}
	case len(s.Firmwares) > 0 && !f.bios && !f.uefi:
		c.Firmware = qemu.Firmware(s.Firmwares[0])
	}
	c.Kernel, c.Initrd, c.Cmdline = path(s.Kernel), path(s.Initrd), s.Cmdline
	c.CDROM, c.MicroVM, c.Program = path(s.CDROM), s.MicroVM, path(s.Program)
	c.MemoryMB = max(c.MemoryMB, s.Memory)
	for _, name := range s.Disks {
		c.Disks = append(c.Disks, path(name))
	}
	c.Disk = path(s.Disk)
	if f.disk == "" {
		return nil
	}
	c.Disk, c.Snapshot = f.disk, false
	if err := pipeline.CopyIfAbsent(path(s.Disk), f.disk); err != nil {
		return fmt.Errorf("make the machine's disk: %w", err)
	}
	return nil
}

// startOf says how what was built is started: as the target of the flags, or as
// the first that a machine starts from.
func (f *machineFlags) startOf(made *pipeline.Artefacts) (pipeline.Start, error) {
	name := f.target
	if name == "" {
		var err error
		if name, err = made.FirstStartable(); err != nil {
			return pipeline.Start{}, err
		}
	}
	return made.StartOf(name)
}

// targets are those to build for the flags; nil are the definition's.
func (f *machineFlags) targets() []string {
	if f.target == "" {
		return nil
	}
	return []string{f.target}
}
