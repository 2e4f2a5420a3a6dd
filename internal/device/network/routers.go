package network

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"slices"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// maxPerPort bounds what the routers on one link can make this program keep of
// name servers, and of domains (RFC 8106, 7.1: bound them; three are of use).
const maxPerPort = 16

// routerNames is what routers have said and what is not over yet.
type routerNames struct{ list []said }

// said is one name server or one domain.
type said struct {
	index  int
	server netip.Addr // or
	domain string
	until  time.Time // zero: for ever
}

func newRouterNames() *routerNames { return &routerNames{} }

// hear takes one option. A lifetime of 0 takes back (RFC 8106, 5.3.1). When
// there are too many, the one that ends first goes (6.1).
func (r *routerNames) hear(a advert, now time.Time) {
	var until time.Time
	const forever = 1<<32 - 1
	if a.lifetime != forever {
		until = now.Add(time.Duration(a.lifetime) * time.Second)
	}
	for _, server := range a.servers {
		if server.IsGlobalUnicast() || server.IsLinkLocalUnicast() {
			r.put(said{index: a.index, server: server, until: until}, now)
		}
	}
	for _, domain := range a.search {
		r.put(said{index: a.index, domain: domain, until: until}, now)
	}
}

func (r *routerNames) put(s said, now time.Time) {
	same := func(o said) bool { return o.index == s.index && o.server == s.server && o.domain == s.domain }
	at := slices.IndexFunc(r.list, same)
	over := !s.until.IsZero() && !s.until.After(now)
	switch {
	case at >= 0 && over:
		r.list = slices.Delete(r.list, at, at+1)
	case at >= 0:
		r.list[at] = s
	case !over:
		r.list = append(r.list, s)
		r.bound(s)
	}
}

// bound keeps the number of what is like s in its limit.
func (r *routerNames) bound(s said) {
	count, first := 0, -1
	for i, o := range r.list {
		if o.index != s.index || (o.domain == "") != (s.domain == "") {
			continue
		}
		count++
		if first < 0 || endsBefore(o.until, r.list[first].until) {
			first = i
		}
	}
	if count > maxPerPort {
		r.list = slices.Delete(r.list, first, first+1)
	}
}

func endsBefore(a, b time.Time) bool {
	if a.IsZero() || b.IsZero() {
		return !a.IsZero()
	}
	return a.Before(b)
}

// expire drops what is over and gives the time of the next end; zero: none. It
// also gives the interfaces that lost something.
func (r *routerNames) expire(now time.Time) (next time.Time, changed []int) {
	r.list = slices.DeleteFunc(r.list, func(s said) bool {
		over := !s.until.IsZero() && !s.until.After(now)
		if over {
			changed = append(changed, s.index)
		}
		return over
	})
	for _, s := range r.list {
		if endsBefore(s.until, next) {
			next = s.until
		}
	}
	return next, changed
}

func (r *routerNames) forget(index int) {
	r.list = slices.DeleteFunc(r.list, func(s said) bool { return s.index == index })
}

// of gives what holds on an interface.
func (r *routerNames) of(index int) (servers []netip.Addr, search []string) {
	for _, s := range r.list {
		switch {
		case s.index != index:
		case s.domain != "":
			search = append(search, s.domain)
		default:
			servers = append(servers, s.server)
		}
	}
	return servers, search
}

// awaitRouter waits for an address that router advertisements give.
func (p *port) awaitRouter(ctx context.Context) {
	static := map[netip.Addr]bool{}
	for _, text := range p.want.Addresses {
		if prefix, err := netip.ParsePrefix(text); err == nil {
			static[prefix.Addr()] = true
		}
	}
	err := p.await6(ctx, func(ip netip.Addr) bool { return ip.IsGlobalUnicast() && !static[ip] })
	if err == nil {
		p.m.opt.Log("network: %s: has an IPv6 address", p.name)
	}
	if ctx.Err() == nil {
		p.outcome(methodRouter, err)
	}
}

// solicit asks routers to speak when the cable comes back, and at the beginning
// if the interface was up already; the kernel asks when it brings one up.
func (p *port) solicit(ctx context.Context, atOnce bool) {
	const times, pause = 3, 4 * time.Second
	seen, err := p.cable.await(ctx)
	for err == nil {
		if atOnce {
			for range times {
				err := p.await6(ctx, netip.Addr.IsLinkLocalUnicast)
				if err == nil {
					err = sendSolicitation(p.link.Attrs())
				}
				if err != nil && ctx.Err() == nil {
					p.m.opt.Log("network: %s: solicit routers: %v", p.name, err)
				}
				if !sleep(ctx, pause) {
					return
				}
			}
		}
		const always = 1 << 62
		_, err = p.cable.sleep(ctx, always, seen)
		_, seen, _ = p.cable.state()
		atOnce = true
	}
}

// sendSolicitation sends an ICMPv6 message of type 133 with the sender's
// hardware address (option 1) to all routers (RFC 4861, 4.1 and 4.6.1); the
// kernel fills in the checksum.
func sendSolicitation(attrs *netlink.LinkAttrs) error {
	fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_ICMPV6)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	defer unix.Close(fd)
	message := []byte{133, 0, 0, 0, 0, 0, 0, 0}
	if len(attrs.HardwareAddr) == 6 {
		message = append(append(message, 1, 1), attrs.HardwareAddr...)
	}
	to := unix.SockaddrInet6{ZoneId: uint32(attrs.Index), Addr: netip.MustParseAddr("ff02::2").As16()}
	const hops = 255
	return errors.Join(
		unix.BindToDevice(fd, attrs.Name),
		unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_HOPS, hops),
		os.NewSyscallError("sendto", unix.Sendto(fd, message, 0, &to)),
	)
}

// serverTexts writes addresses as resolv.conf wants them: with the interface
// where they mean nothing without it.
func serverTexts(servers []netip.Addr, iface string) []string {
	var list []string
	for _, ip := range servers {
		ip = ip.Unmap()
		if ip.Is6() && ip.IsLinkLocalUnicast() {
			ip = ip.WithZone(iface)
		}
		if ip.IsValid() && !ip.IsUnspecified() && !ip.IsMulticast() {
			list = append(list, ip.String())
		}
	}
	return list
}

// fromIPs takes over a library's addresses.
func fromIPs(ips []net.IP) []netip.Addr {
	var list []netip.Addr
	for _, ip := range ips {
		if addr, ok := netip.AddrFromSlice(ip); ok {
			list = append(list, addr.Unmap())
		}
	}
	return list
}
