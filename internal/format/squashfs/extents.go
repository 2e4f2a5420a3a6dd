package squashfs

import (
	"fmt"

	"ashlar/internal/foundation/tree"
)

// Extent is a run of stored bytes that holds a part of a file's content: a
// block of its own, or a place in a fragment block that other files share.
type Extent struct {
	Place  int64 // of the block in the image; two files with one content have the same places
	Stored int64 // bytes of the block in the image
	Plain  int64 // bytes of this file in it
	Tail   bool  // in a fragment block
	Offset int64 // Tail: of the file's bytes in the block's plain bytes
}

// Extents says where the content of a file of a Reader's tree is stored. Holes
// are nowhere. ok is false for entries that come from elsewhere.
func Extents(e *tree.Entry) (list []Extent, ok bool, err error) {
	s, ok := e.Source.(source)
	if !ok {
		return nil, false, nil
	}
	if list, err = s.extents(); err != nil {
		return nil, true, fmt.Errorf("find blocks of %s: %w", e.Path, err)
	}
	return list, true, nil
}

func (s source) extents() ([]Extent, error) {
	f, err := s.r.inode(s.ref)
	if err != nil {
		return nil, err
	}
	var list []Extent
	size, place := uint64(s.r.super.BlockSize), f.file.Start
	for left := f.file.Size; left > 0; left -= min(left, size) {
		plain := min(left, size)
		if plain < size && f.file.Fragment != noFragment {
			row, err := s.r.fragment(f.file.Fragment)
			if err != nil {
				return nil, err
			}
			return append(list, Extent{int64(row.Start), int64(row.Word &^ blockPlain), int64(plain), true, int64(f.file.Offset)}), nil
		}
		var word uint32
		if err := f.words.value(&word); err != nil {
			return nil, err
		}
		stored := uint64(word &^ blockPlain)
		if stored > size || place > s.r.super.Used || stored > s.r.super.Used-place {
			return nil, fmt.Errorf("block of %d bytes at %d: beyond the image's %d", stored, place, s.r.super.Used)
		}
		if stored > 0 {
			list = append(list, Extent{Place: int64(place), Stored: int64(stored), Plain: int64(plain)})
		}
		place += stored
	}
	return list, nil
}

// fragment gives a row of the fragment table, which stays in the image's bounds.
func (r *Reader) fragment(index uint32) (row fragmentEntry, err error) {
	if index >= r.super.Fragments {
		return row, fmt.Errorf("fragment block %d of %d", index, r.super.Fragments)
	}
	if err := r.row(r.super.FragTable, uint64(index), &row); err != nil {
		return row, fmt.Errorf("fragment block %d: %w", index, err)
	}
	if stored := uint64(row.Word &^ blockPlain); stored > uint64(r.super.BlockSize) || row.Start > r.super.Used || stored > r.super.Used-row.Start {
		return row, fmt.Errorf("fragment block %d has %d bytes at %d: beyond the image's %d", index, stored, row.Start, r.super.Used)
	}
	return row, nil
}
