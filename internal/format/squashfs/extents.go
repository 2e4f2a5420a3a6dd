package squashfs

import (
	"fmt"

	"ashlar/internal/format/imagetree"
)

// Extents says where the content is stored: see imagetree.Extents. Places in fragment blocks are tails.
func (s source) Extents() ([]imagetree.Extent, error) {
	f, err := s.r.inode(s.ref)
	if err != nil {
		return nil, err
	}
	var list []imagetree.Extent
	size, place := uint64(s.r.super.BlockSize), f.file.Start
	for left := f.file.Size; left > 0; left -= min(left, size) {
		plain := min(left, size)
		if plain < size && f.file.Fragment != noFragment {
			row, err := s.r.fragment(f.file.Fragment)
			if err != nil {
				return nil, err
			}
			return append(list, imagetree.Extent{Place: int64(row.Start), Stored: int64(row.Word &^ blockPlain), Plain: int64(plain), Tail: true, Offset: int64(f.file.Offset)}), nil
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
			list = append(list, imagetree.Extent{Place: int64(place), Stored: int64(stored), Plain: int64(plain)})
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
