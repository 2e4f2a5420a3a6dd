package definition

import (
	"encoding/json"
	"sort"

	"ashlar/internal/foundation/digest"
)

// inputsForm changes when the form below does, so that old locks are then stale.
const inputsForm = 1

// inputs are the fields of a definition that choose what is locked. The order
// of sets does not count; the order of pins, mirrors and archives does.
type inputs struct {
	Form       int
	Arch       []string // a set
	Base       Base     // components a set
	Packages   []string // a set
	Pins       []Pin
	Essential  bool
	Recommends bool
	Kernel     string   // its package
	Microcode  bool     `json:",omitempty"` // its packages are locked with the kernel
	Systemd    bool     // init = "systemd" installs systemd
	Targets    []string // sets of loader packages that the targets need, of any architecture
}

// InputDigest is the digest of what chooses the inputs of a build: arch, base,
// packages, pins, essential, recommends, kernel.package, kernel.microcode, the loaders that the targets
// need, and whether init is systemd. It does not depend on how the definition is written, nor on defaults
// being written out or left out. A lock is stale when it was made under another.
func (d *Definition) InputDigest() digest.Digest {
	in := inputs{
		Form: inputsForm, Arch: set(d.Arch), Base: d.Base, Packages: set(d.Packages), Pins: list(d.Pins),
		Essential: d.Essential, Recommends: d.Recommends, Kernel: d.Kernel.Package, Microcode: d.Kernel.Microcode, Systemd: d.Init == "systemd", Targets: d.allLoaders(),
	}
	in.Base.Components = set(d.Base.Components)
	in.Base.Mirrors = list(d.Base.Mirrors)
	in.Base.Extra = list(d.Base.Extra)
	for i := range in.Base.Extra {
		in.Base.Extra[i].Components = set(in.Base.Extra[i].Components)
		in.Base.Extra[i].Mirrors = list(in.Base.Extra[i].Mirrors)
	}
	data, err := json.Marshal(in)
	if err != nil {
		panic("marshal inputs: " + err.Error()) // strings, numbers and booleans only
	}
	return digest.Of(data)
}

func (d *Definition) allLoaders() []string {
	var names []string
	for _, arch := range d.Arch {
		names = append(names, d.Loaders(arch)...)
	}
	return set(names)
}

// set copies a list sorted and without repetition; nil and empty are the same.
func set(list []string) []string {
	sorted := append([]string{}, list...)
	sort.Strings(sorted)
	unique := sorted[:0]
	for i, element := range sorted {
		if i == 0 || element != sorted[i-1] {
			unique = append(unique, element)
		}
	}
	return unique
}

// list copies a list; nil and empty are the same.
func list[E any](elements []E) []E { return append([]E{}, elements...) }
