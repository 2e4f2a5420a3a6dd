package ext4

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"ashlar/internal/foundation/tree"
)

const (
	xattrMagic       = 0xea020000
	xattrHeader      = 32 // of a block of attributes
	xattrEntry       = 16 // of an entry, before its name
	xattrInInode     = inodeSize - 128 - extraSize
	xattrBlockSumOff = 16
)

// xattrPrefix is a namespace and the number that stands for it on disk.
type xattrPrefix struct {
	index byte
	text  string
}

func xattrPrefixes() []xattrPrefix {
	return []xattrPrefix{{1, "user."}, {4, "trusted."}, {6, "security."}, {7, "system."}}
}

type xattr struct {
	index byte
	name  string
	value []byte
}

// xattrsOf turns names into their on-disk form, in on-disk order.
func xattrsOf(list []tree.Xattr) ([]xattr, error) {
	var out []xattr
	for _, x := range list {
		if strings.HasPrefix(x.Name, "system.posix_acl_") {
			return nil, fmt.Errorf("attribute %s: access lists are not supported", x.Name)
		}
		found := false
		for _, p := range xattrPrefixes() {
			if rest, ok := strings.CutPrefix(x.Name, p.text); ok && rest != "" && len(rest) <= 255 {
				out = append(out, xattr{p.index, rest, x.Value})
				found = true
			}
		}
		if !found {
			return nil, fmt.Errorf("attribute %q: the name has no namespace that ext4 knows", x.Name)
		}
	}
	slices.SortFunc(out, func(a, b xattr) int {
		return cmp.Or(cmp.Compare(a.index, b.index), cmp.Compare(len(a.name), len(b.name)), cmp.Compare(a.name, b.name))
	})
	return out, nil
}

func pad4(n int) int { return (n + 3) &^ 3 }

// hash is e_hash: over the name's bytes, then the value's words.
func (x *xattr) hash() uint32 {
	var h uint32
	for _, c := range []byte(x.name) {
		h = h<<5 ^ h>>27 ^ uint32(c)
	}
	value := append(bytes.Clone(x.value), make([]byte, pad4(len(x.value))-len(x.value))...)
	for ; len(value) > 0; value = value[4:] {
		h = h<<16 ^ h>>16 ^ binary.LittleEndian.Uint32(value)
	}
	return h
}

// packXattrs lays entries from the start of b and values from its end; value
// offsets count from base bytes before b. It reports whether all fit.
func packXattrs(b []byte, base int, list []xattr) bool {
	le := binary.LittleEndian
	head, tail := 0, len(b)
	for _, x := range list {
		size := pad4(xattrEntry + len(x.name))
		tail -= pad4(len(x.value))
		if head+size+4 > tail {
			return false
		}
		e := b[head:]
		e[0], e[1] = byte(len(x.name)), x.index
		if len(x.value) > 0 {
			le.PutUint16(e[2:], uint16(base+tail))
		}
		le.PutUint32(e[8:], uint32(len(x.value)))
		le.PutUint32(e[12:], x.hash())
		copy(e[xattrEntry:], x.name)
		copy(b[tail:], x.value)
		head += size
	}
	return true
}

// encodeXattrs gives the part of an inode behind its fields or, when that is
// too small, a block of its own (without its checksum, which needs the block's
// number).
func encodeXattrs(list []xattr) (inInode, block []byte, err error) {
	if len(list) == 0 {
		return nil, nil, nil
	}
	inInode = make([]byte, xattrInInode)
	binary.LittleEndian.PutUint32(inInode, xattrMagic)
	if packXattrs(inInode[4:], 0, list) {
		return inInode, nil, nil
	}
	block = make([]byte, blockSize)
	le := binary.LittleEndian
	le.PutUint32(block, xattrMagic)
	le.PutUint32(block[4:], 1) // references
	le.PutUint32(block[8:], 1) // blocks
	var h uint32
	for _, x := range list {
		h = h<<16 ^ h>>16 ^ x.hash()
	}
	le.PutUint32(block[12:], h)
	if !packXattrs(block[xattrHeader:], xattrHeader, list) {
		return nil, nil, fmt.Errorf("extended attributes need more than %d bytes", blockSize-xattrHeader)
	}
	return nil, block, nil
}

// sumXattrBlock puts the checksum into a block of attributes.
func sumXattrBlock(seed uint32, block []byte, number uint64) {
	le := binary.LittleEndian
	le.PutUint32(block[xattrBlockSumOff:], 0)
	le.PutUint32(block[xattrBlockSumOff:], crc(crc(seed, le.AppendUint64(nil, number)), block))
}
