// Package network configures a machine's interfaces as its image declares:
// static addresses and routes, DHCPv4, stateful and stateless DHCPv6, and router
// advertisements (addresses and routes by the kernel, name servers here).
//
// Packets are a library's; when to ask, what to apply and what to drop is
// decided here. A port is an interface that is being configured; one goroutine
// a method and port runs for as long as the interface is there and declared.
// What methods learn of name servers goes to one resolv.conf. All of it works
// in the network namespace of the process, and on the /proc and /sys that
// belong to it.
//
// Where the times come from:
//
//	DHCPv4, RFC 2131
//	  pauses 1, 2, 4 … 64 s, ±25 %, at most ±1 s   4.1; it begins with 4 s as an example for slow nets
//	  T1 = 1/2, T2 = 7/8 of the lease              4.4.5, unless options 58 and 59 (RFC 2132, 9.11 and 9.12) say else
//	  renewing, rebinding: half of what is left
//	  until T2 or the end, 60 s at least           4.4.5; an eighth of leases that are shorter than 8 minutes
//	  the lease counts from sending the request    4.4.1
//	  cable back: INIT-REBOOT, old lease on silence 3.2, 4.4.2
//	DHCPv6, RFC 8415
//	  RT with RAND of ±10 %                        15
//	  SOL_, REQ_, CNF_, REN_, REB_, INF_, DEC_…    7.6
//	  first Solicit and Information-request up to
//	  one second late; advertisements are
//	  collected for the first RT                   18.2.1, 18.2.6
//	  T1, T2; 0.5 and 0.8 of the shortest
//	  preferred lifetime when the server says 0    14.2, 21.4
//	  SOL_MAX_RT option, information refresh time  21.24, 21.23
//	Router advertisements
//	  lifetimes of name servers and domains        RFC 8106, 5.1 and 5.2
//	  3 solicitations 4 s apart when the cable
//	  comes back                                   RFC 4861, 6.3.7 and 10
//
// A pulled cable takes nothing away before its time: on the same net all goes
// on when it is back, on another net servers and routers say so. What a server
// has given goes at the end of its time, also when this program is gone: the
// kernel knows the times of addresses.
//
// It does not: wait some seconds before the first DHCPDISCOVER (RFC 2131, 4.4.1,
// would have it), give leases back at the end (the next boot gets the same ones),
// probe for duplicates of IPv4 addresses, read DHCPv4 options from the file and
// sname fields (option 52), ask for prefixes, or make VLANs, bridges and tunnels.
package network

import (
	"context"
	"errors"
	"fmt"
	"os"
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
	Hostname   string        // told to DHCPv4 servers (option 12); "": the machine's
}

// Manager is a configured network.
type Manager struct {
	opt     Options
	cancel  context.CancelFunc
	tasks   sync.WaitGroup
	names   *resolver
	routers *routerNames // of the goroutine that listens
	change  signal       // fires when a port has news

	mu    sync.Mutex
	ports map[int]*port // by interface index
}

// automatic is what an interface gets when none is declared.
var automatic = machine.Interface{Name: "*", DHCP4: true, RA: true}

// Up brings lo up, starts configuring and waits until every declared interface
// has what it was promised; with none declared, until one interface has an
// address. When the time is over it returns the manager, which goes on, and an
// error that says what is missing.
func Up(ctx context.Context, config machine.Network, opt Options) (*Manager, error) {
	opt = opt.withDefaults()
	running, cancel := context.WithCancel(context.Background())
	m := &Manager{
		opt: opt, cancel: cancel, names: newResolver(opt.ResolvConf, config),
		routers: newRouterNames(), ports: map[int]*port{},
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

func (o Options) withDefaults() Options {
	if o.Log == nil {
		o.Log = func(string, ...any) {}
	}
	if o.Wait == 0 {
		o.Wait = 30 * time.Second
	}
	if o.Hostname == "" {
		if name, err := os.Hostname(); err == nil {
			o.Hostname = name
		}
	}
	return o
}

func loopbackUp() error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("find lo: %w", err)
	}
	if err := netlink.LinkSetUp(lo); err != nil {
		return fmt.Errorf("bring up lo: %w", err)
	}
	return nil
}

// wait returns once what is declared is ready.
func (m *Manager) wait(ctx context.Context, declared []machine.Interface) error {
	ctx, cancel := context.WithTimeout(ctx, m.opt.Wait)
	defer cancel()
	for {
		change, over := m.change.next(), ctx.Err() != nil
		missing := m.missing(declared)
		switch {
		case len(missing) == 0:
			return nil
		case over:
			return fmt.Errorf("configure network: not there within %s: %s", m.opt.Wait, strings.Join(missing, "; "))
		}
		select {
		case <-change:
		case <-ctx.Done():
		}
	}
}

// missing names the declarations that have no ready interface, and why.
func (m *Manager) missing(declared []machine.Interface) []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(declared) == 0 {
		why, ready := m.look(automatic)
		if ready {
			return nil
		}
		return []string{"an address on any interface (" + why + ")"}
	}
	var missing []string
	for _, d := range declared {
		if why, ready := m.look(d); !ready {
			missing = append(missing, fmt.Sprintf("%s (%s)", label(d), why))
		}
	}
	return missing
}

// label is how a declaration is called in messages.
func label(d machine.Interface) string {
	if d.MAC != "" {
		return d.MAC
	}
	return d.Name
}

// Close stops asking for addresses; those that are there stay.
func (m *Manager) Close() error {
	m.cancel()
	m.tasks.Wait()
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, p := range m.ports {
		p.tasks.Wait()
	}
	return nil
}
