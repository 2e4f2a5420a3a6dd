// Package lock is ashlar.lock: every input of a build by content, as sorted
// text made for version control.
//
// The form is JSON with sorted keys and one package or release a line, so that
// a diff shows one line a changed package. There is one form for one content:
// Parse refuses any other, so the digest of the file names the lock. A build
// consults nothing but the lock and the store.
package lock

import "ashlar/internal/foundation/digest"

// Version of the form that this program writes.
const Version = 1

// Lock is a whole lock file.
type Lock struct {
	Version    int             `json:"version"`
	Name       string          `json:"name"`
	Definition digest.Digest   `json:"definition"` // of the parts of the definition that choose inputs
	Epoch      int64           `json:"epoch"`      // seconds: the newest Release date among Releases
	Encoder    string          `json:"encoder"`    // block compressor name and version; a build with another one is refused
	Releases   []Release       `json:"releases"`   // sorted by archive, suite
	Arches     map[string]Arch `json:"arches"`     // by Debian architecture
}

// Release is a signed index that packages were chosen from.
type Release struct {
	Archive string        `json:"archive"` // "debian", "debian-security", name of an extra archive
	Mirrors []string      `json:"mirrors"` // base URLs that Package.Path is relative to, tried in order
	Suite   string        `json:"suite"`
	Date    string        `json:"date"`    // RFC 3339, UTC
	Digest  digest.Digest `json:"sha256"`  // of InRelease
	Signers []string      `json:"signers"` // fingerprints of the keys that signed it
}

// Arch is what is locked for one architecture.
type Arch struct {
	Packages []Package `json:"packages"` // of the root, in the order in which they are configured
	Kernel   []Package `json:"kernel"`   // kernel image and modules, unpacked but not configured; sorted by name
	Boot     []Package `json:"boot"`     // loader files, never configured; sorted by name
	Tools    []Package `json:"tools"`    // that run on the builder (emulator, firmware); sorted by name
}

// Package is one .deb.
type Package struct {
	Name    string        `json:"name"`
	Version string        `json:"version"`
	Arch    string        `json:"arch"`    // "amd64" or "all"
	Archive string        `json:"archive"` // Release.Archive
	Path    string        `json:"path"`    // Filename, relative to a mirror
	Size    int64         `json:"size"`
	Digest  digest.Digest `json:"sha256"`
}
