package squashfs

import (
	"errors"
	"fmt"
	"sort"

	"ashlar/internal/foundation/tree"
)

// xattrSets is the xattr table as the reader knows it.
type xattrSets struct {
	header xattrHeader
	rows   uint64 // place of the index of the rows' blocks
	known  map[uint32][]tree.Xattr
	taken  int // bytes in known
}

// maxXattrBytes bounds all sets of an image in memory: many rows may point to the same bytes.
const (
	maxXattrBytes = 64 << 20
	xattrCost     = 256 // of each, besides its name and value
)

// xattrPair stands before a name.
type xattrPair struct {
	Type uint16
	Size uint16 // of the name without its prefix
}

func (r *Reader) openXattrs() error {
	r.xattr.known = map[uint32][]tree.Xattr{}
	if r.super.XattrTable == noTable {
		return nil
	}
	raw := make([]byte, 16)
	if err := r.at(raw, r.super.XattrTable); err != nil {
		return err
	}
	r.xattr.header = xattrHeader{Pairs: order.Uint64(raw), Count: order.Uint32(raw[8:])}
	r.xattr.rows = r.super.XattrTable + 16
	return nil
}

// xattrs gives the attributes of a row; sets are shared between inodes.
func (r *Reader) xattrs(row uint32) ([]tree.Xattr, error) {
	if row == noXattr {
		return nil, nil
	}
	r.mu.Lock()
	set, ok := r.xattr.known[row]
	r.mu.Unlock()
	if ok {
		return set, nil
	}
	set, err := r.readXattrs(row)
	if err != nil {
		return nil, fmt.Errorf("extended attributes %d: %w", row, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, x := range set {
		r.xattr.taken += len(x.Name) + len(x.Value) + xattrCost
	}
	if r.xattr.taken > maxXattrBytes {
		return nil, fmt.Errorf("extended attributes of more than %d bytes in all", maxXattrBytes)
	}
	r.xattr.known[row] = set
	return set, nil
}

func (r *Reader) readXattrs(index uint32) ([]tree.Xattr, error) {
	if index >= r.xattr.header.Count {
		return nil, fmt.Errorf("there are %d", r.xattr.header.Count)
	}
	var row xattrRow
	if err := r.row(r.xattr.rows, uint64(index), &row); err != nil {
		return nil, err
	}
	c := r.cursor(r.xattr.header.Pairs+row.Ref>>16, int(row.Ref&0xFFFF))
	var set []tree.Xattr
	total := 0
	for range row.Count {
		x, err := r.readXattr(c)
		if err != nil {
			return nil, err
		}
		if total += len(x.Name) + 1 + len(x.Value); total > maxXattrSet {
			return nil, fmt.Errorf("more than %d bytes", maxXattrSet)
		}
		set = append(set, x)
	}
	sort.Slice(set, func(i, j int) bool { return set[i].Name < set[j].Name })
	for i := 1; i < len(set); i++ {
		if set[i-1].Name == set[i].Name {
			return nil, fmt.Errorf("%q stands there twice", set[i].Name)
		}
	}
	return set, nil
}

func (r *Reader) readXattr(c *cursor) (tree.Xattr, error) {
	var x tree.Xattr
	var pair xattrPair
	if err := c.value(&pair); err != nil {
		return x, err
	}
	kind := int(pair.Type &^ xattrElsewhere)
	if kind >= len(xattrPrefixes) || pair.Size == 0 || pair.Size > maxXattrName {
		return x, fmt.Errorf("name of type %d and %d bytes", pair.Type, pair.Size)
	}
	name, err := c.text(int(pair.Size))
	if err != nil {
		return x, err
	}
	x.Name = xattrPrefixes[kind] + name
	x.Value, err = r.xattrValue(c)
	if err == nil && pair.Type&xattrElsewhere != 0 {
		if len(x.Value) != 8 {
			return x, errors.New("reference to a value has not 8 bytes")
		}
		ref := order.Uint64(x.Value)
		x.Value, err = r.xattrValue(r.cursor(r.xattr.header.Pairs+ref>>16, int(ref&0xFFFF)))
	}
	return x, err
}

func (r *Reader) xattrValue(c *cursor) ([]byte, error) {
	var size uint32
	if err := c.value(&size); err != nil {
		return nil, err
	}
	if size > maxXattrValue {
		return nil, fmt.Errorf("value of %d bytes, at most %d", size, maxXattrValue)
	}
	value := make([]byte, size)
	return value, c.full(value)
}
