package iso9660

import (
	"strconv"
	"strings"
)

// ECMA-119's own names, of eight and three d-characters (7.5, 7.6.1, 10.1).
// Those who read Rock Ridge never see them; they must differ within a directory.
const (
	maxStem      = 8
	maxExtension = 3
	version      = ";1"
)

// identifier is the name of a directory record in its parts, for the order of 9.3.
type identifier struct{ stem, extension string }

func (i identifier) compare(j identifier) int {
	// Shorter names count as filled with spaces, which stand before all others.
	if order := strings.Compare(i.stem, j.stem); order != 0 {
		return order
	}
	return strings.Compare(i.extension, j.extension)
}

// bytes gives the identifier as records hold it.
func (i identifier) bytes(dir bool) []byte {
	if dir {
		return []byte(i.stem)
	}
	return []byte(i.stem + "." + i.extension + version)
}

// identifiers gives the names of one directory's entries.
type identifiers struct {
	taken map[identifier]bool
	next  map[identifier]int
}

// add makes a new identifier that resembles the name.
func (s *identifiers) add(name string, dir bool) identifier {
	if s.taken == nil {
		s.taken, s.next = map[identifier]bool{}, map[identifier]int{}
	}
	stem, extension := name, ""
	if dot := strings.LastIndexByte(name, '.'); dot > 0 && !dir {
		stem, extension = name[:dot], name[dot+1:]
	}
	id := identifier{dCharacters(stem, maxStem), dCharacters(extension, maxExtension)}
	if id.stem == "" {
		id.stem = "_"
	}
	for first := id; s.taken[id]; s.next[first]++ {
		number := strconv.Itoa(s.next[first])
		id.stem = first.stem[:min(len(first.stem), maxStem-len(number))] + number
	}
	s.taken[id] = true
	return id
}

// dCharacters puts _ for every byte that is not allowed.
func dCharacters(text string, most int) string {
	out := []byte(strings.ToUpper(text[:min(len(text), most)]))
	out = out[:min(len(out), most)] // upper case may be longer
	for i, c := range out {
		if !isDCharacter(c) {
			out[i] = '_'
		}
	}
	return string(out)
}

func isDCharacter(c byte) bool {
	return c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_'
}
