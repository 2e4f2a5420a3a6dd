package rootfs

import (
	"slices"
	"strconv"
	"strings"

	"ashlar/internal/foundation/glob"
)

// allowedDifference is a place where our tree may differ from the one that
// mmdebstrap makes of the same packages.
type allowedDifference struct {
	pattern string // of paths
	fields  string // of difference, by spaces
	reason  string
	// like, if set, must hold: how the two are the same all the same.
	like func(difference) bool
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
	{"var/cache/apt/**", "missing mode owner", "apt's cache; no apt is run", nil},
	{"var/lib/apt/**", "missing mode owner", "apt's lists; no apt is run", nil},
	{"var/log/apt/**", "missing", "log of apt; no apt is run", nil},
	{"var/lib/dpkg/lock*", "missing", "held while dpkg runs; no dpkg is run", nil},

	// What mmdebstrap takes away, and Ashlar later: see cleanRules.
	{"usr/sbin/policy-rc.d", "extra", "stands only while scripts run", nil},
	{"var/cache/ldconfig/aux-cache", "extra", "holds inode numbers", nil},
	{"var/log/**", "extra", "logs of the installation", nil},

	{"etc/machine-id", "mode content", "belongs to a machine; emptied", nil},
	{"etc/ssh/ssh_host_*", "missing", "belongs to a machine; see standIns", nil},
	{"etc/ssl/certs/ssl-cert-snakeoil.pem", "content", "belongs to a machine", sameFirstWord},
	{"etc/ssl/private/ssl-cert-snakeoil.key", "content", "belongs to a machine", sameFirstWord},
	{"var/lib/dbus/machine-id", "extra", "belongs to a machine; removed", nil},
	{"var/cache/man/**", "extra content", "cache that holds times", nil},
	{"**/__pycache__", "missing", "images carry no byte code; see standIns", nil},
	{"**/__pycache__/*", "missing content", "likewise; an interpreter that is told to ignore its environment writes some", nil},

	{"var/lib/dpkg/**", "mtime", "the database is written, not unpacked; it is left out of images", nil},
	{"bin", "mtime", "links of the merged /usr, made by mmdebstrap and by the merger", nil},
	{"sbin", "mtime", "likewise", nil},
	{"lib*", "mtime", "likewise", nil},

	// What the sandbox does not do.
	{"etc/aliases.db", "missing", "newaliases wants a network interface that is up, and the sandbox has none", nil},
	{"etc/postfix/main.cf", "content", "the host's resolv.conf has no domain; here it does not exist", unknownDomain},
	{"var/log/journal", "xattrs", "an access list names a group, and the sandbox knows one number only", nil},

	// Other steps on the way to the same.
	{"var/cache/debconf/*-old", "content", "one step behind: the last step differs with the order", nil},
	{"etc/group-", "content", "one step behind: the last step differs with the order", nil},
	{"etc/gshadow-", "content", "one step behind: the last step differs with the order", nil},
	{"etc/shadow-", "content", "one step behind: the last step differs with the order", nil},
	{"etc/passwd-", "content", "one step behind: the last step differs with the order", nil},
	{"etc/passwd", "content", "accounts without a fixed number take the next one, and packages come in another order", sameAccounts},
	{"etc/group", "content", "likewise", sameAccounts},
	{"etc/gshadow", "content", "likewise", sameLines},
	{"etc/shadow", "content", "likewise", sameLines},
	{"**", "owner", "likewise: another number of the same name", sameNames},
	{"var/lib/dpkg/triggers/File", "content", "lines in the order of unpacking; ours are sorted", sameLines},
	{"etc/systemd/system/*/*", "target", "deb-systemd-helper makes the link when systemctl is not there yet; here it is", sameMerged},
	{"var/lib/dpkg/*-old", "content missing", "one step behind: the last step differs with the order", nil},
}

// allowed gives the index of the row that allows the difference, or -1.
func allowed(d difference) int {
	return slices.IndexFunc(allowedDifferences, func(row allowedDifference) bool {
		p, err := glob.Compile(row.pattern)
		return err == nil && p.Match(d.path) && slices.Contains(strings.Fields(row.fields), d.field) &&
			(row.like == nil || row.like(d))
	})
}

// sameLines holds for files that have the same lines in another order.
func sameLines(d difference) bool {
	sorted := func(data []byte) []string { return slices.Sorted(strings.SplitSeq(string(data), "\n")) }
	return slices.Equal(sorted(d.a.content), sorted(d.b.content))
}

// sameAccounts holds for tables that have the same rows but for the numbers.
func sameAccounts(d difference) bool {
	rows := func(data []byte) []string {
		var list []string
		for _, line := range strings.Split(string(data), "\n") {
			fields := strings.Split(line, ":")
			for n := 2; n < min(4, len(fields)); n++ {
				if _, err := strconv.Atoi(fields[n]); err == nil {
					fields[n] = "N"
				}
			}
			list = append(list, strings.Join(fields, ":"))
		}
		slices.Sort(list)
		return list
	}
	return slices.Equal(rows(d.a.content), rows(d.b.content))
}

// sameNames holds for owners that have one name on each side.
func sameNames(d difference) bool {
	return d.a.byName == d.b.byName && !strings.HasPrefix(d.a.byName, ":") && !strings.HasSuffix(d.a.byName, ":")
}

func unknownDomain(d difference) bool {
	return strings.ReplaceAll(string(d.a.content), "localhost.UNKNOWN", "localhost") == string(d.b.content)
}

// sameFirstWord holds for files that begin alike: keys of one kind.
func sameFirstWord(d difference) bool {
	first := func(data []byte) string {
		word, _, _ := strings.Cut(string(data), " ")
		return word
	}
	return len(d.a.content) > 0 && first(d.a.content) == first(d.b.content)
}

// sameMerged holds for links that lead to one file through the merged /usr.
func sameMerged(d difference) bool { return d.a.target == "/usr"+d.b.target }
