package network

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv6"
	"github.com/insomniacslk/dhcp/dhcpv6/nclient6"
	"github.com/vishvananda/netlink"
)

// dhcp6 keeps a stateful IPv6 address on the interface until ctx ends. A lease
// is renewed by asking again with the same identity at half its time: servers
// give the same address back.
func (m *Manager) dhcp6(ctx context.Context, link netlink.Link) {
	m.retry(ctx, link.Attrs().Name, func() error {
		valid, err := m.request6(ctx, link)
		if err != nil {
			return err
		}
		m.markReady(link.Attrs().Name)
		sleep(ctx, max(valid/2, dhcpLeastLease/2))
		return nil
	})
}

// request6 asks once and applies the answer; it gives the time of validity.
func (m *Manager) request6(ctx context.Context, link netlink.Link) (time.Duration, error) {
	name := link.Attrs().Name
	if err := awaitLinkLocal(ctx, link); err != nil {
		return 0, err
	}
	client, err := nclient6.New(name, nclient6.WithTimeout(3*time.Second), nclient6.WithRetry(3))
	if err != nil {
		return 0, fmt.Errorf("ask for an IPv6 lease: %w", err)
	}
	defer client.Close()
	reply, err := client.RapidSolicit(ctx, dhcpv6.WithRequestedOptions(dhcpv6.OptionDNSRecursiveNameServer, dhcpv6.OptionDomainSearchList))
	if err != nil {
		return 0, fmt.Errorf("ask for an IPv6 lease: %w", err)
	}
	lease := reply.Options.OneIANA()
	if lease == nil || lease.Options.OneAddress() == nil {
		return 0, errors.New("ask for an IPv6 lease: the server gives no address")
	}
	given := lease.Options.OneAddress()
	addr := &netlink.Addr{
		IPNet:    &net.IPNet{IP: given.IPv6Addr, Mask: net.CIDRMask(128, 128)},
		ValidLft: int(given.ValidLifetime.Seconds()), PreferedLft: int(given.PreferredLifetime.Seconds()),
	}
	if err := netlink.AddrReplace(link, addr); err != nil {
		return 0, fmt.Errorf("apply IPv6 lease: %w", err)
	}
	m.opt.Log("network: %s: %s by DHCPv6", name, given.IPv6Addr)
	var search []string
	if list := reply.Options.DomainSearchList(); list != nil {
		search = list.Labels
	}
	return given.ValidLifetime, m.names.learn(name+" dhcp6", reply.Options.DNS(), search)
}

// awaitLinkLocal waits until the interface has a link-local address that is no
// longer tentative: the client's socket is bound to it.
func awaitLinkLocal(ctx context.Context, link netlink.Link) error {
	const (
		tentative = 0x40 // IFA_F_TENTATIVE
		tries     = 100
		pause     = 100 * time.Millisecond
	)
	for range tries {
		addrs, err := netlink.AddrList(link, netlink.FAMILY_V6)
		if err != nil {
			return fmt.Errorf("list addresses: %w", err)
		}
		for _, a := range addrs {
			if a.IP.IsLinkLocalUnicast() && a.Flags&tentative == 0 {
				return nil
			}
		}
		if !sleep(ctx, pause) {
			return ctx.Err()
		}
	}
	return errors.New("no link-local address: is the cable in?")
}
