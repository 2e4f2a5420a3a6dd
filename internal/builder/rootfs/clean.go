package rootfs

import (
	"fmt"

	"ashlar/internal/foundation/digest"
	"ashlar/internal/foundation/glob"
	"ashlar/internal/foundation/tree"
)

// cleanAction is what happens to a path that must not be in an image as it is.
type cleanAction int

const (
	drop     cleanAction = iota // remove the path
	dropFile                    // remove files and links, keep directories
	truncate                    // keep the file, empty
)

// cleanRule says why a left-over of installation is cleared.
type cleanRule struct {
	pattern string
	action  cleanAction
	reason  string
}

// cleanRules is the one list of what is cleared after the scripts have run:
// secrets that belong to a machine, and what differs from run to run.
var cleanRules = []cleanRule{
	{"etc/machine-id", truncate, "belongs to a machine; made at its first boot"},
	{"var/lib/dbus/machine-id", drop, "copy of /etc/machine-id"},
	{"var/lib/systemd/random-seed", drop, "secret of a machine"},
	{"var/lib/systemd/credential.secret", drop, "secret of a machine"},
	{"etc/ssh/ssh_host_*_key", drop, "secret of a machine"},
	{"etc/ssh/ssh_host_*_key.pub", drop, "belongs to a secret of a machine"},
	{"etc/ssl/private/ssl-cert-snakeoil.key", drop, "secret of a machine"},
	{"etc/ssl/certs/ssl-cert-snakeoil.pem", drop, "belongs to a secret of a machine"},
	{"etc/passwd-", drop, "back-up of an earlier step"},
	{"etc/group-", drop, "back-up of an earlier step"},
	{"etc/shadow-", drop, "back-up of an earlier step"},
	{"etc/gshadow-", drop, "back-up of an earlier step"},
	{"etc/subuid-", drop, "back-up of an earlier step"},
	{"etc/subgid-", drop, "back-up of an earlier step"},
	{"etc/.pwd.lock", drop, "lock of a running program"},
	{"etc/.updated", drop, "holds the time of the run"},
	{"var/.updated", drop, "holds the time of the run"},
	{"etc/apt/apt.conf.d/01autoremove-kernels", drop, "names the running kernel"},
	{"var/lib/dpkg/*-old", drop, "back-up of an earlier step"},
	{"var/lib/dpkg/lock*", drop, "lock of a running program"},
	{"var/lib/dpkg/triggers/Lock", drop, "lock of a running program"},
	{"var/lib/ucf/*.[0-9]", drop, "back-up of an earlier step"},
	{"var/cache/debconf/*-old", drop, "back-up of an earlier step"},
	{"var/lib/apt/lists/**", dropFile, "cache of the archive's state"},
	{"var/cache/apt/**", dropFile, "cache of the archive's state"},
	{"var/cache/ldconfig/aux-cache", drop, "holds inode numbers and times"},
	{"var/cache/fontconfig/**", dropFile, "cache that holds times"},
	{"var/cache/man/**", dropFile, "cache that holds times"},
	{"var/log/**", dropFile, "log of the installation"},
	{"tmp/**", drop, "volatile"},
	{"var/tmp/**", drop, "volatile"},
	{"run/**", drop, "volatile"},
	{"**/__pycache__/**", drop, "holds times of the sources; Python works without"},
	{policyRCPath, drop, "keeps scripts from starting services while the image is built"},
}

// clean clears what cleanRules lists. The top directories named by a "**"
// rule's parent stay.
func clean(t *tree.Tree) error {
	type compiled struct {
		cleanRule
		glob.Pattern
	}
	var rules []compiled
	for _, r := range cleanRules {
		p, err := glob.Compile(r.pattern)
		if err != nil {
			return fmt.Errorf("clean: %w", err)
		}
		rules = append(rules, compiled{r, p})
	}
	stay := map[string]bool{"tmp": true, "var/tmp": true, "run": true, "var/log": true}
	for _, name := range append([]string(nil), t.Paths()...) {
		e := t.Get(name)
		if e == nil || stay[name] {
			continue
		}
		for _, r := range rules {
			if !r.Match(name) {
				continue
			}
			switch {
			case r.action == drop, r.action == dropFile && !e.IsDir():
				t.Remove(name)
			case r.action == truncate && e.Kind == tree.File:
				e.Size, e.Source, e.Digest = 0, nil, digest.Of(nil)
			}
			break
		}
	}
	removeDangling(t, "etc/ssl/certs")
	return nil
}

// normalise bounds times, clears what a read-only image has no use for and
// fills in digests of empty files.
func normalise(t *tree.Tree, epoch int64) error {
	return t.Walk(func(e *tree.Entry) error {
		if e.MTime <= 0 || e.MTime > epoch {
			e.MTime = epoch // of files made here, and of those that scripts made
		}
		if e.Kind == tree.File && e.Size == 0 {
			e.Source, e.Digest = nil, digest.Of(nil)
		}
		if (e.Kind == tree.File || e.Kind == tree.Dir) && e.UID == 0 && below(e.Path, "usr") {
			e.Mode &^= 0o222
		}
		return nil
	})
}

func below(name, dir string) bool {
	return name == dir || len(name) > len(dir) && name[:len(dir)] == dir && name[len(dir)] == '/'
}
