package rootfs

import (
	"slices"
	"strings"

	"ashlar/internal/foundation/glob"
)

// allowedDifference is a place where our tree may differ from the one that
// mmdebstrap makes of the same packages.
type allowedDifference struct {
	pattern string // of paths
	fields  string // of difference, by spaces
	reason  string
	// equal, if set, must hold for the two contents: the difference is in
	// nothing else.
	equal func(ours, theirs string) bool
}

// allowedDifferences is the whole list. Each row must be met by a set.
var allowedDifferences = []allowedDifference{
	// What mmdebstrap adds to what dpkg does.
	{"dev/**", "missing", "mmdebstrap makes device nodes; the machine's kernel does", nil},
	{"etc/apt/preferences.d", "missing", "apt runs from outside and makes its directories", nil},
	{"etc/apt/sources.list", "missing", "mmdebstrap's; an image is made from its lock", nil},
	{"etc/apt/sources.list.d", "missing", "apt runs from outside and makes its directories", nil},
	{"etc/dpkg/dpkg.cfg.d/99mmdebstrap", "missing", "the options given to mmdebstrap", nil},
	{"etc/fstab", "missing", "mmdebstrap's; a setting of the definition", nil},
	{"etc/hostname", "missing", "the host's; a setting of the definition", nil},
	{"etc/resolv.conf", "missing", "the host's; a setting of the definition", nil},
	{"run/**", "missing extra", "in memory on the machine, and so in the sandbox", nil},
	{"var/cache/apt/**", "missing", "apt's cache; no apt is run", nil},
	{"var/lib/apt/**", "missing", "apt's lists; no apt is run", nil},
	{"var/log/apt/**", "missing", "log of apt; no apt is run", nil},
	{"var/lib/dpkg/lock*", "missing", "held while dpkg runs; no dpkg is run", nil},

	// What mmdebstrap takes away, and Ashlar later: see cleanRules.
	{"usr/sbin/policy-rc.d", "extra", "stands only while scripts run", nil},
	{"var/cache/ldconfig/aux-cache", "extra", "holds inode numbers", nil},
	{"var/log/**", "extra", "logs of the installation", nil},

	// Other steps on the way to the same.
	{"var/cache/debconf/*-old", "content", "one step behind: the last step differs with the order", nil},
	{"var/lib/dpkg/*-old", "content missing", "one step behind: the last step differs with the order", nil},
}

// allowed gives the index of the row that allows the difference, or -1.
func allowed(d difference) int {
	return slices.IndexFunc(allowedDifferences, func(row allowedDifference) bool {
		p, err := glob.Compile(row.pattern)
		return err == nil && p.Match(d.path) && slices.Contains(strings.Fields(row.fields), d.field) &&
			(row.equal == nil || row.equal(string(d.a.content), string(d.b.content)))
	})
}
