package network

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"ashlar/internal/contract/machine"
)

// up configures the network and fails the test unless all is there in time.
func up(t *testing.T, interfaces ...machine.Interface) (resolvConf string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "resolv.conf")
	must(t, begin(t, machine.Network{Interfaces: interfaces}, Options{
		ResolvConf: path, Log: t.Logf, Wait: 20 * time.Second, Hostname: "stone",
	}))
	return path
}

func TestDHCP4Lease(t *testing.T) {
	if inNamespaces(t) {
		return
	}
	f := newFar(t)
	f.plug("lan0", "srv0", "10.1.0.1/24")
	s := f.dnsmasq("srv0", "--dhcp-range=10.1.0.10,10.1.0.20,255.255.255.0,1h",
		"--dhcp-option=option:router,10.1.0.1", "--dhcp-option=option:dns-server,10.1.0.53,192.0.2.53",
		"--dhcp-option=option:domain-search,example.org,lab.example.org", "--dhcp-option=option:mtu,1400",
		"--dhcp-option=option:classless-static-route,0.0.0.0/0,10.1.0.2,198.51.100.0/24,10.1.0.3,203.0.113.0/25,0.0.0.0")
	conf := up(t, machine.Interface{Name: "lan0", DHCP4: true})
	addr := addressIn(t, "lan0", "10.1.0.0/24")
	if addr.Bits() != 24 {
		t.Errorf("got %s, want a /24", addr)
	}
	// The classless ones, without the router's.
	routesAre(t, netlink.FAMILY_V4, "198.51.100.0/24 via 10.1.0.3 dev lan0", "203.0.113.0/25 dev lan0", "default via 10.1.0.2 dev lan0")
	link, err := netlink.LinkByName("lan0")
	must(t, err)
	if link.Attrs().MTU != 1400 {
		t.Errorf("MTU is %d, want 1400", link.Attrs().MTU)
	}
	fileSays(t, conf, "search example.org lab.example.org\nnameserver 10.1.0.53\nnameserver 192.0.2.53\n")
	leases, err := os.ReadFile(filepath.Join(f.dir, "srv0.leases"))
	must(t, err)
	if !strings.Contains(string(leases), addr.Addr().String()+" stone ") {
		t.Errorf("the server notes %q, want %s for stone", leases, addr.Addr())
	}
	addrs, err := netlink.AddrList(link, netlink.FAMILY_V4)
	must(t, err)
	if len(addrs) != 1 || addrs[0].ValidLft < 3500 || addrs[0].ValidLft > 3600 {
		t.Errorf("addresses are %v, want one for an hour", addrs)
	}
	s.await("DHCPACK", 1)
}

// tiny makes leases of seconds: dnsmasq's own are two minutes at least.
func tiny(length, t1, t2 int) []string {
	return []string{
		fmt.Sprintf("--dhcp-option-force=51,%d", length), fmt.Sprintf("--dhcp-option-force=58,%d", t1), fmt.Sprintf("--dhcp-option-force=59,%d", t2),
		"--dhcp-range=10.1.0.10,10.1.0.20,255.255.255.0,2m", "--dhcp-authoritative",
	}
}

func TestDHCP4Renew(t *testing.T) {
	if inNamespaces(t) {
		return
	}
	f := newFar(t)
	f.plug("lan0", "srv0", "10.1.0.1/24")
	s := f.dnsmasq("srv0", tiny(12, 2, 6)...)
	up(t, machine.Interface{Name: "lan0", DHCP4: true})
	addr := addressIn(t, "lan0", "10.1.0.0/24")
	before := strings.Count(s.log(), "DHCPDISCOVER")
	s.await("DHCPACK(srv0) "+addr.Addr().String(), 3)
	if n := strings.Count(s.log(), "DHCPDISCOVER"); n != before {
		t.Errorf("%d discoveries, want %d", n, before)
	}
	// The server gets another address: the old one does not answer any more,
	// and only what is broadcast from T2 on reaches it.
	s.kill()
	f.address("srv0", "10.1.0.2/24")
	s = f.dnsmasq("srv0", tiny(12, 2, 6)...)
	s.await("DHCPACK(srv0) "+addr.Addr().String(), 1)
	if strings.Contains(s.log(), "DHCPDISCOVER") {
		t.Error("the client has begun anew, want that it rebinds")
	}
	if got := addresses(t, "lan0"); len(got) != 1 || got[0] != addr {
		t.Errorf("addresses are %v, want %s", got, addr)
	}
}

func TestDHCP4Expire(t *testing.T) {
	if inNamespaces(t) {
		return
	}
	f := newFar(t)
	f.plug("lan0", "srv0", "10.1.0.1/24")
	args := append(tiny(6, 2, 4), "--dhcp-option=option:dns-server,10.1.0.53", "--dhcp-option=option:mtu,1400")
	s := f.dnsmasq("srv0", args...)
	conf := up(t, machine.Interface{Name: "lan0", DHCP4: true})
	addressIn(t, "lan0", "10.1.0.0/24")
	s.kill()
	noAddressIn(t, "lan0", "10.1.0.0/24")
	fileSays(t, conf, "")
	routesAre(t, netlink.FAMILY_V4)
	link, err := netlink.LinkByName("lan0")
	must(t, err)
	if link.Attrs().MTU != 1500 {
		t.Errorf("MTU is %d, want what it was", link.Attrs().MTU)
	}
	f.dnsmasq("srv0", args...)
	addressIn(t, "lan0", "10.1.0.0/24")
	fileSays(t, conf, "nameserver 10.1.0.53\n")
}

func TestDHCP4Refused(t *testing.T) {
	if inNamespaces(t) {
		return
	}
	f := newFar(t)
	f.plug("lan0", "srv0", "10.1.0.1/24")
	s := f.dnsmasq("srv0", tiny(30, 3, 20)...)
	up(t, machine.Interface{Name: "lan0", DHCP4: true})
	old := addressIn(t, "lan0", "10.1.0.0/24")
	s.kill()
	must(t, os.Remove(filepath.Join(f.dir, "srv0.leases")))
	s = f.dnsmasq("srv0", "--dhcp-range=10.1.0.100,10.1.0.110,255.255.255.0,2m", "--dhcp-authoritative")
	fresh := addressIn(t, "lan0", "10.1.0.96/27")
	s.await("DHCPNAK", 1)
	noAddressIn(t, "lan0", old.Addr().String()+"/32")
	routesAre(t, netlink.FAMILY_V4, "default via 10.1.0.1 dev lan0")
	s.await("DHCPACK(srv0) "+fresh.Addr().String(), 1)
}

func TestDHCP4Cable(t *testing.T) {
	if inNamespaces(t) {
		return
	}
	f := newFar(t)
	f.plug("lan0", "srv0", "10.1.0.1/24")
	range1 := "--dhcp-range=10.1.0.10,10.1.0.20,255.255.255.0,1h"
	s := f.dnsmasq("srv0", range1, "--dhcp-authoritative")
	up(t, machine.Interface{Name: "lan0", DHCP4: true})
	addr := addressIn(t, "lan0", "10.1.0.0/24")
	before := strings.Count(s.log(), "DHCPDISCOVER")
	// The same net: the lease is confirmed without a discovery.
	f.pull("lan0", "srv0")
	f.cable("srv0", true)
	s.await("DHCPACK(srv0) "+addr.Addr().String(), 2)
	if n := strings.Count(s.log(), "DHCPDISCOVER"); n != before {
		t.Errorf("%d discoveries, want %d", n, before)
	}
	// Another net: the old address goes.
	s.kill()
	must(t, os.Remove(filepath.Join(f.dir, "srv0.leases")))
	f.pull("lan0", "srv0")
	f.address("srv0", "10.2.0.1/24")
	f.dnsmasq("srv0", "--dhcp-range=10.2.0.10,10.2.0.20,255.255.255.0,1h", "--dhcp-authoritative")
	f.cable("srv0", true)
	addressIn(t, "lan0", "10.2.0.0/24")
	noAddressIn(t, "lan0", "10.1.0.0/24")
}

func TestSeveralInterfaces(t *testing.T) {
	if inNamespaces(t) {
		return
	}
	f := newFar(t)
	f.plug("lan0", "srv0", "10.1.0.1/24")
	f.plug("lan1", "srv1", "10.2.0.1/24")
	f.dnsmasq("srv0", "--dhcp-range=10.1.0.10,10.1.0.20,255.255.255.0,1h", "--dhcp-option=option:dns-server,10.1.0.53", "--dhcp-option=option:mtu,1400")
	link, err := netlink.LinkByName("lan1")
	must(t, err)
	f.dnsmasq("srv1", "--dhcp-range=10.2.0.10,10.2.0.20,255.255.255.0,1h", "--dhcp-option=option:dns-server,10.2.0.53")
	conf := up(t, machine.Interface{Name: "lan0", DHCP4: true, MTU: 1300}, machine.Interface{MAC: link.Attrs().HardwareAddr.String(), DHCP4: true})
	addressIn(t, "lan0", "10.1.0.0/24")
	addressIn(t, "lan1", "10.2.0.0/24")
	fileSays(t, conf, "nameserver 10.1.0.53\nnameserver 10.2.0.53\n")
	routesAre(t, netlink.FAMILY_V4, "default via 10.1.0.1 dev lan0", "default via 10.2.0.1 dev lan1")
	lan0, err := netlink.LinkByName("lan0")
	must(t, err)
	if lan0.Attrs().MTU != 1300 {
		t.Errorf("MTU of lan0 is %d, want 1300 as declared, whatever the server says", lan0.Attrs().MTU)
	}
	must(t, netlink.LinkDel(link))
	fileSays(t, conf, "nameserver 10.1.0.53\n")
}
