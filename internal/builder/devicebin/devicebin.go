// Package devicebin carries ashlar-init, built for each architecture by the
// same make target that builds ashlar.
package devicebin

import (
	"embed"
	"fmt"

	"ashlar/internal/foundation/tree"
)

// The directory holds ashlar-init-ARCH files, not under version control.
//
//go:embed bin
var files embed.FS

// Entry gives the device binary for a Debian architecture as a file entry
// whose path the caller sets.
func Entry(arch string) (tree.Entry, error) {
	data, err := files.ReadFile("bin/ashlar-init-" + arch)
	if err != nil {
		return tree.Entry{}, fmt.Errorf("this ashlar carries no ashlar-init for %s: build it with make (%w)", arch, err)
	}
	return tree.NewFile("ashlar-init", 0o555, data), nil
}
