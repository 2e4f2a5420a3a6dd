package pipeline

import (
	"fmt"
	"slices"
	"strings"

	"ashlar/internal/builder/definition"
)

// Start is how a machine is started from artefacts. Files are named as they
// are published; what is empty is not there.
type Start struct {
	Disk    string   `json:"disk,omitempty"`   // on virtio-blk
	Disks   []string `json:"disks,omitempty"`  // further ones, read only, in order
	CDROM   string   `json:"cdrom,omitempty"`  // in the drive
	Kernel  string   `json:"kernel,omitempty"` // started directly, with Initrd and Cmdline
	Initrd  string   `json:"initrd,omitempty"`
	Cmdline string   `json:"cmdline,omitempty"`

	Program string `json:"program,omitempty"` // that UEFI starts

	Bare      bool     `json:"bare,omitempty"`      // the machine has no agent: only its ports tell that it runs
	MicroVM   bool     `json:"microvm,omitempty"`   // no firmware and no PCI: virtio-mmio
	Firmwares []string `json:"firmwares,omitempty"` // that start it, of "bios" and "uefi"; the first is the usual one
	Memory    int      `json:"memory,omitempty"`    // MiB, the least it starts with; 0: whatever runs it
}

func startDisk(*Artefacts) Start { return StartImage(DiskImage) }

// StartImage says how a disk image of that name is started.
func StartImage(name string) Start { return Start{Disk: name, Firmwares: []string{"bios", "uefi"}} }

// StartOf says how the target of that name is started.
func (a *Artefacts) StartOf(target string) (Start, error) {
	if _, ok := definition.FindTarget(target); !ok {
		return Start{}, fmt.Errorf("%w: there is no target %q", ErrNotDeclared, target)
	}
	m := findMaker(target)
	if m.start == nil {
		return Start{}, fmt.Errorf("%w: target %s is nothing that a machine starts from; %s are", ErrNotDeclared, target, strings.Join(startable(), ", "))
	}
	return m.start(a), nil
}

// FirstStartable gives the first of the targets made that a machine starts from.
func (a *Artefacts) FirstStartable() (string, error) {
	for _, name := range startable() {
		if slices.Contains(a.Targets, name) {
			return name, nil
		}
	}
	return "", fmt.Errorf("%w: of the targets %s, no machine starts; add one of %s to %s", ErrNotDeclared, strings.Join(a.Targets, ", "), strings.Join(startable(), ", "), DefinitionName)
}

func startable() []string {
	var names []string
	for _, m := range makers() {
		if m.start != nil {
			names = append(names, m.name)
		}
	}
	return names
}

func (a *Artefacts) starts() map[string]Start {
	all := map[string]Start{}
	for _, name := range startable() {
		if slices.Contains(a.Targets, name) {
			all[name] = findMaker(name).start(a)
		}
	}
	return all
}
