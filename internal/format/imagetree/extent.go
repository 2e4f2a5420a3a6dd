package imagetree

import (
	"fmt"

	"ashlar/internal/foundation/tree"
)

// Extent is a run of stored bytes that holds a part of a file's content: blocks
// of its own, or a place in what is compressed together with the rests of other
// files, a tail.
type Extent struct {
	Place  int64 // in the image; two files with one content have the same places
	Stored int64 // bytes in the image
	Plain  int64 // bytes of this file in it
	Tail   bool  // shared with other files
	Offset int64 // Tail: of the file's bytes in the plain bytes of what is shared
}

// Extents says where the content of a file of a reader's tree is stored. Holes
// are nowhere. ok is false for entries that come from elsewhere.
func Extents(e *tree.Entry) (list []Extent, ok bool, err error) {
	s, ok := e.Source.(interface{ Extents() ([]Extent, error) })
	if !ok {
		return nil, false, nil
	}
	if list, err = s.Extents(); err != nil {
		return nil, true, fmt.Errorf("find blocks of %s: %w", e.Path, err)
	}
	return list, true, nil
}
