// Package version orders Debian package versions.
//
// A version is [epoch:]upstream[-revision], as in Debian Policy 5.6.12. The
// order is dpkg's: the epoch as a number, then upstream, then revision, each
// part compared as alternating runs of non-digits and numbers. The tilde sorts
// before everything, even before the end of a part; letters sort before all
// other characters.
package version

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// maxLength bounds a version in bytes; real ones stay below 100.
const maxLength = 1024

// Version is a parsed version. The zero value is no version at all.
type Version struct {
	Epoch    int32  // 0 when not written
	Upstream string // never empty in a parsed version
	Revision string // "" for native packages
}

// Parse reads a version strictly: the characters that Policy allows, a digit
// first, no white space.
func Parse(s string) (Version, error) {
	if len(s) > maxLength {
		return Version{}, fmt.Errorf("parse version: %d bytes, more than %d", len(s), maxLength)
	}
	var v Version
	epoch, rest := splitEpoch(s)
	if len(rest) != len(s) {
		n, err := strconv.ParseUint(epoch, 10, 32)
		if err != nil || n > math.MaxInt32 {
			return Version{}, fmt.Errorf("parse version %q: epoch %q is no number from 0 to %d", s, epoch, math.MaxInt32)
		}
		v.Epoch = int32(n)
	}
	v.Upstream, v.Revision = splitRevision(rest)
	if len(rest) > len(v.Upstream) && v.Revision == "" {
		return Version{}, fmt.Errorf("parse version %q: nothing after the last dash", s)
	}
	if v.Upstream == "" || !isDigit(v.Upstream[0]) {
		return Version{}, fmt.Errorf("parse version %q: upstream version does not start with a digit", s)
	}
	if i := strings.IndexFunc(v.Upstream, func(r rune) bool { return !allowed(r, ".+-~:") }); i >= 0 {
		return Version{}, fmt.Errorf("parse version %q: character %q in upstream version", s, v.Upstream[i])
	}
	if i := strings.IndexFunc(v.Revision, func(r rune) bool { return !allowed(r, ".+~") }); i >= 0 {
		return Version{}, fmt.Errorf("parse version %q: character %q in revision", s, v.Revision[i])
	}
	return v, nil
}

// String gives the version as it is written in control files.
func (v Version) String() string {
	var b strings.Builder
	// A colon in the upstream part would be read as the epoch's.
	if v.Epoch != 0 || strings.Contains(v.Upstream, ":") {
		b.WriteString(strconv.Itoa(int(v.Epoch)))
		b.WriteByte(':')
	}
	b.WriteString(v.Upstream)
	// A dash in the upstream part would be read as the revision's.
	if v.Revision != "" || strings.Contains(v.Upstream, "-") {
		b.WriteByte('-')
		b.WriteString(orZero(v.Revision))
	}
	return b.String()
}

// Compare gives -1, 0 or 1 as a sorts before, equal to or after b.
func (a Version) Compare(b Version) int {
	if a.Epoch != b.Epoch {
		return sign(int(a.Epoch) - int(b.Epoch))
	}
	if c := comparePart(a.Upstream, b.Upstream); c != 0 {
		return c
	}
	return comparePart(a.Revision, b.Revision)
}

// Compare orders two versions as written, without allocating. It accepts any
// text, as an index may hold versions that Parse refuses; an epoch that is no
// number counts as 0.
func Compare(a, b string) int {
	if a == b {
		return 0
	}
	ae, ar := splitEpoch(a)
	be, br := splitEpoch(b)
	if c := compareNumbers(ae, be); c != 0 {
		return c
	}
	au, av := splitRevision(ar)
	bu, bv := splitRevision(br)
	if c := comparePart(au, bu); c != 0 {
		return c
	}
	return comparePart(av, bv)
}

// splitEpoch cuts at the first colon.
func splitEpoch(s string) (epoch, rest string) {
	if i := strings.IndexByte(s, ':'); i >= 0 {
		return s[:i], s[i+1:]
	}
	return "", s
}

// splitRevision cuts at the last dash.
func splitRevision(s string) (upstream, revision string) {
	if i := strings.LastIndexByte(s, '-'); i >= 0 {
		return s[:i], s[i+1:]
	}
	return s, ""
}

// comparePart walks both parts in step: a run of non-digits, then a number.
func comparePart(a, b string) int {
	for a != "" || b != "" {
		i := 0
		for (i < len(a) && !isDigit(a[i])) || (i < len(b) && !isDigit(b[i])) {
			x, y := weight(a, i), weight(b, i)
			if x != y {
				return sign(x - y)
			}
			i++
		}
		// Up to i both are equal non-digits, so both are at least i long.
		na, restA := cutDigits(a[i:])
		nb, restB := cutDigits(b[i:])
		if c := compareNumbers(na, nb); c != 0 {
			return c
		}
		a, b = restA, restB
	}
	return 0
}

// weight is the rank of byte i within a run of non-digits: tilde, then the end
// of the run, letters, everything else.
func weight(s string, i int) int {
	if i >= len(s) || isDigit(s[i]) {
		return 0
	}
	switch c := s[i]; {
	case c == '~':
		return -1
	case c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z':
		return int(c)
	default:
		return int(c) + 256
	}
}

func cutDigits(s string) (digits, rest string) {
	i := 0
	for i < len(s) && isDigit(s[i]) {
		i++
	}
	return s[:i], s[i:]
}

// compareNumbers orders decimal numbers of any length; "" is 0, as is what
// holds anything but digits.
func compareNumbers(a, b string) int {
	a, b = significant(a), significant(b)
	if len(a) != len(b) {
		return sign(len(a) - len(b))
	}
	return strings.Compare(a, b)
}

func significant(s string) string {
	digits, rest := cutDigits(s)
	if rest != "" {
		return ""
	}
	return strings.TrimLeft(digits, "0")
}

func allowed(r rune, punctuation string) bool {
	return r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || strings.ContainsRune(punctuation, r)
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

func orZero(s string) string {
	if s == "" {
		return "0"
	}
	return s
}

func sign(n int) int {
	switch {
	case n < 0:
		return -1
	case n > 0:
		return 1
	}
	return 0
}
