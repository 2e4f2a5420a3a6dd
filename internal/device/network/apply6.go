package network

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv6"
	"github.com/insomniacslk/dhcp/iana"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// newClient6 makes a client that is known by the hardware address (DUID-LL, RFC
// 8415, 11.4): a machine without state keeps its addresses.
func (p *port) newClient6() (*client6, error) {
	hw := p.link.Attrs().HardwareAddr
	if len(hw) != 6 {
		return nil, fmt.Errorf("hardware address %q is not Ethernet's", hw)
	}
	return &client6{
		duid: &dhcpv6.DUIDLL{HWType: iana.HWTypeEthernet, LinkLayerAddr: hw}, iaid: [4]byte(hw[2:]),
		cable: &p.cable, open: p.openWire6, maxRT: solMaxRT,
		apply: p.apply6, drop: p.drop6, report: func(err error) { p.outcome(methodDHCP6, err) },
	}, nil
}

// dhcp6 keeps stateful IPv6 addresses on the interface until ctx ends.
func (p *port) dhcp6(ctx context.Context) {
	c, err := p.newClient6()
	if err != nil {
		p.outcome(methodDHCP6, err)
		return
	}
	c.run(ctx)
}

// apply6 sets addresses and name servers, and waits for the kernel to have
// looked for duplicates (RFC 4862, 5.4): before that nobody can bind to them.
func (p *port) apply6(ctx context.Context, l lease6) error {
	for _, a := range l.addrs {
		addr := &netlink.Addr{
			IPNet: ipNet(netip.PrefixFrom(a.ip, 128)), ValidLft: lifetime(a.valid), PreferedLft: lifetime(a.preferred),
		}
		if err := netlink.AddrReplace(p.link, addr); err != nil {
			return fmt.Errorf("add address %s: %w", a.ip, err)
		}
	}
	p.learn(methodDHCP6, l.servers, l.search)
	if first := l.addrs[0]; p.said6 != first.ip {
		p.said6 = first.ip
		p.m.opt.Log("network: %s: %s by DHCPv6 for %s", p.name, first.ip, first.valid)
	}
	const limit = 10 * time.Second
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for {
		next := p.addrs.next()
		if waiting, err := p.duplicates(l); err != nil || !waiting {
			return err
		}
		select {
		case <-next:
		case <-ctx.Done():
			return nil // no carrier, say: it is not known to be wrong
		}
	}
}

// lifetime gives whole seconds as the kernel counts them.
func lifetime(d time.Duration) int { return int(d / time.Second) }

// duplicates looks at how far the kernel is with the lease's addresses.
func (p *port) duplicates(l lease6) (waiting bool, err error) {
	addrs, err := netlink.AddrList(p.link, netlink.FAMILY_V6)
	if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
		return false, fmt.Errorf("list addresses: %w", err)
	}
	for _, a := range addrs {
		if !slices.ContainsFunc(l.addrs, func(b addr6) bool { return a.IP.Equal(net.IP(b.ip.AsSlice())) }) {
			continue
		}
		if a.Flags&unix.IFA_F_DADFAILED != 0 {
			return false, fmt.Errorf("%w %s", errDuplicate, a.IP)
		}
		waiting = waiting || a.Flags&unix.IFA_F_TENTATIVE != 0
	}
	return waiting, nil
}

// drop6 takes away what the lease gave.
func (p *port) drop6(l lease6) {
	for _, a := range l.addrs {
		err := netlink.AddrDel(p.link, &netlink.Addr{IPNet: ipNet(netip.PrefixFrom(a.ip, 128))})
		if err != nil && !errors.Is(err, unix.EADDRNOTAVAIL) && !errors.Is(err, unix.ENODEV) { // the kernel was quicker
			p.m.opt.Log("network: %s: remove address %s: %v", p.name, a.ip, err)
		}
	}
	p.said6 = netip.Addr{}
	p.learn(methodDHCP6, nil, nil)
}
