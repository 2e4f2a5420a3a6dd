package network

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"ashlar/internal/contract/machine"
)

// prepare sets what is static and brings the interface up. What fails does not
// keep the rest from being tried.
func (p *port) prepare() error {
	var errs []error
	try := func(what string, err error) {
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", what, err))
		}
	}
	// 2 takes advertisements on a machine that forwards packets, too.
	accept, autoconf := "0", "0"
	if p.want.RA {
		accept, autoconf = "2", "1"
	}
	try("set accept_ra", setConf6(p.name, "accept_ra", accept))
	try("set autoconf", setConf6(p.name, "autoconf", autoconf))
	if p.want.MTU > 0 && p.want.MTU != p.link.Attrs().MTU {
		try(fmt.Sprintf("set MTU %d", p.want.MTU), netlink.LinkSetMTU(p.link, p.want.MTU))
	}
	for _, text := range p.want.Addresses {
		try("add address "+text, addAddress(p.link, text))
	}
	try("bring up", netlink.LinkSetUp(p.link))
	for _, text := range p.want.Gateways {
		try("add gateway "+text, addRoute(p.link.Attrs().Index, machine.Route{Via: text}))
	}
	for _, r := range p.want.Routes {
		try(fmt.Sprintf("add route %s via %s", r.To, r.Via), addRoute(p.link.Attrs().Index, r))
	}
	return errors.Join(errs...)
}

func addAddress(link netlink.Link, text string) error {
	addr, err := netlink.ParseAddr(text)
	if err != nil {
		return err
	}
	if addr.IP.To4() == nil {
		addr.Flags |= unix.IFA_F_NODAD // usable at once; the administrator says that it is unique
	}
	return netlink.AddrReplace(link, addr)
}

// setConf6 sets an IPv6 setting of an interface; a kernel without IPv6 has none.
func setConf6(iface, setting, value string) error {
	err := os.WriteFile(filepath.Join("/proc/sys/net/ipv6/conf", iface, setting), []byte(value), 0o644)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

// addRoute adds a static route, a default route where To is empty. A gateway
// counts as reachable on the link, whether a subnet holds it or not: some
// hosters give single addresses with a gateway outside.
func addRoute(index int, r machine.Route) error {
	route := netlink.Route{LinkIndex: index, Protocol: unix.RTPROT_STATIC}
	if r.Via != "" {
		via, err := netip.ParseAddr(r.Via)
		if err != nil {
			return err
		}
		route.Gw, route.Flags = via.AsSlice(), int(netlink.FLAG_ONLINK)
		route.Dst = defaultFor(via)
	}
	if r.To != "" {
		to, err := netip.ParsePrefix(r.To)
		if err != nil {
			return err
		}
		route.Dst = ipNet(to.Masked())
	}
	switch {
	case route.Dst == nil:
		return errors.New("neither a destination nor a gateway")
	case route.Gw == nil:
		route.Scope = netlink.SCOPE_LINK
	case len(route.Gw) != len(route.Dst.IP):
		return errors.New("destination and gateway are of two families")
	}
	return netlink.RouteReplace(&route)
}

// defaultFor is 0.0.0.0/0 or ::/0, whichever is of the address's family.
func defaultFor(ip netip.Addr) *net.IPNet {
	size := ip.BitLen() / 8
	return &net.IPNet{IP: make(net.IP, size), Mask: make(net.IPMask, size)}
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}
