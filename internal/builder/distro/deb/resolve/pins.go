package resolve

import (
	"fmt"
	"path"
	"strings"

	"ashlar/internal/builder/distro/deb/pkginfo"
)

// Pin gives versions another priority than their archive's, as in
// apt_preferences(5). Empty fields match everything.
type Pin struct {
	Package  string // name or shell pattern; "" or "*" for all
	Version  string // version or shell pattern
	Archive  string // Origin.Archive, Suite or Codename, or a shell pattern of them
	Priority int    // negative: never; 0 is not allowed
}

func (p Pin) String() string {
	text := "pin " + p.pattern()
	if p.Version != "" {
		text += "=" + p.Version
	}
	if p.Archive != "" {
		text += " from " + p.Archive
	}
	return fmt.Sprintf("%s (priority %d)", text, p.Priority)
}

func (p Pin) pattern() string {
	if p.Package == "" {
		return "*"
	}
	return p.Package
}

// general reports whether the pin is about an archive, not about packages.
func (p Pin) general() bool { return p.pattern() == "*" && p.Version == "" }

func (p Pin) check() error {
	for _, pattern := range []string{p.Package, p.Version, p.Archive} {
		if _, err := path.Match(pattern, ""); err != nil {
			return fmt.Errorf("read %s: pattern %q: %w", p, pattern, err)
		}
	}
	if p.Priority == 0 || p.Priority > 32767 || p.Priority < -32768 {
		return fmt.Errorf("read %s: priority is not from -32768 to 32767 or is 0", p)
	}
	return nil
}

// matches reports whether the pin is about a version of an archive.
func (p Pin) matches(v *ver, o *pkginfo.Origin) bool {
	return glob(p.pattern(), v.info.Name) && (p.Version == "" || glob(p.Version, v.info.Version)) && p.matchesOrigin(o)
}

func (p Pin) matchesOrigin(o *pkginfo.Origin) bool {
	return p.Archive == "" || o != nil && inRelease(o, p.Archive)
}

// inRelease reports whether an archive goes by a name.
func inRelease(o *pkginfo.Origin, pattern string) bool {
	return glob(pattern, o.Archive) || glob(pattern, o.Suite) || glob(pattern, o.Codename)
}

// glob compares without regard to case, as apt does.
func glob(pattern, text string) bool {
	if pattern == text {
		return true
	}
	ok, err := path.Match(strings.ToLower(pattern), strings.ToLower(text))
	return err == nil && ok
}

// priority is a version's pin priority and what gave it: the first pin about
// the package that matches, else the best priority of its archives, which the
// first general pin of each replaces.
func (s *solver) priority(v verID) (int, string) {
	ver := &s.u.versions[v]
	for _, pin := range s.req.Pins {
		if pin.general() {
			continue
		}
		if pin.Archive == "" && pin.matches(ver, nil) {
			return pin.Priority, pin.String()
		}
		for o := range ver.origins {
			if pin.matches(ver, o) {
				return pin.Priority, pin.String()
			}
		}
	}
	best, from := -1<<31, ""
	for o := range ver.origins {
		p, why := o.Priority, fmt.Sprintf("%s has priority %d", o.Archive, o.Priority)
		for _, pin := range s.req.Pins {
			if pin.general() && pin.matchesOrigin(o) {
				p, why = pin.Priority, pin.String()
				break
			}
		}
		if p > best {
			best, from = p, why
		}
	}
	if from == "" {
		return defaultPriority, "no archive"
	}
	return best, from
}

// defaultPriority is that of an archive which is not pinned.
const defaultPriority = 500

// policy is the candidate that priorities give: the highest version among
// those of the highest positive priority.
func (s *solver) policy(n nameID) verID {
	if s.excluded[n] {
		return none
	}
	best, candidate := 0, none
	for _, v := range s.u.names[n].versions {
		if p, _ := s.priority(v); p > best {
			best, candidate = p, v
		}
	}
	return candidate
}
