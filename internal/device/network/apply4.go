package network

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// applier4 makes an interface be as a lease says. It is one goroutine's.
type applier4 struct {
	port   *port
	mtu    int // as it was before any lease
	routes []netlink.Route
	said   lease4 // as last logged
}

// apply sets address, routes, MTU and name servers.
func (a *applier4) apply(l lease4) error {
	p := a.port
	if l.mtu != 0 {
		a.setMTU(l.mtu)
	}
	if err := netlink.AddrReplace(p.link, leaseAddr(l)); err != nil {
		return fmt.Errorf("add address %s: %w", l.addr, err)
	}
	a.setRoutes(leaseRoutes(p.link.Attrs().Index, l))
	p.learn(methodDHCP4, l.servers, l.search)
	if a.said.addr != l.addr {
		p.m.opt.Log("network: %s: %s by DHCP from %s for %s", p.name, l.addr, l.server, l.length)
	}
	a.said = l
	return nil
}

// leaseAddr gives the address with its time: the kernel drops it by itself when
// this program can't.
func leaseAddr(l lease4) *netlink.Addr {
	left := int(max(1, (time.Until(l.end())+time.Second-1)/time.Second))
	if l.length == endless*time.Second {
		left = 0 // none
	}
	return &netlink.Addr{IPNet: ipNet(l.addr), ValidLft: left, PreferedLft: left}
}

// setMTU leaves alone what is right: drivers may drop the link over a change.
// A declared MTU counts for more.
func (a *applier4) setMTU(mtu int) {
	p := a.port
	if p.want.MTU != 0 {
		return
	}
	link, err := netlink.LinkByIndex(p.link.Attrs().Index)
	if err == nil && link.Attrs().MTU != mtu {
		err = netlink.LinkSetMTU(link, mtu)
	}
	if err != nil {
		p.m.opt.Log("network: %s: set MTU %d: %v", p.name, mtu, err)
	}
}

// learntMetric ranks routes that are learnt behind those that are declared,
// and the interfaces among each other by index: no lease takes away the route
// of another.
const learntMetric = 1024

// leaseRoutes gives the kernel's form. Routers are taken to be on the link,
// whatever the subnet mask says.
func leaseRoutes(index int, l lease4) (routes []netlink.Route) {
	for _, r := range l.routes {
		route := netlink.Route{
			LinkIndex: index, Dst: ipNet(r.to), Src: l.addr.Addr().AsSlice(),
			Priority: learntMetric + index, Protocol: unix.RTPROT_DHCP,
		}
		if r.via.IsUnspecified() {
			route.Scope = netlink.SCOPE_LINK
		} else {
			route.Gw, route.Flags = r.via.AsSlice(), int(netlink.FLAG_ONLINK)
		}
		routes = append(routes, route)
	}
	return routes
}

// setRoutes makes these the routes that DHCP gave.
func (a *applier4) setRoutes(want []netlink.Route) {
	p := a.port
	for _, old := range a.routes {
		if !slices.ContainsFunc(want, old.Equal) {
			if err := netlink.RouteDel(&old); err != nil && !errors.Is(err, unix.ESRCH) && !errors.Is(err, unix.ENODEV) {
				p.m.opt.Log("network: %s: remove route %v: %v", p.name, old, err)
			}
		}
	}
	for _, route := range want {
		if err := netlink.RouteReplace(&route); err != nil {
			p.m.opt.Log("network: %s: add route %v: %v", p.name, route, err)
		}
	}
	a.routes = want
}

// drop takes away what the lease gave; its address must not be used on.
func (a *applier4) drop(l lease4) {
	p := a.port
	a.setRoutes(nil)
	err := netlink.AddrDel(p.link, leaseAddr(l))
	if err != nil && !errors.Is(err, unix.EADDRNOTAVAIL) && !errors.Is(err, unix.ENODEV) { // the kernel was quicker
		p.m.opt.Log("network: %s: remove address %s: %v", p.name, l.addr, err)
	}
	if a.said.mtu != 0 {
		a.setMTU(a.mtu)
	}
	a.said = lease4{}
	p.learn(methodDHCP4, nil, nil)
}
