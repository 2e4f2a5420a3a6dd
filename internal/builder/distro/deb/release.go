package deb

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"ashlar/internal/format/deb822"
	"ashlar/internal/foundation/digest"
	"ashlar/internal/foundation/tree"
)

// release is the text of an InRelease file that counts.
type release struct {
	label      string
	suite      string
	codename   string
	date       time.Time
	validUntil time.Time // zero: for ever
	byHash     bool
	arches     []string
	noAll      bool // the index of an architecture holds the packages for "all" too
	files      map[string]releaseFile
}

// releaseFile is what the signed file tells of another one.
type releaseFile struct {
	digest digest.Digest
	size   int64 // bytes
}

// maxIndexFile bounds the size of any file named in a Release file, in bytes.
// Contents files are larger, but nobody reads them here.
const maxIndexFile = 1 << 30

// parseRelease reads the signed text.
func parseRelease(text []byte) (*release, error) {
	p, err := deb822.ReadOne(bytes.NewReader(text), deb822.Limits{})
	if err != nil {
		return nil, err
	}
	r := &release{
		label: p.Get("Label"), suite: p.Get("Suite"), codename: p.Get("Codename"),
		byHash: p.Get("Acquire-By-Hash") == "yes",
		arches: strings.Fields(p.Get("Architectures")),
		noAll:  slices.Contains(strings.Fields(p.Get("No-Support-for-Architecture-all")), "Packages"),
	}
	if r.date, err = parseDate(p.Get("Date")); err != nil {
		return nil, fmt.Errorf("field Date: %w", err)
	}
	if until, ok := p.Lookup("Valid-Until"); ok {
		if r.validUntil, err = parseDate(until.Value); err != nil {
			return nil, fmt.Errorf("field Valid-Until: %w", err)
		}
	}
	sums, ok := p.Lookup("SHA256")
	if !ok {
		return nil, fmt.Errorf("field SHA256: missing; weaker sums are not taken")
	}
	r.files, err = parseSums(sums)
	return r, err
}

// parseSums reads lines of digest, size and path.
func parseSums(f deb822.Field) (map[string]releaseFile, error) {
	files := map[string]releaseFile{}
	for i, line := range f.Lines() {
		fail := func(err error) error { return fmt.Errorf("line %d: field %s: %w", f.Line+i+1, f.Name, err) }
		parts := strings.Fields(line)
		if len(parts) != 3 {
			return nil, fail(fmt.Errorf("want digest, size and path, got %.80q", line))
		}
		d, err := digest.Parse(parts[0])
		if err != nil {
			return nil, fail(err)
		}
		size, err := strconv.ParseInt(parts[1], 10, 64)
		if err != nil || size < 0 {
			return nil, fail(fmt.Errorf("size %.30q is not a number of bytes", parts[1]))
		}
		if err := checkPath(parts[2]); err != nil {
			return nil, fail(err)
		}
		file := releaseFile{d, size}
		if old, twice := files[parts[2]]; twice && old != file {
			return nil, fail(fmt.Errorf("path %s stands twice", parts[2]))
		}
		files[parts[2]] = file
	}
	return files, nil
}

// checkPath refuses paths that would not stay below the mirror's URL.
func checkPath(path string) error {
	clean, err := tree.Clean(path)
	if err != nil {
		return err
	}
	if clean != strings.TrimPrefix(path, "./") {
		return fmt.Errorf("path %.200q: not clean", path)
	}
	for _, c := range []byte(path) {
		if c <= ' ' || c == 0x7f || c == '?' || c == '#' || c == '\\' {
			return fmt.Errorf("path %.200q: has the character %q", path, c)
		}
	}
	return nil
}

// parseDate reads dates as Release files have them (RFC 5322 in UTC; Ubuntu
// pads hours with a space).
func parseDate(text string) (time.Time, error) {
	text = strings.Join(strings.Fields(text), " ")
	for _, zone := range []string{" UTC", " GMT", " +0000", " Z"} {
		if plain, ok := strings.CutSuffix(text, zone); ok {
			t, err := time.Parse("Mon, 2 Jan 2006 15:04:05", plain)
			if err != nil {
				return time.Time{}, fmt.Errorf("date %.60q: want the form of \"Sat, 31 Jan 2026 12:00:00 UTC\"", text)
			}
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("date %.60q: is not in UTC", text)
}

// clockSkew is how far in the future a file may have been signed.
const clockSkew = time.Hour

// check compares the release with what was asked for, at the time now.
func (r *release) check(a Archive, now time.Time) error {
	if a.Suite != r.suite && a.Suite != r.codename {
		return fmt.Errorf("it is the release of suite %q, codename %q", r.suite, r.codename)
	}
	if r.date.After(now.Add(clockSkew)) {
		return fmt.Errorf("it was signed in the future, on %s, while it is %s here: set the clock of this machine", stamp(r.date), stamp(now))
	}
	if a.Snapshot == "" && !r.validUntil.IsZero() && now.After(r.validUntil) {
		return fmt.Errorf("it expired on %s and it is %s now: the mirror is out of date or the clock of this machine is wrong; "+
			"use another mirror, or pin an older state with base.snapshot", stamp(r.validUntil), stamp(now))
	}
	return nil
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }
