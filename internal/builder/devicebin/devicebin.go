// Package devicebin carries the programs of the machine, built for each
// architecture by the same make target that builds ashlar.
package devicebin

import (
	"embed"
	"fmt"

	"ashlar/internal/foundation/tree"
)

// The directory holds PROGRAM-ARCH files, not under version control.
//
//go:embed bin
var files embed.FS

// Entry gives ashlar-init for a Debian architecture as a file entry whose path
// the caller sets.
func Entry(arch string) (tree.Entry, error) { return program("ashlar-init", arch) }

// Reaper gives ashlar-reaper, PID 1 of an initramfs with one application.
func Reaper(arch string) (tree.Entry, error) { return program("ashlar-reaper", arch) }

// Fetch gives ashlar-fetch, which the initramfs of the target netboot runs.
func Fetch(arch string) (tree.Entry, error) { return program("ashlar-fetch", arch) }

func program(name, arch string) (tree.Entry, error) {
	data, err := files.ReadFile("bin/" + name + "-" + arch)
	if err != nil {
		return tree.Entry{}, fmt.Errorf("this ashlar carries no %s for %s: build it with make (%w)", name, arch, err)
	}
	return tree.NewFile(name, 0o555, data), nil
}
