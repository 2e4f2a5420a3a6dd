// Package imagetree is what writers and readers of images of file systems do alike
// with trees, whatever the format: refusing what a kernel cannot hold, telling names
// from inodes and back, finding files with equal contents, and reading contents of which
// the size is promised. It knows nothing of how a format stores anything.
package imagetree

import (
	"fmt"
	"path"

	"ashlar/internal/foundation/tree"
)

// Limits of Linux, in bytes.
const (
	MaxName   = 255  // NAME_MAX
	MaxTarget = 4095 // PATH_MAX without the NUL
)

// Check refuses an entry that is no inode which a kernel can have: devices have 12 and
// 20 bits for their numbers. A hard link is none.
func Check(e *tree.Entry) error {
	if len(path.Base(e.Path)) > MaxName {
		return fmt.Errorf("name of %d bytes, at most %d", len(path.Base(e.Path)), MaxName)
	}
	if e.Mode&^0o7777 != 0 {
		return fmt.Errorf("mode %#o has bits beyond 07777", e.Mode)
	}
	switch e.Kind {
	case tree.Dir, tree.Fifo, tree.Socket:
	case tree.File:
		if e.Size < 0 || e.Size > 0 && e.Source == nil {
			return fmt.Errorf("a file of %d bytes without content", e.Size)
		}
	case tree.Symlink:
		if len(e.Target) == 0 || len(e.Target) > MaxTarget {
			return fmt.Errorf("symbolic link of %d bytes, want 1 to %d", len(e.Target), MaxTarget)
		}
	case tree.CharDevice, tree.BlockDevice:
		if e.Major >= 1<<12 || e.Minor >= 1<<20 {
			return fmt.Errorf("device %d,%d is beyond 4095,1048575", e.Major, e.Minor)
		}
	default:
		return fmt.Errorf("cannot write a %s", e.Kind)
	}
	if e.Path == "." && e.Kind != tree.Dir {
		return fmt.Errorf("the root is a %s, not a directory", e.Kind)
	}
	return nil
}
