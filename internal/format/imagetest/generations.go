package imagetest

import (
	"testing"

	"ashlar/internal/foundation/tree"
	"ashlar/internal/testenv"
)

// Generations gives two roots of a web server, of packages of Debian of which one
// has another version of nginx, the next release's: its program, its files
// of configuration and its documentation are others. own reports whether a path is one
// of nginx's.
func Generations(t testing.TB) (before, after *tree.Tree, own map[string]bool) {
	t.Helper()
	trixie, bookworm := testenv.Debian(t, "trixie"), testenv.Debian(t, "bookworm")
	parts := []string{"nginx", "nginx-common"}
	others := HostTree(t, trixie.Unpack(t, "bash", "coreutils", "libc6", "libssl3t64", "openssh-server", "passwd", "perl-base",
		"systemd", "tzdata"))
	own = map[string]bool{}
	join := func(version *tree.Tree) *tree.Tree {
		joined := others.Clone()
		for _, p := range version.Paths() {
			if others.Get(p) == nil {
				own[p] = true
				Put(t, joined, *version.Get(p))
			}
		}
		return joined
	}
	after = join(HostTree(t, trixie.Unpack(t, parts...)))
	before = join(HostTree(t, bookworm.Unpack(t, parts...)))
	return before, after, own
}
