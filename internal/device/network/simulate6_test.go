package network

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv6"
	"github.com/insomniacslk/dhcp/iana"
)

// net6 is a client on a net of which the test decides who answers what.
type net6 struct {
	begin   time.Time
	client  *client6
	cable   cable
	in      chan *dhcpv6.Message
	mu      sync.Mutex
	serve   func(*dhcpv6.Message) []*dhcpv6.Message // nil: nobody
	log     []string                                // what the client does, with the time since the beginning
	reports []string
	taken   atomic.Bool // somebody else has the address
}

// simulate6 runs a client in a time that passes only while all wait.
func simulate6(t *testing.T, run func(*client6, context.Context), test func(*net6)) {
	synctest.Test(t, func(t *testing.T) {
		n := &net6{begin: time.Now()}
		n.cable.set(true)
		n.client = &client6{
			duid: &dhcpv6.DUIDLL{HWType: iana.HWTypeEthernet, LinkLayerAddr: net.HardwareAddr{2, 0, 0, 0, 0, 1}}, iaid: [4]byte{0, 0, 0, 1},
			cable: &n.cable, maxRT: solMaxRT,
			open: func(context.Context) (wire6, error) { n.in = make(chan *dhcpv6.Message, 8); return n, nil },
			apply: func(_ context.Context, l lease6) error {
				for _, a := range l.addrs {
					n.note("apply " + a.ip.String())
				}
				if n.taken.Load() {
					return errDuplicate
				}
				return nil
			},
			drop: func(l lease6) { n.note("drop " + l.addrs[0].ip.String()) },
			report: func(err error) {
				if err != nil && !slices.Contains(n.reports, err.Error()) {
					n.reports = append(n.reports, err.Error())
				}
			},
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { run(n.client, ctx); close(done) }()
		test(n)
		cancel()
		<-done
	})
}

// serving says who answers from now on.
func (n *net6) serving(serve func(*dhcpv6.Message) []*dhcpv6.Message) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.serve = serve
}

func (n *net6) note(what string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.log = append(n.log, what)
}

func (n *net6) send(m *dhcpv6.Message) error {
	n.note(m.MessageType.String())
	n.mu.Lock()
	defer n.mu.Unlock()
	parsed, err := dhcpv6.MessageFromBytes(m.ToBytes())
	if err != nil || n.serve == nil {
		return err
	}
	for _, answer := range n.serve(parsed) {
		if answer != nil {
			n.in <- answer
		}
	}
	return nil
}

func (n *net6) inbox() <-chan *dhcpv6.Message { return n.in }
func (n *net6) close()                        {}

// take gives what the client has done since the last time.
func (n *net6) take() []string {
	synctest.Wait()
	n.mu.Lock()
	defer n.mu.Unlock()
	log := n.log
	n.log = nil
	return log
}

// answer6 makes a message of server number id that gives 2001:db8::id.
func answer6(m *dhcpv6.Message, kind dhcpv6.MessageType, id byte, valid time.Duration, options ...dhcpv6.Option) *dhcpv6.Message {
	a := &dhcpv6.Message{MessageType: kind, TransactionID: m.TransactionID}
	a.AddOption(dhcpv6.OptClientID(m.Options.ClientID()))
	a.AddOption(dhcpv6.OptServerID(&dhcpv6.DUIDLL{HWType: iana.HWTypeEthernet, LinkLayerAddr: net.HardwareAddr{2, 0, 0, 0, 1, id}}))
	if ia := m.Options.OneIANA(); ia != nil && valid > 0 {
		ip := netip.MustParseAddr("2001:db8::").As16()
		ip[15] = id
		ia = &dhcpv6.OptIANA{IaId: ia.IaId}
		ia.Options.Add(&dhcpv6.OptIAAddress{IPv6Addr: ip[:], PreferredLifetime: valid, ValidLifetime: valid})
		a.AddOption(ia)
	}
	for _, o := range options {
		a.AddOption(o)
	}
	return a
}

// preference is option 7 (RFC 8415, 21.8).
func preference(p byte) dhcpv6.Option {
	return &dhcpv6.OptionGeneric{OptionCode: dhcpv6.OptionPreference, OptionData: []byte{p}}
}

// serve6 advertises by that server, and replies to everything else.
func serve6(id byte, valid time.Duration) func(*dhcpv6.Message) []*dhcpv6.Message {
	return func(m *dhcpv6.Message) []*dhcpv6.Message {
		kind := dhcpv6.MessageTypeReply
		if m.MessageType == dhcpv6.MessageTypeSolicit {
			kind = dhcpv6.MessageTypeAdvertise
		}
		return []*dhcpv6.Message{answer6(m, kind, id, valid)}
	}
}

func parsed(t *testing.T, m *dhcpv6.Message) *dhcpv6.Message {
	t.Helper()
	p, err := parseMessage6(m.ToBytes())
	must(t, err)
	return p
}
