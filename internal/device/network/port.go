package network

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"ashlar/internal/contract/machine"
)

// port is an interface that is being configured.
type port struct {
	m       *Manager
	link    netlink.Link // as it was at the beginning
	name    string
	want    machine.Interface
	stop    context.CancelFunc
	tasks   sync.WaitGroup
	cable   cable
	addrs   signal        // fires when addresses change
	advised signal        // fires when routers advise otherwise about DHCPv6
	flags   atomic.Uint32 // what routers advise
	said6   netip.Addr    // the DHCPv6 client's: as last logged

	mu   sync.Mutex
	open map[string]bool   // methods of which nothing is known yet
	why  map[string]string // methods that fail, and their last reason
	got  bool              // some method has delivered
}

// The methods.
const (
	methodStatic = "static"
	methodDHCP4  = "dhcp4"
	methodDHCP6  = "dhcp6"
	methodRouter = "ra"
)

// start runs the declared methods on the interface.
func (m *Manager) start(ctx context.Context, link netlink.Link, d machine.Interface) {
	attrs := link.Attrs()
	ctx, stop := context.WithCancel(ctx)
	p := &port{m: m, link: link, name: attrs.Name, want: d, stop: stop, open: map[string]bool{}, why: map[string]string{}}
	p.cable.set(hasCarrier(attrs))
	for method, on := range map[string]bool{methodDHCP4: d.DHCP4, methodDHCP6: d.DHCP6} {
		if on {
			p.open[method] = true
		}
	}
	if len(p.open) == 0 && d.RA && len(d.Addresses) == 0 {
		p.open[methodRouter] = true
	}
	m.mu.Lock()
	m.ports[attrs.Index] = p
	m.mu.Unlock()
	if err := p.prepare(); err != nil || len(d.Addresses) > 0 || len(p.open) == 0 {
		p.outcome(methodStatic, err)
	}
	if d.DHCP4 {
		p.tasks.Go(func() { p.dhcp4(ctx) })
	}
	if d.DHCP6 {
		p.tasks.Go(func() { p.dhcp6(ctx) })
	}
	if d.RA {
		p.tasks.Go(func() { p.awaitRouter(ctx) })
		p.tasks.Go(func() { p.solicit(ctx, isUp(attrs)) })
		if !d.DHCP6 {
			p.tasks.Go(func() { p.inform(ctx) })
		}
	}
}

// outcome notes that a method has delivered (nil) or failed; failures are said
// when they are new. The interface is ready when something was delivered and
// no method is still open.
func (p *port) outcome(method string, err error) {
	p.mu.Lock()
	delete(p.open, method)
	before := p.why[method]
	if err == nil {
		p.got = true
		delete(p.why, method)
	} else {
		p.why[method] = err.Error()
	}
	p.mu.Unlock()
	if err != nil && err.Error() != before {
		p.m.opt.Log("network: %s: %s: %v", p.name, method, err)
	}
	p.m.change.fire()
}

// look reports whether an interface that the declaration fits is ready, else
// why none is.
func (m *Manager) look(d machine.Interface) (why string, ready bool) {
	var reasons []string
	for _, index := range slices.Sorted(maps.Keys(m.ports)) {
		p := m.ports[index]
		if !matches(d, p.link) {
			continue
		}
		why, ready := p.state()
		if ready {
			return "", true
		}
		if d.Name != p.name {
			why = p.name + ": " + why
		}
		reasons = append(reasons, why)
	}
	if len(reasons) == 0 {
		return "no such interface", false
	}
	return strings.Join(reasons, ", "), false
}

func (p *port) state() (why string, ready bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.got && len(p.open) == 0 {
		return "", true
	}
	in, _, _ := p.cable.state()
	var list []string
	for _, method := range []string{methodStatic, methodDHCP4, methodDHCP6, methodRouter} {
		switch {
		case p.why[method] != "":
			list = append(list, method+": "+p.why[method])
		case p.open[method] && in:
			list = append(list, method+": no answer yet")
		}
	}
	if !in {
		list = append(list, "no carrier: is the cable in?")
	}
	return strings.Join(list, ", "), false
}

func isUp(attrs *netlink.LinkAttrs) bool { return attrs.RawFlags&unix.IFF_UP != 0 }

func hasCarrier(attrs *netlink.LinkAttrs) bool { return attrs.RawFlags&unix.IFF_LOWER_UP != 0 }

// same reports whether the interface is still what the port was made for.
func (p *port) same(link netlink.Link) bool {
	attrs := link.Attrs()
	return attrs.Name == p.name && bytes.Equal(attrs.HardwareAddr, p.link.Attrs().HardwareAddr) && matches(p.want, link)
}

// learn notes name servers that a method gives.
func (p *port) learn(method string, servers []netip.Addr, search []string) {
	said := learnt{servers: serverTexts(servers, p.name), search: search}
	if err := p.m.names.learn(p.name+" "+method, said); err != nil {
		p.m.opt.Log("network: %v", err)
	}
}

// has6 reports whether an IPv6 address of the kind is there for use.
func (p *port) has6(kind func(netip.Addr) bool) (bool, error) {
	addrs, err := netlink.AddrList(p.link, netlink.FAMILY_V6)
	if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
		return false, fmt.Errorf("list addresses: %w", err)
	}
	for _, a := range addrs {
		ip, ok := netip.AddrFromSlice(a.IP)
		if ok && kind(ip) && a.Flags&(unix.IFA_F_TENTATIVE|unix.IFA_F_DADFAILED) == 0 {
			return true, nil
		}
	}
	return false, nil
}

// await6 waits until has6.
func (p *port) await6(ctx context.Context, kind func(netip.Addr) bool) error {
	for {
		next := p.addrs.next()
		ok, err := p.has6(kind)
		if ok || err != nil {
			return err
		}
		select {
		case <-next:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
