package lock

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"path"
	"regexp"
	"strings"
	"time"

	"ashlar/internal/foundation/digest"
)

// The bounds of a lock file.
const (
	MaxSize        = 64 << 20 // bytes of the file
	maxPackageSize = 16 << 30 // bytes of one .deb
)

// ErrStale says that a lock was made from another definition.
var ErrStale = errors.New("the lock is stale")

// Parse reads a lock file and refuses everything that Marshal would not write.
func Parse(data []byte) (*Lock, error) {
	if len(data) > MaxSize {
		return nil, fmt.Errorf("parse lock: %d bytes, at most %d are expected", len(data), MaxSize)
	}
	if err := checkVersion(data); err != nil {
		return nil, fmt.Errorf("parse lock: %w", err)
	}
	l := &Lock{}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(l); err != nil {
		return nil, fmt.Errorf("parse lock: %w", describe(data, dec.InputOffset(), err))
	}
	if err := l.validate(); err != nil {
		return nil, fmt.Errorf("parse lock: %w", err)
	}
	if line := firstDifference(data, l.Marshal()); line > 0 {
		return nil, fmt.Errorf("parse lock: line %d: not in the form that ashlar writes: one package a line, sorted keys, nothing behind the end", line)
	}
	return l, nil
}

// checkVersion looks at the version before all else, so that the lock of a
// newer program is said to be that and not wrong.
func checkVersion(data []byte) error {
	var head struct {
		Version *int `json:"version"`
	}
	if bytes.Contains(data, []byte("\n<<<<<<< ")) {
		return errors.New("it has conflict markers: solve the conflict in the definition and lock again")
	}
	if err := json.Unmarshal(data, &head); err != nil {
		var syntax *json.SyntaxError
		if errors.As(err, &syntax) {
			return describe(data, syntax.Offset, err)
		}
		return err
	}
	switch {
	case head.Version == nil:
		return errors.New("it has no version")
	case *head.Version > Version:
		return fmt.Errorf("it has version %d, this program knows %d: use a newer ashlar", *head.Version, Version)
	case *head.Version < 1:
		return fmt.Errorf("it has version %d, which never was", *head.Version)
	}
	return nil
}

// describe adds the line to an error of encoding/json.
func describe(data []byte, offset int64, err error) error {
	offset = max(0, min(offset, int64(len(data))))
	return fmt.Errorf("line %d: %w", 1+bytes.Count(data[:offset], []byte("\n")), err)
}

// firstDifference gives the first line, from 1, in which two texts differ, 0 if
// they are equal.
func firstDifference(a, b []byte) int {
	if bytes.Equal(a, b) {
		return 0
	}
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return 1 + bytes.Count(a[:n], []byte("\n"))
}

// Check reports whether the lock belongs to the definition with this input
// digest. The error is ErrStale.
func (l *Lock) Check(d digest.Digest) error {
	if l.Definition == d {
		return nil
	}
	return fmt.Errorf("%w: what the definition asks for has changed since it was made; run `ashlar lock DIR` to refresh it", ErrStale)
}

var (
	packageName    = regexp.MustCompile(`^[a-z0-9][a-z0-9+.-]+$`)
	packageVersion = regexp.MustCompile(`^[0-9A-Za-z][0-9A-Za-z.+:~-]*$`)
	word           = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._/+:~ -]*$`)
	fingerprint    = regexp.MustCompile(`^[0-9A-Fa-f]{16,64}$`)
)

func (l *Lock) validate() error {
	switch {
	case l.Definition.IsZero():
		return errors.New("it has no definition digest")
	case l.Name == "":
		return errors.New("it has no name")
	case l.Epoch < 0:
		return fmt.Errorf("the epoch %d is before 1970", l.Epoch)
	}
	archives := map[string]bool{}
	for i, r := range l.Releases {
		if err := r.validate(); err != nil {
			return fmt.Errorf("release %.100q %.100q: %w", r.Archive, r.Suite, err)
		}
		if i > 0 && !before(l.Releases[i-1], r) {
			return fmt.Errorf("release %q %q: not sorted, or twice", r.Archive, r.Suite)
		}
		archives[r.Archive] = true
	}
	for name, arch := range l.Arches {
		if !word.MatchString(name) {
			return fmt.Errorf("architecture %.100q: not a name", name)
		}
		if err := arch.validate(archives); err != nil {
			return fmt.Errorf("architecture %s: %w", name, err)
		}
	}
	return nil
}

func before(a, b Release) bool {
	return a.Archive < b.Archive || a.Archive == b.Archive && a.Suite < b.Suite
}

func (r Release) validate() error {
	date, err := time.Parse(time.RFC3339, r.Date)
	switch {
	case !word.MatchString(r.Archive) || !word.MatchString(r.Suite):
		return errors.New("not a name")
	case err != nil || date.UTC().Format(time.RFC3339) != r.Date:
		return fmt.Errorf("date %.100q: want RFC 3339 in UTC", r.Date)
	case r.Digest.IsZero():
		return errors.New("no digest")
	case len(r.Mirrors) == 0:
		return errors.New("no mirror")
	}
	for _, mirror := range r.Mirrors {
		u, err := url.Parse(mirror)
		if err != nil || u.Scheme == "" || u.Host == "" && u.Scheme != "file" || u.RawQuery != "" || u.Fragment != "" {
			return fmt.Errorf("mirror %.100q: not the URL of an archive", mirror)
		}
	}
	for _, signer := range r.Signers {
		if !fingerprint.MatchString(signer) {
			return fmt.Errorf("signer %.100q: not a fingerprint", signer)
		}
	}
	return nil
}

func (a Arch) validate(archives map[string]bool) error {
	contents := map[string]Package{} // by archive and path: one content
	for _, s := range a.sets() {
		seen := map[string]bool{}
		for i, p := range s.packages {
			if err := p.validate(archives); err != nil {
				return fmt.Errorf("%s: package %.100q: %w", s.name, p.Name, err)
			}
			key := p.Name + ":" + p.Arch
			if seen[key] {
				return fmt.Errorf("%s: package %s: twice", s.name, p.Name)
			}
			seen[key] = true
			if i > 0 && s.name != "packages" && s.packages[i-1].Name > p.Name {
				return fmt.Errorf("%s: package %s: not sorted", s.name, p.Name)
			}
			place := p.Archive + " " + p.Path
			if other, ok := contents[place]; ok && other != p {
				return fmt.Errorf("%s: package %s: %s is also %s %s with other content", s.name, p.Name, p.Path, other.Name, other.Version)
			}
			contents[place] = p
		}
	}
	return nil
}

func (p Package) validate(archives map[string]bool) error {
	switch {
	case !packageName.MatchString(p.Name):
		return errors.New("not a package name")
	case !packageVersion.MatchString(p.Version):
		return fmt.Errorf("version %.100q: not a version", p.Version)
	case !word.MatchString(p.Arch):
		return fmt.Errorf("arch %.100q: not an architecture", p.Arch)
	case !archives[p.Archive]:
		return fmt.Errorf("archive %.100q: no release of it is locked", p.Archive)
	case p.Size <= 0 || p.Size > maxPackageSize:
		return fmt.Errorf("size %d: out of bounds", p.Size)
	case p.Digest.IsZero():
		return errors.New("no digest")
	}
	return checkPath(p.Path)
}

// checkPath refuses a path that could leave the directory it is put below.
func checkPath(name string) error {
	if name == "" || name == "." || strings.HasPrefix(name, "/") || path.Clean(name) != name || name == ".." || strings.HasPrefix(name, "../") {
		return fmt.Errorf("path %.200q: want a clean path relative to the mirror", name)
	}
	for _, r := range name {
		if r < ' ' || r == 0x7f || r == '\\' || r == '\uFFFD' {
			return fmt.Errorf("path %.200q: has a character that no archive uses", name)
		}
	}
	return nil
}
