package network

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv4/nclient4"
	"github.com/vishvananda/netlink"
)

// The pauses between attempts, and the shortest lease that is believed.
const (
	dhcpFirstPause = time.Second
	dhcpMostPause  = 64 * time.Second // RFC 2131, 4.1
	dhcpLeastLease = 60 * time.Second
)

// wantedOptions is asked of servers.
var wantedOptions = dhcpv4.WithRequestedOptions(
	dhcpv4.OptionSubnetMask, dhcpv4.OptionRouter, dhcpv4.OptionDomainNameServer, dhcpv4.OptionDomainName,
	dhcpv4.OptionInterfaceMTU, dhcpv4.OptionDNSDomainSearchList, dhcpv4.OptionClasslessStaticRoute,
)

// dhcp4 keeps an IPv4 lease on the interface until ctx ends.
func (m *Manager) dhcp4(ctx context.Context, link netlink.Link) {
	name := link.Attrs().Name
	m.retry(ctx, name, func() error {
		lease, err := requestLease(ctx, name)
		if err == nil {
			err = m.applyLease(link, lease)
		}
		if err != nil {
			return err
		}
		m.markReady(name)
		m.keepLease(ctx, link, lease)
		return nil
	})
}

// retry calls attempt until ctx ends: at once after one that went well, with
// growing pauses after failures.
func (m *Manager) retry(ctx context.Context, iface string, attempt func() error) {
	pause := dhcpFirstPause
	for ctx.Err() == nil {
		err := attempt()
		if err == nil {
			pause = dhcpFirstPause
			continue
		}
		if ctx.Err() == nil && pause == dhcpFirstPause {
			m.opt.Log("network: %s: %v (trying on)", iface, err)
		}
		sleep(ctx, pause)
		pause = min(2*pause, dhcpMostPause)
	}
}

// requestLease asks until a server answers or the client's retries are over.
func requestLease(ctx context.Context, iface string) (*nclient4.Lease, error) {
	client, err := nclient4.New(iface, nclient4.WithTimeout(2*time.Second), nclient4.WithRetry(3))
	if err != nil {
		return nil, fmt.Errorf("ask for a DHCP lease: %w", err)
	}
	defer client.Close()
	lease, err := client.Request(ctx, wantedOptions)
	if err != nil {
		return nil, fmt.Errorf("ask for a DHCP lease: %w", err)
	}
	return lease, nil
}

func renewLease(ctx context.Context, iface string, lease *nclient4.Lease) (*nclient4.Lease, error) {
	client, err := nclient4.New(iface, nclient4.WithTimeout(5*time.Second), nclient4.WithRetry(2))
	if err != nil {
		return nil, err
	}
	defer client.Close()
	return client.Renew(ctx, lease, wantedOptions)
}

// keepLease renews until the lease is lost, then removes its address.
func (m *Manager) keepLease(ctx context.Context, link netlink.Link, lease *nclient4.Lease) {
	for lease != nil {
		lease = m.renew(ctx, link, lease)
	}
}

// renew waits for half of the lease's time and asks for more (RFC 2131, 4.4.5):
// again after half of what is left, a minute at least. It gives the new lease,
// or nil when the old one is over or ctx has ended.
func (m *Manager) renew(ctx context.Context, link netlink.Link, lease *nclient4.Lease) *nclient4.Lease {
	end := lease.CreationTime.Add(leaseTime(lease))
	for next := lease.CreationTime.Add(leaseTime(lease) / 2); next.Before(end); next = time.Now().Add(max(time.Until(end)/2, time.Minute)) {
		if !sleep(ctx, time.Until(next)) {
			return nil
		}
		fresh, err := renewLease(ctx, link.Attrs().Name, lease)
		if err == nil && fresh.ACK.YourIPAddr.Equal(lease.ACK.YourIPAddr) && m.applyLease(link, fresh) == nil {
			return fresh
		}
		var refused *nclient4.ErrNak
		if errors.As(err, &refused) {
			break
		}
	}
	if !sleep(ctx, time.Until(end)) {
		return nil
	}
	m.opt.Log("network: %s: the lease of %s is over", link.Attrs().Name, lease.ACK.YourIPAddr)
	m.dropLease(link, lease)
	return nil
}

func leaseTime(lease *nclient4.Lease) time.Duration {
	return max(lease.ACK.IPAddressLeaseTime(time.Hour), dhcpLeastLease)
}

func leaseAddr(lease *nclient4.Lease) *netlink.Addr {
	mask := lease.ACK.SubnetMask()
	if mask == nil {
		mask = lease.ACK.YourIPAddr.DefaultMask()
	}
	seconds := int(leaseTime(lease).Seconds())
	return &netlink.Addr{IPNet: &net.IPNet{IP: lease.ACK.YourIPAddr.To4(), Mask: mask}, ValidLft: seconds, PreferedLft: seconds}
}

// applyLease sets address, routes, MTU and name servers.
func (m *Manager) applyLease(link netlink.Link, lease *nclient4.Lease) error {
	ack, name := lease.ACK, link.Attrs().Name
	if ack.YourIPAddr.To4() == nil || ack.YourIPAddr.IsUnspecified() {
		return errors.New("apply DHCP lease: the server gives no address")
	}
	const leastMTU = 576 // RFC 791: what every host takes
	if mtu, err := dhcpv4.GetUint16(dhcpv4.OptionInterfaceMTU, ack.Options); err == nil && mtu >= leastMTU {
		if err := netlink.LinkSetMTU(link, int(mtu)); err != nil {
			m.opt.Log("network: %s: set MTU %d: %v", name, mtu, err)
		}
	}
	if err := netlink.AddrReplace(link, leaseAddr(lease)); err != nil {
		return fmt.Errorf("apply DHCP lease: %w", err)
	}
	for _, route := range leaseRoutes(link, ack) {
		if err := netlink.RouteReplace(route); err != nil {
			m.opt.Log("network: %s: add route %v: %v", name, route, err)
		}
	}
	var search []string
	if list := ack.DomainSearch(); list != nil {
		search = list.Labels
	} else if domain := ack.DomainName(); domain != "" {
		search = []string{domain}
	}
	m.opt.Log("network: %s: %s by DHCP", name, ack.YourIPAddr)
	return m.names.learn(name+" dhcp4", ack.DNS(), search)
}

// leaseRoutes gives the classless routes (RFC 3442), or else the router's.
func leaseRoutes(link netlink.Link, ack *dhcpv4.DHCPv4) []*netlink.Route {
	index := link.Attrs().Index
	var routes []*netlink.Route
	for _, r := range ack.ClasslessStaticRoute() {
		route := &netlink.Route{LinkIndex: index, Dst: r.Dest}
		if r.Router.IsUnspecified() {
			route.Scope = netlink.SCOPE_LINK
		} else {
			route.Gw = r.Router
		}
		routes = append(routes, route)
	}
	if routers := ack.Router(); len(routes) == 0 && len(routers) > 0 {
		routes = append(routes, &netlink.Route{LinkIndex: index, Gw: routers[0], Dst: defaultFor(routers[0]), Flags: int(netlink.FLAG_ONLINK)})
	}
	return routes
}

func (m *Manager) dropLease(link netlink.Link, lease *nclient4.Lease) {
	if err := netlink.AddrDel(link, leaseAddr(lease)); err != nil {
		m.opt.Log("network: %s: remove %s: %v", link.Attrs().Name, lease.ACK.YourIPAddr, err)
	}
	if err := m.names.learn(link.Attrs().Name+" dhcp4", nil, nil); err != nil {
		m.opt.Log("network: %v", err)
	}
}

// sleep waits; it reports false when ctx ended.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(max(0, d))
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
