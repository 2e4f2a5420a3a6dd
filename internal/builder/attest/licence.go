package attest

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"ashlar/internal/format/deb822"
	"ashlar/internal/foundation/digest"
)

const (
	maxCopyright   = 4 << 20 // bytes of a copyright file that are looked at
	maxLicenses    = 256     // of one package
	maxLicenseText = 16 << 10
)

// licenses gives the licences that a copyright file names, if it has Debian's
// machine-readable form (packaging-manuals/copyright-format/1.0), as one SPDX
// expression: all of them apply, each to some file of the source package. A
// licence that SPDX has no name for gets a reference of its own, with its text.
func licenses(source string, copyright []byte) (string, map[string]string) {
	if len(copyright) == 0 || len(copyright) > maxCopyright {
		return "", nil
	}
	all, err := deb822.ReadAll(bytes.NewReader(copyright), deb822.Limits{})
	if err != nil || len(all) < 2 || !strings.Contains(all[0].Get("Format"), "copyright-format/1.0") {
		return "", nil
	}
	e := expression{source: source, texts: licenseTexts(all), refs: map[string]string{}}
	var terms []string
	for _, p := range all {
		if _, ok := p.Lookup("Files"); !ok {
			continue
		}
		name := shortName(p)
		if name == "" {
			return "", nil
		}
		terms = append(terms, e.convert(name)...)
	}
	if len(terms) == 0 || len(terms) > maxLicenses {
		return "", nil
	}
	slices.Sort(terms)
	if terms = slices.Compact(terms); len(terms) > 1 {
		for i, term := range terms {
			if strings.Contains(term, " OR ") {
				terms[i] = "(" + term + ")"
			}
		}
	}
	if len(e.refs) == 0 {
		e.refs = nil
	}
	return strings.Join(terms, " AND "), e.refs
}

// shortName is the first line of a License field, its blanks made single.
func shortName(p *deb822.Paragraph) string {
	line, _, _ := strings.Cut(p.Get("License"), "\n")
	return strings.Join(strings.Fields(line), " ")
}

// licenseTexts collects the texts by short name; a name may stand without one.
func licenseTexts(all []*deb822.Paragraph) map[string]string {
	texts := map[string]string{}
	for _, p := range all {
		name := shortName(p)
		_, text, _ := strings.Cut(p.Get("License"), "\n")
		if name != "" && text != "" && texts[name] == "" {
			texts[name] = strings.ToValidUTF8(text[:min(len(text), maxLicenseText)], "�")
		}
	}
	return texts
}

// expression turns the licences of one copyright file into SPDX's language.
type expression struct {
	source string
	texts  map[string]string // by short name
	refs   map[string]string // by LicenseRef: what was needed of the texts
}

// convert gives the terms of "A and B or C", which all apply: in both languages
// "and" binds closer. A comma changes that in Debian's form; what has one is
// kept as a whole.
func (e *expression) convert(text string) []string {
	words := strings.Fields(strings.ToLower(text))
	if last := words[len(words)-1]; strings.ContainsAny(text, ",()") || last == "or" || last == "and" {
		return []string{e.reference(text)}
	}
	var choices []string
	for _, choice := range splitWord(text, "or") {
		var all []string
		for _, name := range splitWord(choice, "and") {
			id := spdxID(name)
			if id == "" {
				id = e.reference(name)
			}
			all = append(all, id)
		}
		choices = append(choices, strings.Join(all, " AND "))
	}
	if len(choices) > 1 {
		return []string{strings.Join(choices, " OR ")}
	}
	return strings.Split(choices[0], " AND ")
}

func splitWord(text, word string) []string {
	var parts []string
	var part []string
	for _, w := range strings.Fields(text) {
		if strings.EqualFold(w, word) && len(part) > 0 {
			parts, part = append(parts, strings.Join(part, " ")), nil
			continue
		}
		part = append(part, w)
	}
	return append(parts, strings.Join(part, " "))
}

// reference names a licence that SPDX does not: the same short name can mean
// another text in another source package.
func (e *expression) reference(name string) string {
	clean := unsafeInRef.ReplaceAllString(name, "-")
	ref := "LicenseRef-" + unsafeInRef.ReplaceAllString(e.source, "-") + "-" + clean
	if clean != name || clean == "" {
		ref += "-" + digest.Of([]byte(name)).String()[:8]
	}
	text := e.texts[name]
	if text == "" {
		text = fmt.Sprintf("The licence called %q in the copyright file of source package %s.", name, e.source)
	}
	e.refs[ref] = text
	return ref
}

var unsafeInRef = regexp.MustCompile(`[^A-Za-z0-9.-]+`)

// spdxNames are Debian's short names, in lower case, that SPDX spells
// otherwise; the copyright-format manual lists most.
var spdxNames = map[string]string{
	"apache-2": "Apache-2.0", "apache-2.0": "Apache-2.0", "artistic": "Artistic-1.0", "artistic-2": "Artistic-2.0", "artistic-2.0": "Artistic-2.0",
	"0bsd": "0BSD", "bsd-2-clause": "BSD-2-Clause", "bsd-3-clause": "BSD-3-Clause", "bsd-4-clause": "BSD-4-Clause", "bsd-4-clause-uc": "BSD-4-Clause-UC",
	"bsl-1.0": "BSL-1.0", "cc0-1.0": "CC0-1.0", "cc0": "CC0-1.0", "cc-by-3.0": "CC-BY-3.0", "cc-by-4.0": "CC-BY-4.0",
	"cc-by-sa-3.0": "CC-BY-SA-3.0", "cc-by-sa-4.0": "CC-BY-SA-4.0", "curl": "curl", "expat": "MIT", "mit": "MIT", "fsfap": "FSFAP",
	"fsful": "FSFUL", "fsfullr": "FSFULLR", "ftl": "FTL", "isc": "ISC", "mpl-1.1": "MPL-1.1", "mpl-2.0": "MPL-2.0", "ntp": "NTP",
	"openldap-2.8": "OLDAP-2.8", "openssl": "OpenSSL", "psf-2": "PSF-2.0", "python-2.0": "Python-2.0", "unlicense": "Unlicense",
	"wtfpl": "WTFPL", "x11": "X11", "zlib": "Zlib", "zpl-2.1": "ZPL-2.1",
}

// gnu matches the GNU licences, as "GPL-2+", "LGPL-2.1", "GFDL-NIV-1.3+", and
// SPDX's own names of them.
var gnu = regexp.MustCompile(`^(A?GPL|LGPL|GFDL|GFDL-NIV)-([0-9])(?:\.([0-9]))?(\+|-or-later|-only)?$`)

// gnuVersions are those that SPDX has names for.
var gnuVersions = map[string][]string{
	"GPL": {"1.0", "2.0", "3.0"}, "LGPL": {"2.0", "2.1", "3.0"}, "AGPL": {"1.0", "3.0"}, "GFDL": {"1.1", "1.2", "1.3"},
}

// spdxID gives SPDX's name of a licence, or "".
func spdxID(name string) string {
	if id := spdxNames[strings.ToLower(name)]; id != "" {
		return id
	}
	m := gnu.FindStringSubmatch(name)
	if m == nil {
		return ""
	}
	family, invariants := m[1], ""
	if family == "GFDL-NIV" {
		family, invariants = "GFDL", "-no-invariants"
	}
	minor := m[3]
	if minor == "" {
		minor = "0"
	}
	version := m[2] + "." + minor
	if !slices.Contains(gnuVersions[family], version) {
		return ""
	}
	if m[4] == "+" || m[4] == "-or-later" {
		return family + "-" + version + invariants + "-or-later"
	}
	return family + "-" + version + invariants + "-only"
}
