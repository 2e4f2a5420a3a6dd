// Package network configures a machine's interfaces as its image declares:
// static addresses, DHCPv4 (RFC 2131), stateful DHCPv6 (RFC 8415) and router
// advertisements (the kernel's SLAAC; name servers by RFC 8106).
//
// Packets are a library's; when to ask, what to apply and what to drop is
// decided here. One goroutine a method and interface runs for the machine's
// life. What they learn of name servers goes to one resolv.conf.
package network

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/vishvananda/netlink"

	"ashlar/internal/contract/machine"
)

// Options says where things are. The zero value is the running machine.
type Options struct {
	ResolvConf string // file to write; "" writes none
	Log        func(format string, args ...any)
	Wait       time.Duration // how long Up waits for addresses; 0: 30 s
}

// Manager is a configured network.
type Manager struct {
	opt    Options
	cancel context.CancelFunc
	tasks  sync.WaitGroup
	names  *resolver

	mu      sync.Mutex
	started map[int]bool // by interface index
	ready   map[string]bool
	change  chan struct{} // closed and replaced when ready changes
}

// automatic is what an interface gets when none is declared.
var automatic = machine.Interface{Name: "*", DHCP4: true, RA: true}

// Up brings lo up, starts configuring and waits until every declared interface
// has what it was promised; with none declared, until one interface has an
// address. When the time is over it returns the manager, which goes on, and an
// error that says what is missing.
func Up(ctx context.Context, config machine.Network, opt Options) (*Manager, error) {
	if opt.Log == nil {
		opt.Log = func(string, ...any) {}
	}
	if opt.Wait == 0 {
		opt.Wait = 30 * time.Second
	}
	running, cancel := context.WithCancel(context.Background())
	m := &Manager{
		opt: opt, cancel: cancel, names: newResolver(opt.ResolvConf, config), started: map[int]bool{},
		ready: map[string]bool{}, change: make(chan struct{}),
	}
	declared := config.Interfaces
	if len(declared) == 0 {
		declared = []machine.Interface{automatic}
	}
	if err := errors.Join(loopbackUp(), m.names.write(), m.watch(running, declared)); err != nil {
		return m, fmt.Errorf("configure network: %w", err)
	}
	return m, m.wait(ctx, config.Interfaces)
}

func loopbackUp() error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("find lo: %w", err)
	}
	return netlink.LinkSetUp(lo)
}

// watch starts what is declared for each interface, those that appear later
// included.
func (m *Manager) watch(ctx context.Context, declared []machine.Interface) error {
	updates := make(chan netlink.LinkUpdate, 16)
	if err := netlink.LinkSubscribe(updates, ctx.Done()); err != nil {
		return fmt.Errorf("watch interfaces: %w", err)
	}
	links, err := netlink.LinkList()
	if err != nil {
		return fmt.Errorf("list interfaces: %w", err)
	}
	for _, link := range links {
		m.consider(ctx, link, declared)
	}
	m.tasks.Go(func() {
		for update := range updates {
			m.consider(ctx, update.Link, declared)
		}
	})
	m.tasks.Go(func() { m.listenToRouters(ctx) })
	return nil
}

// consider starts the configuration of an interface that is declared and not
// started yet.
func (m *Manager) consider(ctx context.Context, link netlink.Link, declared []machine.Interface) {
	attrs := link.Attrs()
	if attrs.Flags&net.FlagLoopback != 0 {
		return
	}
	for _, d := range declared {
		if !matches(d, attrs) {
			continue
		}
		m.mu.Lock()
		again := m.started[attrs.Index]
		m.started[attrs.Index] = true
		m.mu.Unlock()
		if !again {
			m.start(ctx, link, d)
		}
		return
	}
}

// matches reports whether a declaration is for the interface. A pattern is for
// hardware only: bridges and tunnels have to be named.
func matches(d machine.Interface, attrs *netlink.LinkAttrs) bool {
	if d.MAC != "" {
		return strings.EqualFold(d.MAC, attrs.HardwareAddr.String())
	}
	if d.Name == attrs.Name {
		return true
	}
	ok, err := path.Match(d.Name, attrs.Name)
	if err != nil || !ok {
		return false
	}
	_, err = os.Stat(filepath.Join("/sys/class/net", attrs.Name, "device"))
	return err == nil && attrs.EncapType == "ether"
}

// start runs the declared methods on the interface.
func (m *Manager) start(ctx context.Context, link netlink.Link, d machine.Interface) {
	name := link.Attrs().Name
	if err := prepare(link, d); err != nil {
		m.opt.Log("network: %s: %v", name, err)
		return
	}
	if d.DHCP4 {
		m.tasks.Go(func() { m.dhcp4(ctx, link) })
	}
	if d.DHCP6 {
		m.tasks.Go(func() { m.dhcp6(ctx, link) })
	}
	switch {
	case d.DHCP4 || d.DHCP6:
	case len(d.Addresses) > 0:
		m.markReady(name)
	default:
		m.tasks.Go(func() { m.awaitGlobal(ctx, link) })
	}
}

// prepare sets what is static and brings the interface up.
func prepare(link netlink.Link, d machine.Interface) error {
	name := link.Attrs().Name
	errs := []error{setConf6(name, "accept_ra", d.RA), setConf6(name, "autoconf", d.RA)}
	if d.MTU > 0 {
		errs = append(errs, netlink.LinkSetMTU(link, d.MTU))
	}
	for _, text := range d.Addresses {
		errs = append(errs, addAddress(link, text))
	}
	if err := netlink.LinkSetUp(link); err != nil {
		errs = append(errs, fmt.Errorf("bring up: %w", err))
	}
	for _, text := range d.Gateways {
		if err := addGateway(link, net.ParseIP(text)); err != nil {
			errs = append(errs, fmt.Errorf("add gateway %s: %w", text, err))
		}
	}
	return errors.Join(errs...)
}

func addAddress(link netlink.Link, text string) error {
	addr, err := netlink.ParseAddr(text)
	if err != nil {
		return fmt.Errorf("address %s: %w", text, err)
	}
	if addr.IP.To4() == nil {
		const noDAD = 0x02 // IFA_F_NODAD: usable at once; the administrator says that it is unique
		addr.Flags |= noDAD
	}
	if err := netlink.AddrReplace(link, addr); err != nil {
		return fmt.Errorf("add address %s: %w", text, err)
	}
	return nil
}

// setConf6 sets an IPv6 setting of an interface; a kernel without IPv6 has none.
func setConf6(iface, setting string, on bool) error {
	value := "0"
	if on {
		value = "1"
	}
	err := os.WriteFile(filepath.Join("/proc/sys/net/ipv6/conf", iface, setting), []byte(value), 0o644)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

// addGateway adds a default route, with a route to the gateway itself where no
// subnet holds it, as some hosters want.
func addGateway(link netlink.Link, gateway net.IP) error {
	if gateway == nil {
		return errors.New("not an address")
	}
	route := netlink.Route{LinkIndex: link.Attrs().Index, Gw: gateway, Dst: defaultFor(gateway)}
	if netlink.RouteReplace(&route) == nil {
		return nil
	}
	bits := 8 * len(shorten(gateway))
	toGateway := netlink.Route{
		LinkIndex: link.Attrs().Index, Scope: netlink.SCOPE_LINK,
		Dst: &net.IPNet{IP: shorten(gateway), Mask: net.CIDRMask(bits, bits)},
	}
	if err := netlink.RouteReplace(&toGateway); err != nil {
		return err
	}
	return netlink.RouteReplace(&route)
}

func defaultFor(ip net.IP) *net.IPNet {
	size := len(shorten(ip))
	return &net.IPNet{IP: make(net.IP, size), Mask: make(net.IPMask, size)}
}

func shorten(ip net.IP) net.IP {
	if four := ip.To4(); four != nil {
		return four
	}
	return ip
}

// awaitGlobal waits for the address that router advertisements give.
func (m *Manager) awaitGlobal(ctx context.Context, link netlink.Link) {
	const pause = 200 * time.Millisecond
	for ctx.Err() == nil {
		addrs, err := netlink.AddrList(link, netlink.FAMILY_V6)
		for _, a := range addrs {
			if err == nil && a.IP.IsGlobalUnicast() {
				m.markReady(link.Attrs().Name)
				return
			}
		}
		sleep(ctx, pause)
	}
}

func (m *Manager) markReady(iface string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.ready[iface] {
		return
	}
	m.ready[iface] = true
	close(m.change)
	m.change = make(chan struct{})
}

// wait returns once what is declared is ready.
func (m *Manager) wait(ctx context.Context, declared []machine.Interface) error {
	ctx, cancel := context.WithTimeout(ctx, m.opt.Wait)
	defer cancel()
	for {
		missing, change := m.missing(declared)
		if len(missing) == 0 {
			return nil
		}
		select {
		case <-change:
		case <-ctx.Done():
			return fmt.Errorf("configure network: no address within %s on %s", m.opt.Wait, strings.Join(missing, ", "))
		}
	}
}

// missing gives the declarations that have no ready interface.
func (m *Manager) missing(declared []machine.Interface) ([]string, <-chan struct{}) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(declared) == 0 {
		if len(m.ready) > 0 {
			return nil, m.change
		}
		return []string{"any interface"}, m.change
	}
	var missing []string
	for _, d := range declared {
		if !m.anyReady(d) {
			missing = append(missing, d.Name+d.MAC)
		}
	}
	return missing, m.change
}

func (m *Manager) anyReady(d machine.Interface) bool {
	for name := range m.ready {
		if link, err := netlink.LinkByName(name); err == nil && matches(d, link.Attrs()) {
			return true
		}
	}
	return false
}

// Close stops asking for addresses; those that are there stay.
func (m *Manager) Close() error {
	m.cancel()
	m.tasks.Wait()
	return nil
}
