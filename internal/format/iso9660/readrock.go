package iso9660

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"ashlar/internal/format/imagetree"
	"ashlar/internal/foundation/tree"
)

// inode is what a directory record says.
type inode struct {
	entry         tree.Entry
	name          string
	place         Extent
	serial, links uint32
	relocated     bool // shown elsewhere

	target   []byte
	noSlash  bool // before the next component of target
	openName bool // NM goes on
}

// systemUse gives what follows the identifier.
func systemUse(record []byte) []byte {
	at := recordHead + int(record[32])
	at += at & 1
	if at >= len(record) {
		return nil
	}
	return record[at:]
}

// inode reads a record with its Rock Ridge entries.
func (w *walker) inode(record []byte) (*inode, error) {
	n := &inode{place: extentOf(record), entry: tree.Entry{Kind: tree.File, Mode: 0o444}}
	n.entry.MTime = parseShortTime(record[18:25])
	if record[25]&flagDirectory != 0 {
		n.entry.Kind, n.entry.Mode = tree.Dir, 0o555
	}
	n.name = plainName(string(record[recordHead : recordHead+int(record[32])]))
	if !w.rock {
		return n, nil
	}
	use := systemUse(record)
	if len(use) > w.skip && string(use[:2]) != "SP" {
		use = use[w.skip:]
	}
	isDir := n.entry.Kind == tree.Dir
	rock := &inode{entry: n.entry, place: n.place, name: n.name, noSlash: true}
	if err := w.entries(rock, use); err != nil {
		return nil, err
	}
	if (rock.entry.Kind == tree.Dir) != isDir {
		return nil, fmt.Errorf("%.300q: Rock Ridge says it is a %s", rock.name, rock.entry.Kind)
	}
	if rock.entry.Kind == tree.Symlink {
		if len(rock.target) == 0 || len(rock.target) > imagetree.MaxTarget {
			return nil, fmt.Errorf("%.300q: symbolic link of %d bytes", rock.name, len(rock.target))
		}
		rock.entry.Target = string(rock.target)
	}
	return rock, nil
}

// plainName is what Linux makes of an identifier.
func plainName(id string) string {
	id, _, _ = strings.Cut(id, ";")
	return strings.ToLower(strings.TrimSuffix(id, "."))
}

// entries reads a System Use area and its continuations.
func (w *walker) entries(n *inode, use []byte) error {
	for range ceCount + 1 {
		more, err := n.area(use)
		if err != nil || more == nil {
			return err
		}
		le := binary.LittleEndian
		offset, size := int64(le.Uint32(more[12:])), int64(le.Uint32(more[20:]))
		e := Extent{int64(le.Uint32(more[4:]))*BlockSize + offset, size}
		if offset+size > BlockSize {
			return fmt.Errorf("continuation of %d bytes at %d of a block", size, offset)
		}
		if err := w.f.inside(e); err != nil {
			return fmt.Errorf("continuation: %w", err)
		}
		use = make([]byte, size)
		if got, err := w.f.r.ReadAt(use, e.Offset); got < len(use) {
			return fmt.Errorf("read continuation: %w", err)
		}
	}
	return fmt.Errorf("more than %d continuations", ceCount)
}

// area reads one area and gives its CE.
func (n *inode) area(use []byte) (more []byte, err error) {
	for len(use) >= entryHead {
		size := int(use[2])
		if size < entryHead || size > len(use) {
			return more, nil // padding, or none of P1281's
		}
		e := use[:size]
		use = use[size:]
		switch string(e[:2]) {
		case "CE":
			if size < continuation {
				return nil, errors.New("CE is too short")
			}
			more = e
		case "ST":
			return more, nil
		default:
			if err := n.rock(e); err != nil {
				return nil, fmt.Errorf("%s: %w", e[:2], err)
			}
		}
	}
	return more, nil
}

// rock reads one entry of Rock Ridge.
func (n *inode) rock(e []byte) error {
	le := binary.LittleEndian
	switch string(e[:2]) {
	case "PX":
		if len(e) < 36 {
			return errors.New("too short")
		}
		mode := le.Uint32(e[4:])
		n.links, n.entry.UID, n.entry.GID = le.Uint32(e[12:]), le.Uint32(e[20:]), le.Uint32(e[28:])
		if len(e) >= 44 {
			n.serial = le.Uint32(e[36:])
		}
		if n.entry.Kind, n.entry.Mode = kindOf(mode), mode&0o7777; n.entry.Kind == 0 {
			return fmt.Errorf("mode %#o is of no kind of file", mode)
		}
	case "PN":
		if len(e) < 20 {
			return errors.New("too short")
		}
		n.entry.Major, n.entry.Minor = device(le.Uint32(e[4:]), le.Uint32(e[12:]))
	case "NM":
		return n.addName(e)
	case "SL":
		return n.addLink(e)
	case "TF":
		return n.addTime(e)
	case "RE":
		n.relocated = true
	}
	return nil
}

// device reads numbers as Linux does: one that fits no 8 bits and stands alone
// in the low half has both.
func device(high, low uint32) (major, minor uint32) {
	if high == 0 && low&^0xff != 0 {
		return low >> 8 & 0xfff, low & 0xff
	}
	return high & 0xfff, low & 0xfffff
}

func (n *inode) addName(e []byte) error {
	if len(e) < entryHead+1 || e[4]&^flagContinue != 0 {
		return nil // . and .., which a directory's first two records have
	}
	if !n.openName {
		n.name = ""
	}
	n.name += string(e[5:])
	n.openName = e[4]&flagContinue != 0
	if len(n.name) > imagetree.MaxName {
		return fmt.Errorf("name is longer than %d bytes", imagetree.MaxName)
	}
	return nil
}

func (n *inode) addLink(e []byte) error {
	if len(e) < entryHead+1 {
		return errors.New("too short")
	}
	for parts := e[5:]; len(parts) > 0; {
		if len(parts) < 2 || 2+int(parts[1]) > len(parts) {
			return errors.New("a component leaves the entry")
		}
		text := parts[2 : 2+int(parts[1])]
		if !n.noSlash {
			n.target = append(n.target, '/')
		}
		switch flags := parts[0]; flags &^ flagContinue {
		case 0:
			n.target = append(n.target, text...)
		case flagCurrent:
			n.target = append(n.target, '.')
		case flagParent:
			n.target = append(n.target, ".."...)
		case flagRoot:
			n.target = append(n.target, '/')
		default:
			return fmt.Errorf("component with flags %#x", flags)
		}
		n.noSlash = parts[0]&(flagContinue|flagRoot) != 0
		parts = parts[2+len(text):]
	}
	if len(n.target) > imagetree.MaxTarget {
		return fmt.Errorf("symbolic link is longer than %d bytes", imagetree.MaxTarget)
	}
	return nil
}

// addTime takes the time of modification: the times that a TF has stand in the
// order of their flags.
func (n *inode) addTime(e []byte) error {
	const creation, modify, long = 1, 2, 0x80
	if len(e) < entryHead+1 || e[4]&modify == 0 || e[4]&long != 0 {
		return nil
	}
	at := 5
	if e[4]&creation != 0 {
		at += 7
	}
	if at+7 > len(e) {
		return errors.New("too short")
	}
	n.entry.MTime = parseShortTime(e[at : at+7])
	return nil
}
