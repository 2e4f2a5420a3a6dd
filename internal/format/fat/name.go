package fat

import (
	"encoding/binary"
	"fmt"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

const shortSymbols = "!#$%&'()-@^_`{}~"

// names gives the directory's children their short names, one after another.
type names struct {
	short map[[11]byte]bool
	long  map[string]bool // upper case
}

func newNames() *names { return &names{short: map[[11]byte]bool{}, long: map[string]bool{}} }

// add gives the short name for a long one, and whether long-name entries are needed.
func (n *names) add(name string) (short [11]byte, long bool, err error) {
	if err := checkName(name); err != nil {
		return short, false, err
	}
	upper := strings.ToUpper(name)
	if n.long[upper] {
		return short, false, fmt.Errorf("name %q: another name in the directory differs in case only", name)
	}
	n.long[upper] = true
	base, ext, exact := split(upper)
	if short = pack(base, ext); exact && !n.short[short] {
		n.short[short] = true
		return short, upper != name, nil
	}
	for i := 1; i < 1000000; i++ {
		tail := fmt.Sprintf("~%d", i)
		short = pack(base[:min(len(base), 8-len(tail))]+tail, ext)
		if !n.short[short] {
			n.short[short] = true
			return short, true, nil
		}
	}
	return short, false, fmt.Errorf("name %q: no short name is free", name)
}

func checkName(name string) error {
	if !utf8.ValidString(name) {
		return fmt.Errorf("name %q: is not UTF-8", name)
	}
	if strings.ContainsAny(name, `"*/:<>?\|`) || strings.IndexFunc(name, func(r rune) bool { return r < 0x20 || r == 0x7f }) >= 0 {
		return fmt.Errorf("name %q: has a character that FAT does not allow", name)
	}
	if strings.TrimRight(name, ". ") != name || name == "" || strings.HasPrefix(name, " ") {
		return fmt.Errorf("name %q: starts with a space, or ends in a dot or a space", name)
	}
	if len(utf16.Encode([]rune(name))) > maxName {
		return fmt.Errorf("name %q: longer than %d UTF-16 units", name, maxName)
	}
	return nil
}

// split gives the parts of the short name that an upper-case name suggests, and
// whether they are the whole name.
func split(upper string) (base, ext string, exact bool) {
	head, tail := upper, ""
	if dot := strings.LastIndexByte(upper, '.'); dot > 0 {
		head, tail = upper[:dot], upper[dot+1:]
	}
	base, ext = reduce(head), reduce(tail)
	exact = base == head && ext == tail && len(base) <= 8 && len(ext) <= 3
	return base[:min(8, len(base))], ext[:min(3, len(ext))], exact
}

// reduce drops dots and spaces and replaces what short names cannot hold.
func reduce(part string) string {
	var b strings.Builder
	for _, r := range part {
		switch {
		case r == '.' || r == ' ':
		case r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r < 0x80 && strings.ContainsRune(shortSymbols, r):
			b.WriteRune(r)
		default:
			b.WriteByte('_')
		}
	}
	return b.String()
}

func pack(base, ext string) (short [11]byte) {
	copy(short[:], "           ")
	copy(short[:8], base)
	copy(short[8:], ext)
	return short
}

// checksum ties long-name entries to their short name.
func checksum(short [11]byte) byte {
	var sum byte
	for _, c := range short {
		sum = sum>>1 | sum<<7
		sum += c
	}
	return sum
}

// longSlots is where the 13 units are in a long-name entry.
var longSlots = [unitsPerLong]int{1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30}

// longEntries gives the entries of a long name, in disk order: last part first.
func longEntries(name string, short [11]byte) []byte {
	units := utf16.Encode([]rune(name))
	count := (len(units) + unitsPerLong - 1) / unitsPerLong
	out := make([]byte, count*dirEntry)
	for part := range count {
		b := out[(count-1-part)*dirEntry:]
		b[0] = byte(part + 1)
		if part == count-1 {
			b[0] |= 0x40
		}
		b[11], b[13] = attrLong, checksum(short)
		for i, slot := range longSlots {
			unit := uint16(0xffff)
			switch at := part*unitsPerLong + i; {
			case at < len(units):
				unit = units[at]
			case at == len(units):
				unit = 0
			}
			binary.LittleEndian.PutUint16(b[slot:], unit)
		}
	}
	return out
}
