package resolve_test

import (
	"ashlar/internal/builder/distro/deb/pkginfo"
	"ashlar/internal/builder/distro/deb/resolve"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
)

// servers are what people run.
var servers = []string{
	"nginx", "nginx-light", "nginx-full", "nginx curl", "openssh-server", "postgresql", "php-fpm nginx", "php-fpm php-mysql php-gd nginx",
	"python3-django", "python3-django gunicorn nginx postgresql", "docker.io", "podman", "mariadb-server", "exim4", "postfix",
	"postfix dovecot-imapd opendkim rspamd", "dovecot-imapd", "git", "git openssh-server", "qemu-system-x86", "ovmf", "qemu-system-x86 ovmf seabios",
	"linux-image-cloud-amd64", "linux-image-amd64", "systemd", "systemd systemd-sysv dbus", "systemd-boot", "apache2", "apache2 libapache2-mod-php",
	"redis-server", "memcached", "bind9", "unbound", "dnsmasq", "isc-dhcp-client", "kea", "chrony", "ntpsec", "rsyslog", "cron", "cron-daemon-common",
	"haproxy", "varnish", "squid", "samba", "nfs-kernel-server", "vsftpd", "rsync", "wireguard-tools", "openvpn", "strongswan", "nftables",
	"prometheus", "prometheus-node-exporter", "grub-pc", "grub-efi-amd64", "grub-pc-bin grub-efi-amd64-bin", "cryptsetup", "lvm2 mdadm",
	"ruby rails", "nodejs npm", "golang-go", "gcc make", "build-essential", "debootstrap mmdebstrap", "openjdk-21-jre-headless", "tomcat10",
	"python3-flask uwsgi-plugin-python3", "erlang rabbitmq-server", "mosquitto", "slapd", "krb5-kdc", "cups", "sudo bash vim-tiny less",
	"apt apt-utils", "aptitude", "ifupdown", "network-manager", "netplan.io", "cloud-init", "busybox-static", "default-jre-headless",
	"gawk", "mawk original-awk", "default-mta", "locales tzdata ca-certificates", "fail2ban", "etcd-server", "icinga2", "nagios4", "zabbix-agent",
	"mail-transport-agent", "nginx-common=1.*", "exim4 postfix", "systemd-sysv sysvinit-core",
	"gnome-core", "task-web-server", "emacs-nox", "texlive-latex-base", "r-base-core", "libreoffice-core-nogui",
}

// explained holds the sets whose answer differs from apt's, with the reason.
var explained = map[string]string{}

// draw makes sets of 1 to 6 packages. A draw is a point on a ring of hashes,
// and takes the next name: so a package more or less in the archive changes
// no more than the sets that it is in.
func draw(packages []*pkginfo.Package, seed uint64, count int) []string {
	hash := func(name string) uint64 {
		sum := sha256.Sum256([]byte(name))
		return binary.BigEndian.Uint64(sum[:])
	}
	var ring []string
	for _, p := range packages {
		ring = append(ring, p.Name)
	}
	slices.SortFunc(ring, func(a, b string) int { return cmp.Or(cmp.Compare(hash(a), hash(b)), cmp.Compare(a, b)) })
	ring = slices.Compact(ring)
	rng := rand.New(rand.NewPCG(seed, 2))
	sets := make([]string, count)
	for i := range sets {
		size := 1 + rng.IntN(6)
		var names []string
		for slot := range 6 {
			at, _ := slices.BinarySearchFunc(ring, rng.Uint64(), func(name string, point uint64) int { return cmp.Compare(hash(name), point) })
			if slot < size {
				names = append(names, ring[at%len(ring)])
			}
		}
		sets[i] = strings.Join(names, " ")
	}
	return sets
}

// TestAsApt compares whole package sets with what real apt-get chooses for an
// empty root, the essential packages named first.
func TestAsApt(t *testing.T) {
	t.Parallel()
	x := needTrixie(t)
	sets := append(slices.Clone(servers), draw(x.packages, 20261123, 300)...)
	if testing.Short() {
		sets = append(servers[:30:30], sets[len(servers):len(servers)+30]...)
	}
	a := newApt(t, "", suiteFile{"trixie", x.raw})
	var essential []string
	for _, p := range x.packages {
		if p.Essential {
			essential = append(essential, p.Name)
		}
	}
	equal := compareAll(t, len(sets), func(i int) error {
		names := strings.Fields(sets[i])
		return compare(x.universe, a, resolve.Request{Packages: names, Essential: true}, append(slices.Clone(essential), names...))
	}, func(i int) string { return sets[i] })
	t.Logf("equal %d of %d", equal, len(sets))
}

// compareAll runs comparisons two at a time and fails on each difference that
// is not explained.
func compareAll(t *testing.T, count int, run func(int) error, label func(int) string) (equal int) {
	t.Helper()
	errs := make([]error, count)
	var wg sync.WaitGroup
	for worker := range 2 {
		wg.Go(func() {
			for i := worker; i < count; i += 2 {
				errs[i] = run(i)
			}
		})
	}
	wg.Wait()
	for i, err := range errs {
		switch reason := explained[label(i)]; {
		case err == nil && reason != "":
			t.Errorf("%s: equal, but explained as different: %s", label(i), reason)
		case err == nil:
			equal++
		case reason == "":
			t.Errorf("%s: %v", label(i), err)
		}
	}
	return equal
}

// compare gives what differs between our answer and apt's.
func compare(u *resolve.Universe, a *apt, req resolve.Request, words []string) error {
	result, err := resolve.Resolve(u, req)
	want, said := a.install(req.Recommends, words...)
	switch {
	case err != nil && want == nil:
		return nil
	case err != nil:
		return fmt.Errorf("apt installs %d packages, we refuse: %w", len(want), err)
	case want == nil:
		return fmt.Errorf("we install %d packages (searched: %v), apt refuses: %s", len(result.Packages), result.Searched, said)
	}
	got := versions(result)
	if slices.Equal(got, want) {
		return nil
	}
	return fmt.Errorf("we alone install %q, apt alone %q (searched: %v)", minus(got, want), minus(want, got), result.Searched)
}

func minus(a, b []string) []string {
	return slices.DeleteFunc(slices.Clone(a), func(x string) bool { return slices.Contains(b, x) })
}
