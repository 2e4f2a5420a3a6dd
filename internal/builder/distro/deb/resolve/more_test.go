package resolve_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"ashlar/internal/builder/distro/deb"
	"ashlar/internal/builder/distro/deb/pkginfo"
	"ashlar/internal/builder/distro/deb/resolve"
)

// TestRecommendsAsApt compares with apt-get install --install-recommends.
func TestRecommendsAsApt(t *testing.T) {
	t.Parallel()
	x := needTrixie(t)
	a := newApt(t, "", suiteFile{"trixie", x.raw})
	sets := append([]string{"nginx", "postgresql", "docker.io", "php-fpm nginx", "systemd", "openssh-server", "exim4", "network-manager", "build-essential", "samba"}, draw(x.packages, 5, 10)...)
	if testing.Short() {
		sets = sets[:5]
	}
	equal := compareAll(t, len(sets), func(i int) error {
		names := strings.Fields(sets[i])
		return compare(x.universe, a, resolve.Request{Packages: names, Recommends: true}, names)
	}, func(i int) string { return "recommends: " + sets[i] })
	t.Logf("equal %d of %d", equal, len(sets))
}

// TestSuitesAsApt compares with apt on trixie together with its backports:
// their default priority, a pin that prefers some of them, named suites and
// versions.
func TestSuitesAsApt(t *testing.T) {
	t.Parallel()
	x := needTrixie(t)
	raw, err := fetchIndex(x.mirror, "trixie-backports")
	if err != nil {
		t.Fatal(err)
	}
	origin := &pkginfo.Origin{Archive: "backports", Suite: "trixie-backports", Codename: "trixie-backports", Component: "main", Priority: 100}
	newer, err := deb.ParsePackages(bytes.NewReader(raw), "amd64", origin)
	if err != nil {
		t.Fatal(err)
	}
	u, err := resolve.NewUniverse(slices.Concat(x.packages, newer), "amd64")
	if err != nil {
		t.Fatal(err)
	}
	a := newApt(t, `Package: *
Pin: release n=trixie-backports
Pin-Priority: 100

Package: linux-*
Pin: release n=trixie-backports
Pin-Priority: 990

Package: systemd
Pin: version 257*
Pin-Priority: 1001
`, suiteFile{"trixie", x.raw}, suiteFile{"trixie-backports", raw})
	pins := []resolve.Pin{{Package: "linux-*", Archive: "backports", Priority: 990}, {Package: "systemd", Version: "257*", Priority: 1001}}
	sets := []string{"nginx", "linux-image-cloud-amd64", "linux-image-amd64/trixie", "systemd systemd-sysv", "qemu-system-x86"}
	for i, set := range draw(newer, 7, 20) {
		name := strings.Fields(set)[0]
		selector := "/trixie-backports"
		if i%2 == 1 {
			version, err := u.Candidate(name, []resolve.Pin{{Archive: "backports", Priority: 990}})
			if err != nil {
				t.Fatal(err)
			}
			selector = "=" + version.Version
		}
		sets = append(sets, name+selector)
	}
	if testing.Short() {
		sets = sets[:6]
	}
	tally := make(map[string]int)
	for _, set := range sets {
		verdict, detail := judge(u, a, resolve.Request{Packages: strings.Fields(set), Pins: pins})
		tally[verdict]++
		// apt's switching of candidates often ends in what cannot be installed.
		if verdict != "equal" && verdict != "both refuse" && verdict != "apt gives up, search finds" {
			t.Errorf("%s: %s: %s", set, verdict, detail)
		}
	}
	t.Logf("%v", tally)
}
