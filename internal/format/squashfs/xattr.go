package squashfs

import (
	"encoding/binary"
	"fmt"
	"math"
	"strings"

	"ashlar/internal/foundation/tree"
)

// xattrPrefixes are the name spaces that the format knows, by their number.
var xattrPrefixes = [...]string{"user.", "trusted.", "security."}

const (
	xattrElsewhere = 0x100   // in the type: the value is a reference to the value
	maxXattrName   = 255     // XATTR_NAME_MAX
	maxXattrValue  = 1 << 16 // XATTR_SIZE_MAX
	maxXattrSet    = 1 << 20 // bytes of all attributes of one inode that the reader takes
)

// xattrRow is one set of attributes in the id table.
type xattrRow struct {
	Ref   uint64
	Count uint32
	Size  uint32 // of all names with a NUL and values
}

// xattrTable holds each set of attributes once.
type xattrTable struct {
	pairs *metadataWriter
	rows  []xattrRow
	known map[string]uint32 // encoded set to row
}

// collectXattrs encodes the attributes of all inodes and sets node.xattr.
func collectXattrs(p *plan, c Compressor) (*xattrTable, error) {
	t := &xattrTable{pairs: &metadataWriter{compressor: c}, known: map[string]uint32{}}
	for _, n := range p.inodes {
		if len(n.entry.Xattrs) == 0 {
			continue
		}
		row, err := t.add(n.entry.Xattrs)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", n.entry.Path, err)
		}
		n.xattr = row
	}
	return t, t.pairs.flush()
}

func (t *xattrTable) add(set []tree.Xattr) (uint32, error) {
	var raw []byte
	var size uint64
	for i, x := range set {
		if i > 0 && set[i-1].Name >= x.Name {
			return 0, fmt.Errorf("extended attributes are not sorted: %s before %s", set[i-1].Name, x.Name)
		}
		var err error
		if raw, err = appendXattr(raw, x); err != nil {
			return 0, err
		}
		size += uint64(len(x.Name) + 1 + len(x.Value))
	}
	if size > maxXattrSet {
		return 0, fmt.Errorf("extended attributes of %d bytes, at most %d", size, maxXattrSet)
	}
	if row, ok := t.known[string(raw)]; ok {
		return row, nil
	}
	block, offset := t.pairs.position()
	row := uint32(len(t.rows))
	t.known[string(raw)] = row
	t.rows = append(t.rows, xattrRow{reference(block, offset), uint32(len(set)), uint32(size)})
	return row, t.pairs.write(raw)
}

func appendXattr(raw []byte, x tree.Xattr) ([]byte, error) {
	for kind, prefix := range xattrPrefixes {
		name, ok := strings.CutPrefix(x.Name, prefix)
		if !ok {
			continue
		}
		if name == "" || len(x.Name) > maxXattrName || strings.ContainsRune(name, 0) || len(x.Value) > maxXattrValue {
			return nil, fmt.Errorf("extended attribute %q of %d bytes: want a name of at most %d and a value of at most %d",
				x.Name, len(x.Value), maxXattrName, maxXattrValue)
		}
		raw = order.AppendUint16(raw, uint16(kind))
		raw = order.AppendUint16(raw, uint16(len(name)))
		raw = append(raw, name...)
		raw = order.AppendUint32(raw, uint32(len(x.Value)))
		return append(raw, x.Value...), nil
	}
	return nil, fmt.Errorf("extended attribute %s: squashfs holds user.*, trusted.* and security.* only", x.Name)
}

// xattrHeader stands where the superblock points to; the index of the rows' blocks follows.
type xattrHeader struct {
	Pairs  uint64 // start of the attributes
	Count  uint32 // of rows
	Unused uint32
}

// write writes the attributes and their rows and gives the header's place.
func (t *xattrTable) write(im *image) (uint64, error) {
	if len(t.rows) == 0 {
		return noTable, nil
	}
	if len(t.rows) > math.MaxInt32 {
		return 0, fmt.Errorf("%d sets of extended attributes are too many", len(t.rows))
	}
	header := xattrHeader{Pairs: uint64(im.at), Count: uint32(len(t.rows))}
	if err := im.append(t.pairs.out); err != nil {
		return 0, err
	}
	m := &metadataWriter{compressor: im.opt.Compressor}
	raw, err := binary.Append(nil, order, t.rows)
	if err != nil {
		return 0, err
	}
	if err := m.write(raw); err != nil {
		return 0, err
	}
	if err := m.flush(); err != nil {
		return 0, err
	}
	rowsAt := uint64(im.at)
	if err := im.append(m.out); err != nil {
		return 0, err
	}
	tail, err := binary.Append(nil, order, header)
	if err != nil {
		return 0, err
	}
	for _, start := range m.starts {
		tail = order.AppendUint64(tail, rowsAt+start)
	}
	at := uint64(im.at)
	return at, im.append(tail)
}
