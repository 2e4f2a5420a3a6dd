package erofs

import (
	"fmt"
	"sort"

	"ashlar/internal/foundation/tree"
)

// xattrs reads the xattrs in size bytes of the image.
func (r *Reader) xattrs(place, size int64) ([]tree.Xattr, error) {
	raw := make([]byte, size)
	if err := r.at(raw, place); err != nil {
		return nil, fmt.Errorf("xattrs: %w", err)
	}
	shared := int(raw[4])
	raw = raw[xattrHeader:]
	if 4*shared > len(raw) {
		return nil, fmt.Errorf("xattrs: %d shared ones in %d bytes", shared, len(raw))
	}
	var set []tree.Xattr
	for i := range shared {
		x, err := r.sharedXattr(order.Uint32(raw[4*i:]))
		if err != nil {
			return nil, err
		}
		set = append(set, x)
	}
	for raw = raw[4*shared:]; len(raw) > 0; {
		x, used, err := decodeXattr(raw)
		if err != nil {
			return nil, err
		}
		set, raw = append(set, x), raw[used:]
	}
	sort.Slice(set, func(i, j int) bool { return set[i].Name < set[j].Name })
	for i := 1; i < len(set); i++ {
		if set[i].Name == set[i-1].Name {
			return nil, fmt.Errorf("xattr %q stands twice", set[i].Name)
		}
	}
	return set, nil
}

// sharedXattr reads an entry of the shared area; its id counts 4 bytes.
func (r *Reader) sharedXattr(id uint32) (tree.Xattr, error) {
	place := int64(r.super.XattrBlock)<<blockBits + 4*int64(id)
	raw := make([]byte, xattrEntry)
	if err := r.at(raw, place); err != nil {
		return tree.Xattr{}, fmt.Errorf("shared xattr %d: %w", id, err)
	}
	raw = make([]byte, xattrSize(raw))
	if err := r.at(raw, place); err != nil {
		return tree.Xattr{}, fmt.Errorf("shared xattr %d: %w", id, err)
	}
	x, _, err := decodeXattr(raw)
	return x, err
}

func xattrSize(head []byte) int {
	return int(alignUp(xattrEntry+int64(head[0])+int64(order.Uint16(head[2:])), 4))
}

// decodeXattr takes the entry that raw starts with and gives how long it is.
func decodeXattr(raw []byte) (tree.Xattr, int, error) {
	if len(raw) < xattrEntry || len(raw) < xattrSize(raw) {
		return tree.Xattr{}, 0, fmt.Errorf("xattr: ends beyond its area of %d bytes", len(raw))
	}
	prefix, name := int(raw[1]), int(raw[0])
	if prefix >= len(xattrPrefixes) || xattrPrefixes[prefix] == "" {
		return tree.Xattr{}, 0, fmt.Errorf("xattr: prefix %d is not known", prefix)
	}
	used := xattrSize(raw)
	value := raw[xattrEntry+name:][:order.Uint16(raw[2:])]
	return tree.Xattr{Name: xattrPrefixes[prefix] + string(raw[xattrEntry:][:name]), Value: value[:len(value):len(value)]}, used, nil
}
