package network

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"ashlar/internal/contract/machine"
	"ashlar/internal/testenv"
)

// radvd advertises on the interface what the text declares.
func (f *far) radvd(peer, text string) *server {
	f.t.Helper()
	path := testenv.RequireTool(f.t, "radvd")
	config := filepath.Join(f.dir, "radvd.conf")
	must(f.t, os.WriteFile(config, fmt.Appendf(nil, "interface %s { AdvSendAdvert on; MinRtrAdvInterval 3; MaxRtrAdvInterval 4;\n%s\n};\n", peer, text), 0o644))
	f.run(func() error { return os.WriteFile("/proc/sys/net/ipv6/conf/all/forwarding", []byte("1"), 0o644) })
	return f.start(path, "--nodaemon", "--config", config, "--pidfile", filepath.Join(f.dir, "radvd.pid"), "--logmethod", "stderr", "--debug", "1")
}

func TestRouterAdvertisement(t *testing.T) {
	if inNamespaces(t) {
		return
	}
	f := newFar(t)
	f.plug("lan0", "srv0", "2001:db8:1::1/64")
	s := f.radvd("srv0", `
		prefix 2001:db8:1::/64 { };
		RDNSS 2001:db8:1::53 { AdvRDNSSLifetime 6; };
		RDNSS fe80::53 { AdvRDNSSLifetime 600; };
		DNSSL example.org lab.example.org { AdvDNSSLLifetime 6; };`)
	// Nobody says that this one is to be asked.
	f.dnsmasq("srv0", "--dhcp-range=2001:db8:1::,static", "--dhcp-option=option6:dns-server,[2001:db8:1::66]")
	conf := up(t, machine.Interface{Name: "lan0", RA: true})
	if addr := addressIn(t, "lan0", "2001:db8:1::/64"); addr.Bits() != 64 {
		t.Errorf("got %s, want a /64", addr)
	}
	fileSays(t, conf, "search example.org lab.example.org\nnameserver 2001:db8:1::53\nnameserver fe80::53%lan0\n")
	got := routes(t, netlink.FAMILY_V6)
	if len(got) != 1 || !strings.HasPrefix(got[0], "default via fe80::") {
		t.Errorf("routes are %v, want one to the router", got)
	}
	// The router falls silent: what is over goes, what is not stays.
	s.kill()
	fileSays(t, conf, "nameserver fe80::53%lan0\n")
}

func TestDHCP6Stateful(t *testing.T) {
	if inNamespaces(t) {
		return
	}
	f := newFar(t)
	f.plug("lan0", "srv0", "2001:db8:1::1/64")
	args := []string{"--enable-ra", "--dhcp-range=2001:db8:1::1000,2001:db8:1::1fff,64,1h",
		"--dhcp-option=option6:dns-server,[2001:db8:1::53]", "--dhcp-option=option6:domain-search,example.org"}
	s := f.dnsmasq("srv0", args...)
	conf := up(t, machine.Interface{Name: "lan0", RA: true, DHCP6: true})
	addr := addressIn(t, "lan0", "2001:db8:1::1000/116")
	if addr.Bits() != 128 {
		t.Errorf("got %s, want a /128", addr)
	}
	eventually(t, func() error {
		got := routes(t, netlink.FAMILY_V6)
		for _, r := range got {
			if strings.HasPrefix(r, "default via fe80::") {
				return nil
			}
		}
		return fmt.Errorf("routes are %v, want a default route", got)
	})
	eventually(t, func() error {
		got, err := os.ReadFile(conf)
		if !strings.Contains(string(got), "search example.org\nnameserver 2001:db8:1::53\n") {
			return fmt.Errorf("resolv.conf is %q (%v)", got, err)
		}
		return nil
	})
	// The cable is pulled and put in: the address is confirmed, and routers
	// are asked (the kernel does not do that then).
	link, err := netlink.LinkByName("lan0")
	must(t, err)
	solicitation := "RTR-SOLICIT(srv0) " + link.Attrs().HardwareAddr.String()
	before := strings.Count(s.log(), solicitation)
	f.pull("lan0", "srv0")
	f.address("srv0", "2001:db8:1::1/64") // it goes when the interface is down
	f.cable("srv0", true)
	s.await("DHCPCONFIRM", 1)
	s.await(solicitation, before+2)
	if got := addressIn(t, "lan0", "2001:db8:1::1000/116"); got != addr {
		t.Errorf("address is %s, want %s as before", got, addr)
	}
}

// TestDHCP6Exchange drives the client's states against a real server without
// waiting for the times, which are minutes at least.
func TestDHCP6Exchange(t *testing.T) {
	if inNamespaces(t) {
		return
	}
	f := newFar(t)
	f.plug("lan0", "srv0", "2001:db8:1::1/64")
	args := []string{"--dhcp-range=2001:db8:1::1000,2001:db8:1::1fff,64,1h"}
	s := f.dnsmasq("srv0", args...)
	p := quiet(t, "lan0")
	c, err := p.newClient6()
	must(t, err)
	var reports []error
	c.report = func(err error) { reports = append(reports, err) }
	ctx, cancel := context.WithTimeout(context.Background(), 40*time.Second)
	defer cancel()
	lease, err := c.acquire(ctx)
	must(t, err)
	if len(lease.addrs) != 1 || lease.t1 < 20*time.Minute || lease.t1 > 30*time.Minute || lease.t2 <= lease.t1 {
		t.Errorf("lease is %+v, want one address, T1 of about half an hour", lease)
	}
	must(t, c.use(ctx, lease))
	lease.t1 = 0
	renewed, err := c.extend(ctx, lease)
	must(t, err)
	s.await("DHCPRENEW", 1)
	if renewed.addrs[0].ip != lease.addrs[0].ip {
		t.Errorf("renewed as %s, want %s", renewed.addrs[0].ip, lease.addrs[0].ip)
	}
	lease.t2 = 0
	rebound, err := c.extend(ctx, lease)
	must(t, err)
	s.await("DHCPREBIND", 1)
	if rebound.addrs[0].ip != lease.addrs[0].ip {
		t.Errorf("rebound as %s, want %s", rebound.addrs[0].ip, lease.addrs[0].ip)
	}
	must(t, c.confirm(ctx, lease))
	lease.addrs[0].ip = netip.MustParseAddr("2001:db8:9::1")
	if err := c.confirm(ctx, lease); err == nil {
		t.Error("an address of another net is confirmed")
	}
}

// quiet gives a port whose methods nobody has started.
func quiet(t *testing.T, name string) *port {
	t.Helper()
	m, err := Up(context.Background(), machine.Network{Interfaces: []machine.Interface{{Name: name}}}, Options{Log: t.Logf})
	must(t, err)
	t.Cleanup(func() { must(t, m.Close()) })
	for _, index := range m.indexes() {
		return m.port(index)
	}
	t.Fatal("no port")
	return nil
}

func TestDHCP6Information(t *testing.T) {
	if inNamespaces(t) {
		return
	}
	f := newFar(t)
	f.plug("lan0", "srv0", "2001:db8:1::1/64")
	// radvd says that there is more; its own words name no servers.
	f.radvd("srv0", "AdvOtherConfigFlag on; prefix 2001:db8:1::/64 { };")
	s := f.dnsmasq("srv0", "--dhcp-range=2001:db8:1::,static", "--dhcp-option=option6:dns-server,[2001:db8:1::53]", "--dhcp-option=option6:domain-search,example.org")
	conf := up(t, machine.Interface{Name: "lan0", RA: true})
	addressIn(t, "lan0", "2001:db8:1::/64")
	fileSays(t, conf, "search example.org\nnameserver 2001:db8:1::53\n")
	if strings.Contains(s.log(), "DHCPSOLICIT") {
		t.Error("the client asks for addresses, too")
	}
}
