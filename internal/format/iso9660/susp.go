package iso9660

import (
	"encoding/binary"
	"strings"

	"ashlar/internal/foundation/tree"
)

// Entries of a System Use area are a signature of two bytes, the length with
// these four, a version, and data (P1281, section 4). No entry has more than
// 255 bytes.
const (
	entryHead    = 4
	maxEntry     = 255
	continuation = 28 // bytes of CE
	ceCount      = 32 // continuations of one record that Linux follows
)

// Flags of NM and SL, and of SL's components (P1282, 4.1.3, 4.1.4).
const (
	flagContinue = 1
	flagCurrent  = 2
	flagParent   = 4
	flagRoot     = 8
)

// typeMask is the file type in PX's mode, which is POSIX's.
const typeMask = 0o170000

func kindOf(mode uint32) tree.Kind {
	for k := tree.File; k <= tree.Socket; k++ {
		if k != tree.HardLink && k.TypeBits() == mode&typeMask {
			return k
		}
	}
	return 0
}

// both is a number in both byte orders (7.3.3).
func both(n uint32) []byte {
	return binary.BigEndian.AppendUint32(binary.LittleEndian.AppendUint32(nil, n), n)
}

func entry(signature string, data ...[]byte) []byte {
	out := []byte{signature[0], signature[1], 0, 1}
	for _, d := range data {
		out = append(out, d...)
	}
	out[2] = byte(len(out))
	return out
}

// sharing stands in the root's first record: here begins what P1281 defines.
func sharing() []byte { return entry("SP", []byte{0xbe, 0xef, 0}) }

// reference names the extension in use (P1281, 5.5; P1282, 4.3).
func reference() []byte {
	const id, text, source = "IEEE_P1282",
		"THE IEEE P1282 PROTOCOL PROVIDES SUPPORT FOR POSIX FILE SYSTEM SEMANTICS",
		"PLEASE CONTACT THE IEEE STANDARDS DEPARTMENT, PISCATAWAY, NJ, USA FOR THE P1282 SPECIFICATION."
	return entry("ER", []byte{byte(len(id)), byte(len(text)), byte(len(source)), 1}, []byte(id+text+source))
}

// attributes gives PX, TF and PN of an inode.
func (n *node) attributes(epoch int64) [][]byte {
	e := n.entry
	stamp := shortTime(bounded(e.MTime, epoch))
	const modify, access, attributes = 2, 4, 8
	out := [][]byte{
		entry("PX", both(e.Kind.TypeBits()|e.Mode), both(n.links), both(e.UID), both(e.GID), both(n.serial)),
		entry("TF", []byte{modify | access | attributes}, stamp[:], stamp[:], stamp[:]),
	}
	if e.Kind == tree.CharDevice || e.Kind == tree.BlockDevice {
		high, low := deviceNumber(e.Major, e.Minor)
		out = append(out, entry("PN", both(high), both(low)))
	}
	return out
}

// deviceNumber gives PN's halves. Numbers of 8 bits stand together in the low
// one, as all readers know them; those of 20 bits stand apart, as Linux does.
func deviceNumber(major, minor uint32) (high, low uint32) {
	if minor <= 0xff {
		return 0, major<<8 | minor
	}
	return major, minor
}

func bounded(seconds, epoch int64) int64 {
	if epoch != 0 {
		return min(seconds, epoch)
	}
	return seconds
}

// nameEntries gives NM: the name, in pieces where it is long.
func nameEntries(name string) [][]byte {
	const most = maxEntry - entryHead - 1
	var out [][]byte
	for len(name) > most {
		out = append(out, entry("NM", []byte{flagContinue}, []byte(name[:most])))
		name = name[most:]
	}
	return append(out, entry("NM", []byte{0}, []byte(name)))
}

// component is a part of a symbolic link between slashes, or a piece of one.
type component struct {
	flags byte
	text  string
}

// components takes a link's text apart so that readers, who put slashes between
// all but pieces of one and behind the root, get it back byte for byte.
func components(target string) []component {
	var out []component
	if strings.HasPrefix(target, "/") {
		out, target = append(out, component{flags: flagRoot}), target[1:]
		if target == "" {
			return out
		}
	}
	const most = maxEntry - entryHead - 1 - 2
	for _, part := range strings.Split(target, "/") {
		switch part {
		case ".":
			out = append(out, component{flags: flagCurrent})
			continue
		case "..":
			out = append(out, component{flags: flagParent})
			continue
		}
		for len(part) > most {
			out = append(out, component{flagContinue, part[:most]})
			part = part[most:]
		}
		out = append(out, component{0, part})
	}
	return out
}

// linkEntries gives SL.
func linkEntries(target string) [][]byte {
	const most = maxEntry - entryHead - 1
	var out [][]byte
	var packed []byte
	for _, c := range components(target) {
		if len(packed)+2+len(c.text) > most {
			out = append(out, entry("SL", []byte{flagContinue}, packed))
			packed = nil
		}
		packed = append(append(packed, c.flags, byte(len(c.text))), c.text...)
	}
	return append(out, entry("SL", []byte{0}, packed))
}
