package pipeline

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"ashlar/internal/builder/boot"
	"ashlar/internal/builder/definition"
	"ashlar/internal/builder/lock"
)

// maker is how a target of the definition's table is made and started.
type maker struct {
	name string // of a row in definition.Targets

	// inputs are what can reach its bytes besides this program, the bound of
	// times and what the steps before it made: names of inputs().
	inputs []string

	// write makes its artefacts as files of a directory of its own, each by the
	// name it is published under. nil: it has none but the generation's.
	write func(ctx context.Context, b *build, gen *generation, dir string) error

	// lane names targets that are made one after the other, in the order of the
	// table: what one of them leaves serves the next. "": it is alone in its own.
	lane string

	// start says how a machine is started from it; nil: nothing boots it.
	start func(a *Artefacts) Start
}

// The lanes: of the disk image and its other forms, and of what holds the same
// packed layers.
const (
	laneDisk      = "disk"
	laneContainer = "container"
)

// makers is the table: a row for each of definition.Targets.
func makers() []maker {
	return []maker{
		{name: "disk", lane: laneDisk, inputs: []string{"boot packages", "disk", "command line", "identity"}, write: makeDisk, start: startDisk},
		{name: "iso", inputs: []string{"boot packages", "command line", "identity"}, write: makeISO, start: startISO},
		{name: "disk-zst", lane: laneDisk, inputs: []string{"boot packages", "disk", "command line", "identity"}, write: makePacked},
		{name: "qcow2", lane: laneDisk, inputs: []string{"boot packages", "disk", "command line", "identity"}, write: makeQCOW2},
		{name: "vhd", lane: laneDisk, inputs: []string{"boot packages", "disk", "command line", "identity"}, write: makeVHD},
		{name: "vhd-fixed", lane: laneDisk, inputs: []string{"boot packages", "disk", "command line", "identity"}, write: makeFixedVHD},
		{name: "vmdk", lane: laneDisk, inputs: []string{"boot packages", "disk", "command line", "identity"}, write: makeVMDK},
		{name: "kernel", inputs: []string{"command line"}, write: makeKernelTarget, start: startKernel},
		{name: "microvm", inputs: []string{"command line", "identity", "definition"}, write: makeMicroVM, start: startMicroVM},
		{name: "files", inputs: []string{"command line", "identity"}, write: makeFiles},
		{name: "tar", write: makeTar},
		{name: "oci", lane: laneContainer, inputs: containerInputs(), write: makeOCI},
		{name: "lxc", lane: laneContainer, inputs: containerInputs(), write: makeLXC},
		{name: "openvz", lane: laneContainer, inputs: containerInputs(), write: makeOpenVZ},
		{name: "nspawn", lane: laneContainer, inputs: containerInputs(), write: makeNspawn},
		{name: "root"},
		{name: "initramfs", inputs: []string{"app", "command line", "identity"}, write: makeInitramfs, start: startInitramfs},
		{name: "uki", inputs: []string{"app", "boot packages", "command line", "identity"}, write: makeUKI, start: startUKI},
		{name: "netboot", inputs: []string{"command line", "identity"}, write: makeNetboot},
	}
}

func findMaker(name string) maker {
	all := makers()
	return all[slices.IndexFunc(all, func(m maker) bool { return m.name == name })] // a test holds the tables together
}

// targetStep is the name that --explain has for the step of a target.
func targetStep(name string) string { return "target " + name }

func (m maker) step() step {
	after := []string{stepRoot}
	if row, _ := definition.FindTarget(m.name); row.Kernel {
		after = append(after, stepKernel)
	}
	return step{targetStep(m.name), append([]string{"program", "epoch"}, m.inputs...), after}
}

// loaderPackages names the packages of a set of loaders.
func loaderPackages(set, arch string) []string {
	switch set {
	case definition.LoaderDisk:
		return boot.Packages(arch)
	case definition.LoaderUKI:
		return boot.UKIPackages(arch)
	}
	return nil
}

// LeftOut is a target that was asked for with all others and cannot be made.
type LeftOut struct {
	Target string `json:"target"`
	Reason string `json:"reason"`
}

// targets gives the rows that are to be made: those asked for, else the
// definition's. What is asked for by name must be possible.
func (p *project) targets(opt BuildOptions, arch string) (rows []definition.Target, leftOut []LeftOut, err error) {
	names := opt.Targets
	if len(names) == 0 {
		names = p.def.Targets
	}
	for _, name := range names {
		if _, ok := definition.FindTarget(name); !ok && name != definition.TargetAll {
			return nil, nil, fmt.Errorf("%w: there is no target %q; there are %s and %s", ErrNotDeclared, name, strings.Join(definition.TargetNames(), ", "), definition.TargetAll)
		}
	}
	found, lacks := p.def.TargetsFor(names, arch)
	for _, t := range found {
		if t.Loader != "" && !slices.Contains(p.def.Loaders(arch), t.Loader) {
			lacks[t.Name] = fmt.Sprintf("the lock holds no loader for it; add %q to targets in %s and run `ashlar lock %s`", t.Name, DefinitionName, p.dir)
			continue
		}
		rows = append(rows, t)
	}
	for _, t := range definition.Targets() {
		reason, ok := lacks[t.Name]
		if !ok {
			continue
		}
		if slices.Contains(opt.Targets, t.Name) {
			return nil, nil, fmt.Errorf("%w: target %s: %s", ErrNotDeclared, t.Name, reason)
		}
		leftOut = append(leftOut, LeftOut{t.Name, reason})
	}
	if len(rows) == 0 {
		return nil, nil, fmt.Errorf("%w: no target is left for %s: %s: %s", ErrNotDeclared, arch, leftOut[0].Target, leftOut[0].Reason)
	}
	return rows, leftOut, nil
}

// loadersOf gives the locked loader packages if one of the targets needs any.
func loadersOf(locked lock.Arch, targets []definition.Target) []lock.Package {
	if slices.ContainsFunc(targets, func(t definition.Target) bool { return t.Loader != "" }) {
		return locked.Boot
	}
	return nil
}

func targetNames(targets []definition.Target) []string {
	names := []string{}
	for _, t := range targets {
		names = append(names, t.Name)
	}
	return names
}

// madeBy gives the names of files by target.
func madeBy(made []artefact) map[string][]string {
	names := map[string][]string{}
	for _, a := range made {
		names[a.target] = append(names[a.target], filepath.Base(a.path))
	}
	return names
}
