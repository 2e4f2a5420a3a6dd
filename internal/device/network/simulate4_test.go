package network

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/insomniacslk/dhcp/dhcpv4"
)

// net4 is a client on a net of which the test decides who answers what.
type net4 struct {
	t       *testing.T
	begin   time.Time
	client  *client4
	cable   cable
	in      chan *dhcpv4.DHCPv4
	mu      sync.Mutex
	serve   func(*dhcpv4.DHCPv4) []*dhcpv4.DHCPv4 // nil: nobody
	log     []string                              // what the client does, with the time since the beginning
	reports []string
}

// simulate4 runs the client until the test's function ends, in a time that
// passes only while all wait.
func simulate4(t *testing.T, test func(*net4)) {
	synctest.Test(t, func(t *testing.T) {
		n := &net4{t: t, begin: time.Now()}
		n.cable.set(true)
		n.client = &client4{
			hw: net.HardwareAddr{2, 0, 0, 0, 0, 1}, host: "stone", cable: &n.cable,
			open:  func() (wire4, error) { n.in = make(chan *dhcpv4.DHCPv4, 8); return n, nil },
			apply: func(l lease4) error { n.note("apply " + l.addr.String()); return nil },
			drop:  func(l lease4) { n.note("drop " + l.addr.String()) },
			report: func(err error) {
				if err != nil && !slices.Contains(n.reports, err.Error()) {
					n.reports = append(n.reports, err.Error())
				}
			},
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { n.client.run(ctx); close(done) }()
		test(n)
		cancel()
		<-done
	})
}

// serving says who answers from now on.
func (n *net4) serving(serve func(*dhcpv4.DHCPv4) []*dhcpv4.DHCPv4) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.serve = serve
}

func (n *net4) note(what string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.log = append(n.log, time.Since(n.begin).Round(100*time.Millisecond).String()+" "+what)
}

func (n *net4) broadcast(m *dhcpv4.DHCPv4) error {
	n.note(m.MessageType().String())
	return n.hear(m)
}

func (n *net4) unicast(m *dhcpv4.DHCPv4, from, to netip.Addr) error {
	n.note(m.MessageType().String() + " from " + from.String() + " to " + to.String())
	return n.hear(m)
}

func (n *net4) hear(m *dhcpv4.DHCPv4) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	parsed, err := dhcpv4.FromBytes(m.ToBytes())
	if err != nil || n.serve == nil {
		return err
	}
	for _, answer := range n.serve(parsed) {
		n.in <- answer
	}
	return nil
}

func (n *net4) inbox() <-chan *dhcpv4.DHCPv4 { return n.in }
func (n *net4) close()                       {}

// take gives what the client has done since the last time.
func (n *net4) take() []string {
	synctest.Wait()
	n.mu.Lock()
	defer n.mu.Unlock()
	log := n.log
	n.log = nil
	return log
}

// answer4 makes a server's message of that type for 10.1.0.7.
func answer4(m *dhcpv4.DHCPv4, kind dhcpv4.MessageType, options ...dhcpv4.Option) *dhcpv4.DHCPv4 {
	a := &dhcpv4.DHCPv4{
		OpCode: dhcpv4.OpcodeBootReply, TransactionID: m.TransactionID, ClientHWAddr: m.ClientHWAddr,
		YourIPAddr: net.IPv4(10, 1, 0, 7), Options: dhcpv4.Options{},
	}
	a.UpdateOption(dhcpv4.OptMessageType(kind))
	a.UpdateOption(dhcpv4.OptServerIdentifier(net.IPv4(10, 1, 0, 1)))
	a.UpdateOption(dhcpv4.OptSubnetMask(net.CIDRMask(24, 32)))
	for _, o := range options {
		a.UpdateOption(o)
	}
	return a
}

// serveFor gives leases of that length.
func serveFor(length time.Duration) func(*dhcpv4.DHCPv4) []*dhcpv4.DHCPv4 {
	return func(m *dhcpv4.DHCPv4) []*dhcpv4.DHCPv4 {
		kind := dhcpv4.MessageTypeAck
		if m.MessageType() == dhcpv4.MessageTypeDiscover {
			kind = dhcpv4.MessageTypeOffer
		}
		return []*dhcpv4.DHCPv4{answer4(m, kind, dhcpv4.OptIPAddressLeaseTime(length))}
	}
}

func same(t *testing.T, got []string, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
