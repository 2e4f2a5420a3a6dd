// Package deb reads Debian and Ubuntu archives: signed indexes become package
// lists, packages become file trees.
//
// Vocabulary: an Archive is one suite at one place, signed as a whole by one
// InRelease file; an Index is what such an archive holds for the wanted
// architectures. Nothing counts as read before its signature, or the digest
// that a signed file gives for it, has been checked.
//
// It chooses nothing: package resolve does.
package deb

import (
	_ "embed" // the keyrings
	"fmt"
	"regexp"
	"strings"

	"ashlar/internal/builder/definition"
)

// The public keys that sign the archives, as packaged by Debian:
// debian-archive-keyring 2025.1 (usr/share/keyrings/debian-archive-keyring.pgp)
// and ubuntu-keyring 2023.11.28.1-0.2 (usr/share/keyrings/ubuntu-archive-keyring.gpg).
var (
	//go:embed keyrings/debian-archive-keyring.pgp
	debianKeyring []byte
	//go:embed keyrings/ubuntu-archive-keyring.gpg
	ubuntuKeyring []byte
)

// Archive is one suite to read.
type Archive struct {
	Name       string   // in lock, pins and messages; suites at the same mirrors share it
	Mirrors    []string // base URLs, tried in order
	Suite      string   // "trixie-updates"
	Components []string // "main"
	Arches     []string // "amd64"; packages for "all" always belong to it
	Keyring    []byte   // OpenPGP public keys, binary or armored
	Priority   int      // pin priority, as in apt_preferences(5)
	Snapshot   string   // date of a dated archive: expiry dates are then of no meaning
}

// DefaultPriority is what apt gives to packages that nothing pins.
const DefaultPriority = 500

// distro is where a distribution keeps its suites.
type distro struct {
	mirror   string
	security string // mirror of the security suite; "" when it is the main one
	snapshot string // with %s for the date
	snapSec  string // likewise for the security suite
	keyring  []byte
	env      string // variable of mirrors that go before all others
}

var distros = map[string]distro{
	"debian": {
		mirror:   "http://deb.debian.org/debian",
		security: "http://deb.debian.org/debian-security",
		snapshot: "http://snapshot.debian.org/archive/debian/%s",
		snapSec:  "http://snapshot.debian.org/archive/debian-security/%s",
		keyring:  debianKeyring,
		env:      "ASHLAR_MIRROR_DEBIAN",
	},
	"ubuntu": {
		mirror:   "http://archive.ubuntu.com/ubuntu",
		snapshot: "http://snapshot.ubuntu.com/ubuntu/%s",
		keyring:  ubuntuKeyring,
		env:      "ASHLAR_MIRROR_UBUNTU",
	},
}

var snapshotDate = regexp.MustCompile(`^[0-9]{8}T[0-9]{6}Z$`)

// Archives gives the archives that a definition's base names, the suite itself
// first, then its updates, security, and the further ones in their order.
// Arches is left to the caller. env looks up environment variables; read gives
// a keyring file that the definition names.
func Archives(base definition.Base, env func(string) string, read func(name string) ([]byte, error)) ([]Archive, error) {
	d, ok := distros[base.Distro]
	if !ok {
		return nil, fmt.Errorf("find archives: distribution %q is not known; debian and ubuntu are", base.Distro)
	}
	if base.Suite == "" {
		return nil, fmt.Errorf("find archives: base.suite is not set")
	}
	if base.Snapshot != "" && !snapshotDate.MatchString(base.Snapshot) {
		return nil, fmt.Errorf("find archives: base.snapshot %q: want a date as 20260131T000000Z", base.Snapshot)
	}
	keyring := d.keyring
	if base.Keyring != "" {
		var err error
		if keyring, err = read(base.Keyring); err != nil {
			return nil, fmt.Errorf("find archives: base.keyring: %w", err)
		}
	}
	main := Archive{
		Name: base.Distro, Suite: base.Suite, Components: base.Components, Keyring: keyring,
		Priority: DefaultPriority, Snapshot: base.Snapshot,
		Mirrors: mirrors(env(d.env), base.Mirrors, d.mirror, d.snapshot, base.Snapshot),
	}
	if len(main.Components) == 0 {
		main.Components = []string{"main"}
	}
	archives := []Archive{main}
	if base.Updates {
		a := main
		a.Suite += "-updates"
		archives = append(archives, a)
	}
	if base.Security {
		a := main
		a.Name += "-security"
		a.Suite += "-security"
		if d.security != "" {
			a.Mirrors = mirrors(env(d.env+"_SECURITY"), nil, d.security, d.snapSec, base.Snapshot)
		}
		archives = append(archives, a)
	}
	for _, x := range base.Extra {
		a, err := extra(main, x, read)
		if err != nil {
			return nil, fmt.Errorf("find archives: %w", err)
		}
		archives = append(archives, a)
	}
	return archives, nil
}

// mirrors puts those of the environment before the definition's. A snapshot
// replaces all: other mirrors do not hold the archive as it was.
func mirrors(env string, own []string, standard, snapshot, date string) []string {
	if date != "" {
		return []string{fmt.Sprintf(snapshot, date)}
	}
	list := strings.FieldsFunc(env, func(r rune) bool { return r == ' ' || r == ',' })
	if len(own) == 0 {
		own = []string{standard}
	}
	seen := map[string]bool{}
	var out []string
	for _, m := range append(list, own...) {
		if m = strings.TrimRight(m, "/"); m != "" && !seen[m] {
			seen[m] = true
			out = append(out, m)
		}
	}
	return out
}

// extra fills what the definition leaves out from the main archive.
func extra(main Archive, x definition.Archive, read func(string) ([]byte, error)) (Archive, error) {
	a := main
	a.Name, a.Suite = x.Name, x.Suite
	if a.Name == "" || a.Suite == "" {
		return a, fmt.Errorf("extra archive %q: name and suite must be set", x.Name+x.Suite)
	}
	if len(x.Mirrors) > 0 {
		// Its place is its own, and so is its time.
		a.Mirrors, a.Snapshot = mirrors("", x.Mirrors, "", "", ""), ""
	}
	if len(x.Components) > 0 {
		a.Components = x.Components
	}
	if x.Priority != 0 {
		a.Priority = x.Priority
	}
	if x.Keyring != "" {
		var err error
		if a.Keyring, err = read(x.Keyring); err != nil {
			return a, fmt.Errorf("extra archive %s: keyring: %w", x.Name, err)
		}
	}
	return a, nil
}
