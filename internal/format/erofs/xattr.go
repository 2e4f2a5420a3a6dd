package erofs

import (
	"fmt"
	"strings"

	"ashlar/internal/foundation/tree"
)

// prefixes of names, by their number in the format. The two ACLs have no more name than that.
var xattrPrefixes = [...]string{
	1: "user.", 2: "system.posix_acl_access", 3: "system.posix_acl_default", 4: "trusted.", 6: "security.",
}

const (
	xattrHeader   = 12 // bytes before the entries of an inode
	xattrEntry    = 4  // bytes before name and value
	maxShared     = 255
	maxXattrWords = 1<<16 - 1 // an inode's xattrs: header and so many less one times 4 bytes
	maxValue      = 1<<16 - 1
)

// xattr is an encoded entry: its head, name and value, padded to 4 bytes.
type xattr string

// xattrSet is what an inode has of them.
type xattrSet struct {
	inline []xattr
	shared []int // indexes of plan.shared
}

func splitName(name string) (prefix uint8, rest string, ok bool) {
	for i, p := range xattrPrefixes {
		if p == "" || !strings.HasPrefix(name, p) {
			continue
		}
		isACL := !strings.HasSuffix(p, ".")
		if rest := name[len(p):]; isACL == (rest == "") {
			return uint8(i), rest, true
		}
	}
	return 0, "", false
}

func checkXattrs(set []tree.Xattr) error {
	words := int64(xattrHeader / 4)
	for i, x := range set {
		_, rest, ok := splitName(x.Name)
		switch {
		case !ok:
			return fmt.Errorf("xattr %q: the format has user.*, trusted.*, security.* and POSIX ACLs only", x.Name)
		case i > 0 && x.Name <= set[i-1].Name:
			return fmt.Errorf("xattr %q: the list is not sorted", x.Name)
		case len(rest) > maxName:
			return fmt.Errorf("xattr %q: name of %d bytes behind its prefix, at most %d", x.Name, len(rest), maxName)
		case len(x.Value) > maxValue:
			return fmt.Errorf("xattr %s: value of %d bytes, at most %d", x.Name, len(x.Value), maxValue)
		}
		words += int64(len(encodeXattr(x))) / 4
	}
	if words-2 > maxXattrWords {
		return fmt.Errorf("xattrs of %d bytes, at most %d", words*4, (maxXattrWords+2)*4)
	}
	return nil
}

func encodeXattr(x tree.Xattr) xattr {
	prefix, rest, _ := splitName(x.Name)
	raw := []byte{uint8(len(rest)), prefix}
	raw = order.AppendUint16(raw, uint16(len(x.Value)))
	raw = append(append(raw, rest...), x.Value...)
	return xattr(append(raw, make([]byte, -len(raw)&3)...))
}

// shareXattrs finds the entries that more than one inode has. They are stored
// once, in the order in which the first two inodes want them.
func (p *plan) shareXattrs() {
	count := map[xattr]int{}
	for _, n := range p.inodes {
		for _, x := range n.entry.Xattrs {
			count[encodeXattr(x)]++
		}
	}
	index := map[xattr]int{}
	for _, n := range p.inodes {
		for _, x := range n.entry.Xattrs {
			raw := encodeXattr(x)
			if count[raw] < 2 || len(n.xattrs.shared) == maxShared {
				n.xattrs.inline = append(n.xattrs.inline, raw)
				continue
			}
			if _, ok := index[raw]; !ok {
				index[raw] = len(p.shared)
				p.shared = append(p.shared, raw)
			}
			n.xattrs.shared = append(n.xattrs.shared, index[raw])
		}
	}
}

// size is what the set takes behind the inode.
func (s xattrSet) size() int64 {
	if len(s.inline)+len(s.shared) == 0 {
		return 0
	}
	n := int64(xattrHeader + 4*len(s.shared))
	for _, x := range s.inline {
		n += int64(len(x))
	}
	return n
}

// words is the inode's count of them.
func (s xattrSet) words() uint16 {
	if s.size() == 0 {
		return 0
	}
	return uint16((s.size()-xattrHeader)/4 + 1)
}

// encode gives the set; ids are those of the shared entries.
func (s xattrSet) encode(ids []uint32) []byte {
	if s.size() == 0 {
		return nil
	}
	out := make([]byte, xattrHeader, s.size())
	out[4] = uint8(len(s.shared))
	for _, i := range s.shared {
		out = order.AppendUint32(out, ids[i])
	}
	for _, x := range s.inline {
		out = append(out, x...)
	}
	return out
}
