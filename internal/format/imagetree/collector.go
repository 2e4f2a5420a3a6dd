package imagetree

import (
	"fmt"

	"ashlar/internal/foundation/tree"
)

// Bounds of a tree in memory, of which each entry counts its path and entryCost.
const (
	maxTreeBytes = 2 << 30
	entryCost    = 256
	maxPath      = 4 * 4096 // beyond PATH_MAX, which bounds what one call can name
)

// Collector makes a tree of the names that a reader finds in an image.
type Collector struct {
	tree    tree.Tree
	taken   int64
	seen    map[uint64][]string // names of each inode
	several []uint64            // inodes with several names, in the order found
}

// Add puts an inode under the entry's path; id tells inodes apart, more is what
// the entry has in memory besides its path, in bytes. A directory may have one name: so there
// are no loops, and the depth is bounded by the length of paths.
func (c *Collector) Add(id uint64, e tree.Entry, more int64) error {
	c.taken += int64(len(e.Path)) + entryCost + more
	if c.taken > maxTreeBytes || len(e.Path) > maxPath {
		return fmt.Errorf("%.100s…: paths are too long or too many", e.Path)
	}
	if c.seen == nil {
		c.seen = map[uint64][]string{}
	}
	names := c.seen[id]
	c.seen[id] = append(names, e.Path)
	if len(names) > 0 && e.Kind == tree.Dir {
		return fmt.Errorf("directory %s is also %s", e.Path, names[0])
	}
	if len(names) == 1 {
		c.several = append(c.several, id)
	}
	return c.tree.Put(e)
}

// Tree gives the tree, to which nothing may be added any more. Of the names of one
// inode the first by path is the entry and the others are hard links to it.
func (c *Collector) Tree() (*tree.Tree, error) {
	for _, id := range c.several {
		names := c.seen[id]
		owner := names[0]
		for _, name := range names {
			owner = min(owner, name)
		}
		for _, name := range names {
			if name == owner {
				continue
			}
			if err := c.tree.Put(tree.Entry{Path: name, Kind: tree.HardLink, Target: owner}); err != nil {
				return nil, err
			}
		}
	}
	return &c.tree, nil
}
