// Package pkginfo holds what an archive says about a binary package: plain
// values that the repository client fills and the resolver reads.
//
// Relation fields (Depends and the like) are kept as written in the index; the
// order of alternatives and of clauses matters to the resolver.
package pkginfo

import (
	"time"

	"ashlar/internal/foundation/digest"
)

// Origin is the signed index that packages come from. All packages of one
// archive's component and architecture share one Origin.
type Origin struct {
	Archive   string    // name of the archive in lock and messages: "debian", "debian-security"
	Suite     string    // as the definition asks for it: "trixie", "trixie-updates"
	Codename  string    // as the Release file says
	Label     string    // likewise: "Debian", "Debian-Security"
	Component string    // "main"
	Mirrors   []string  // base URLs that Package.Filename is relative to, tried in order
	Priority  int       // pin priority of the archive, as in apt_preferences(5); 500 by default
	Date      time.Time // of the Release file, UTC
}

// Package is one stanza of a Packages index.
type Package struct {
	Name    string
	Version string
	Arch    string // "amd64", "all"
	Source  string // source package without its version; Name when the index leaves it out

	PreDepends string
	Depends    string
	Recommends string
	Suggests   string
	Enhances   string
	Conflicts  string
	Breaks     string
	Replaces   string
	Provides   string

	Essential bool // Essential: yes
	Important bool // Important: yes (apt's name) or Protected: yes (dpkg's)

	Priority      string // "required", "important", "standard", "optional", "extra"
	Section       string
	MultiArch     string // "", "same", "foreign", "allowed", "no"
	InstalledSize int64  // KiB, an estimate
	Filename      string // path below a mirror
	Size          int64  // bytes of the .deb
	Digest        digest.Digest
	Origin        *Origin
}

// ID gives "name:arch=version", for messages.
func (p *Package) ID() string { return p.Name + ":" + p.Arch + "=" + p.Version }
