package network

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"ashlar/internal/contract/machine"
)

func TestStatic(t *testing.T) {
	if inNamespaces(t) {
		return
	}
	f := newFar(t)
	f.plug("lan0", "srv0", "192.0.2.1/24")
	up(t, machine.Interface{
		Name: "lan0", Addresses: []string{"192.0.2.7/32", "2001:db8::7/64"}, MTU: 1300,
		// The first gateway is in no subnet of the machine's.
		Gateways: []string{"192.0.2.1", "fe80::1"},
		Routes:   []machine.Route{{To: "198.51.100.0/24", Via: "192.0.2.9"}, {To: "203.0.113.0/24"}, {To: "2001:db8:1::/48", Via: "2001:db8::9"}},
	})
	got := addresses(t, "lan0")
	if want := "[192.0.2.7/32 2001:db8::7/64]"; fmt.Sprint(got) != want {
		t.Errorf("addresses are %v, want %s", got, want)
	}
	routesAre(t, netlink.FAMILY_V4, "default via 192.0.2.1 dev lan0", "198.51.100.0/24 via 192.0.2.9 dev lan0", "203.0.113.0/24 dev lan0")
	routesAre(t, netlink.FAMILY_V6, "2001:db8:1::/48 via 2001:db8::9 dev lan0", "default via fe80::1 dev lan0")
	link, err := netlink.LinkByName("lan0")
	must(t, err)
	if link.Attrs().MTU != 1300 {
		t.Errorf("MTU is %d, want 1300", link.Attrs().MTU)
	}
	for _, setting := range []string{"accept_ra", "autoconf"} {
		value, err := os.ReadFile("/proc/sys/net/ipv6/conf/lan0/" + setting)
		must(t, err)
		if string(value) != "0\n" {
			t.Errorf("%s is %q, want 0", setting, value)
		}
	}
}

func TestStaticWrong(t *testing.T) {
	if inNamespaces(t) {
		return
	}
	f := newFar(t)
	f.plug("lan0", "srv0")
	err := begin(t, machine.Network{Interfaces: []machine.Interface{
		{Name: "lan0", Addresses: []string{"192.0.2.7/24"}, Gateways: []string{"192.0.2"}},
	}}, Options{Wait: 2500 * time.Millisecond, Log: t.Logf})
	if err == nil || !strings.Contains(err.Error(), "not there within 2.5s: lan0 (static: add gateway 192.0.2: ") {
		t.Errorf("got %v, want what is wrong with the gateway", err)
	}
	addressIn(t, "lan0", "192.0.2.7/32") // the rest is there
}

func TestNoServer(t *testing.T) {
	if inNamespaces(t) {
		return
	}
	f := newFar(t)
	f.plug("lan0", "srv0", "10.1.0.1/24")
	f.plug("lan1", "srv1")
	f.cable("srv1", false)
	path := filepath.Join(t.TempDir(), "resolv.conf")
	err := begin(t, machine.Network{
		DNS: []string{"192.0.2.53"}, Search: []string{"example.org"},
		Interfaces: []machine.Interface{
			{Name: "lan0", DHCP4: true}, {Name: "lan1", DHCP4: true}, {Name: "lan2", DHCP4: true}, {MAC: "02:00:00:00:00:01", RA: true},
		},
	}, Options{Wait: 2500 * time.Millisecond, Log: t.Logf, ResolvConf: path})
	const want = "configure network: not there within 2.5s: lan0 (dhcp4: no answer yet); lan1 (no carrier: is the cable in?); " +
		"lan2 (no such interface); 02:00:00:00:00:01 (no such interface)"
	if err == nil || err.Error() != want {
		t.Errorf("got  %v,\nwant %s", err, want)
	}
	fileSays(t, path, "search example.org\nnameserver 192.0.2.53\n")
	// It goes on: servers come, and interfaces.
	f.dnsmasq("srv0", "--dhcp-range=10.1.0.10,10.1.0.20,255.255.255.0,1h", "--dhcp-option=option:dns-server,10.1.0.53")
	addressIn(t, "lan0", "10.1.0.0/24")
	fileSays(t, path, "search example.org\nnameserver 192.0.2.53\nnameserver 10.1.0.53\n")
}

func TestLateInterface(t *testing.T) {
	if inNamespaces(t) {
		return
	}
	hardware(t, "lan0")
	f := newFar(t)
	done := make(chan error, 1)
	go func() {
		done <- begin(t, machine.Network{Interfaces: []machine.Interface{{Name: "la*", DHCP4: true}}},
			Options{Wait: 20 * time.Second, Log: t.Logf})
	}()
	f.plug("other0", "srv1", "10.2.0.1/24") // not what is declared
	f.plug("lan0", "srv0", "10.1.0.1/24")
	f.dnsmasq("srv0", "--dhcp-range=10.1.0.10,10.1.0.20,255.255.255.0,1h")
	must(t, <-done)
	old := addressIn(t, "lan0", "10.1.0.0/24")
	if got := addresses(t, "other0"); len(got) != 0 {
		t.Errorf("other0 has %v", got)
	}
	// The card is taken out and put in again.
	link, err := netlink.LinkByName("lan0")
	must(t, err)
	must(t, netlink.LinkDel(link))
	f.plug("lan0", "srv2", "10.3.0.1/24")
	f.dnsmasq("srv2", "--dhcp-range=10.3.0.10,10.3.0.20,255.255.255.0,1h")
	addressIn(t, "lan0", "10.3.0.0/24")
	noAddressIn(t, "lan0", old.String())
}

func TestRename(t *testing.T) {
	if inNamespaces(t) {
		return
	}
	f := newFar(t)
	f.plug("tmp0", "srv0", "10.1.0.1/24")
	f.dnsmasq("srv0", "--dhcp-range=10.1.0.10,10.1.0.20,255.255.255.0,1h", "--dhcp-option=option:dns-server,10.1.0.53")
	path := filepath.Join(t.TempDir(), "resolv.conf")
	err := begin(t, machine.Network{Interfaces: []machine.Interface{{Name: "lan0", DHCP4: true}}},
		Options{Wait: time.Millisecond, Log: t.Logf, ResolvConf: path})
	if err == nil {
		t.Error("there is no lan0 yet, want an error")
	}
	link, err := netlink.LinkByName("tmp0")
	must(t, err)
	must(t, netlink.LinkSetName(link, "lan0"))
	addressIn(t, "lan0", "10.1.0.0/24")
	fileSays(t, path, "nameserver 10.1.0.53\n")
	must(t, errors.Join(netlink.LinkSetDown(link), netlink.LinkSetName(link, "tmp1")))
	fileSays(t, path, "")
}

func TestAutomatic(t *testing.T) {
	if inNamespaces(t) {
		return
	}
	hardware(t, "lan0")
	f := newFar(t)
	f.plug("lan0", "srv0", "10.1.0.1/24")
	f.plug("virtual0", "srv1", "10.2.0.1/24")
	f.dnsmasq("srv0", "--dhcp-range=10.1.0.10,10.1.0.20,255.255.255.0,1h")
	f.dnsmasq("srv1", "--dhcp-range=10.2.0.10,10.2.0.20,255.255.255.0,1h")
	up(t)
	addressIn(t, "lan0", "10.1.0.0/24")
	link, err := netlink.LinkByName("virtual0")
	must(t, err)
	if isUp(link.Attrs()) {
		t.Error("virtual0 is no hardware, but it was brought up")
	}
	lo, err := netlink.LinkByName("lo")
	must(t, err)
	if !isUp(lo.Attrs()) {
		t.Error("lo is down")
	}
}

// TestOnlyIPv6 has no DHCPv4 server where one is hoped for: that does not keep
// the machine waiting until the end.
func TestOnlyIPv6(t *testing.T) {
	if inNamespaces(t) {
		return
	}
	hardware(t, "lan0")
	f := newFar(t)
	f.plug("lan0", "srv0", "2001:db8:1::1/64")
	f.radvd("srv0", "prefix 2001:db8:1::/64 { };")
	begin := time.Now()
	up(t)
	addressIn(t, "lan0", "2001:db8:1::/64")
	if took := time.Since(begin); took < 5*time.Second || took > 15*time.Second {
		t.Errorf("ready after %s, want the time of three questions", took)
	}
}

// TestResync looks at everything again, as when the kernel has lost messages.
func TestResync(t *testing.T) {
	if inNamespaces(t) {
		return
	}
	hardware(t, "lan0", "lan1")
	f := newFar(t)
	f.plug("lan0", "srv0")
	path := filepath.Join(t.TempDir(), "resolv.conf")
	m := &Manager{
		opt: Options{Log: t.Logf}.withDefaults(), names: newResolver(path, machine.Network{}), routers: newRouterNames(), ports: map[int]*port{},
		cancel: func() {},
	}
	w := &watcher{m: m, declared: []machine.Interface{{Name: "la*", Addresses: []string{"192.0.2.7/24"}}}}
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(func() { cancel(); must(t, m.Close()) })
	must(t, w.resync(ctx))
	addressIn(t, "lan0", "192.0.2.7/32")
	link, err := netlink.LinkByName("lan0")
	must(t, err)
	m.port(link.Attrs().Index).learn(methodDHCP4, fromIPs([]net.IP{net.IPv4(192, 0, 2, 53)}), nil)
	fileSays(t, path, "nameserver 192.0.2.53\n")
	must(t, netlink.LinkDel(link))
	f.plug("lan1", "srv1")
	must(t, w.resync(ctx))
	addressIn(t, "lan1", "192.0.2.7/32")
	fileSays(t, path, "")
	if got := m.indexes(); len(got) != 1 {
		t.Errorf("ports %v, want lan1's", got)
	}
	// A card that becomes part of a bridge is the bridge's.
	attrs := netlink.NewLinkAttrs()
	attrs.Name = "br0"
	bridge := &netlink.Bridge{LinkAttrs: attrs}
	must(t, netlink.LinkAdd(bridge))
	link, err = netlink.LinkByName("lan1")
	must(t, err)
	must(t, netlink.LinkSetMaster(link, bridge))
	must(t, w.resync(ctx))
	if got := m.indexes(); len(got) != 0 {
		t.Errorf("ports %v, want none", got)
	}
}

// begin is Up, closed at the end of the test.
func begin(t *testing.T, config machine.Network, opt Options) error {
	m, err := Up(context.Background(), config, opt)
	t.Cleanup(func() { must(t, m.Close()) })
	return err
}

// hardware makes interfaces of these names look like cards.
func hardware(t *testing.T, names ...string) {
	t.Helper()
	must(t, unix.Mount("tmpfs", "/sys/class/net", "tmpfs", 0, ""))
	for _, name := range names {
		must(t, os.MkdirAll(filepath.Join("/sys/class/net", name, "device"), 0o755))
	}
}
