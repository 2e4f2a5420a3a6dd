package network

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/iana"
)

// client4 is the client of RFC 2131 on one interface.
type client4 struct {
	hw     net.HardwareAddr
	host   string // to tell servers; "": nothing
	cable  *cable
	open   func() (wire4, error)
	apply  func(lease4) error
	drop   func(lease4)
	report func(error) // nil: a lease is applied
}

var (
	errSilent   = errors.New("no server answers")
	errCable    = errors.New("the cable was put in again")
	errNoLonger = errors.New("the lease is over")
)

// refusal is a DHCPNAK.
type refusal struct{ text string }

func (r *refusal) Error() string { return "the server refuses: " + r.text }

// run keeps a lease until ctx ends.
func (c *client4) run(ctx context.Context) {
	for {
		lease, err := c.acquire(ctx)
		if err != nil {
			return // the end of ctx
		}
		if err := c.apply(lease); err != nil {
			c.report(err)
			if !sleep(ctx, mostPause4) {
				return
			}
			continue
		}
		c.report(nil)
		lease, err = c.hold(ctx, lease)
		if ctx.Err() != nil {
			return
		}
		c.drop(lease)
		c.report(fmt.Errorf("lease of %s is lost: %w", lease.addr.Addr(), err))
	}
}

// The pauses before asking again (RFC 2131, 4.1).
const (
	firstPause4 = time.Second
	mostPause4  = 64 * time.Second
	triesSaid   = 3 // unanswered questions until it is said
)

// pause4 gives the pause after so many tries, a random bit longer or shorter,
// so that many machines do not ask at once.
func pause4(tries int) time.Duration {
	pause := mostPause4
	if tries < 6 {
		pause = firstPause4 << tries
	}
	jitter := min(pause/4, time.Second)
	return pause - jitter + rand.N(2*jitter)
}

// acquire asks until there is a lease; its error is ctx's.
func (c *client4) acquire(ctx context.Context) (lease4, error) {
	xid := newXID()
	for begin, tries := time.Now(), 0; ; tries++ {
		if _, err := c.cable.await(ctx); err != nil {
			return lease4{}, err
		}
		next := time.Now().Add(pause4(tries))
		lease, err := c.negotiate(ctx, xid, begin, next)
		if err == nil || ctx.Err() != nil {
			return lease, ctx.Err()
		}
		if errors.Is(err, errCable) {
			begin, tries = time.Now(), -1
			continue
		}
		if tries+1 >= triesSaid || !errors.Is(err, errSilent) {
			c.report(err)
		}
		if !errors.Is(err, errSilent) {
			xid = newXID() // answers to what failed must not be taken for new ones
		}
		if !sleep(ctx, time.Until(next)) {
			return lease4{}, ctx.Err()
		}
	}
}

// negotiate goes once from INIT to BOUND; offers are awaited until then.
func (c *client4) negotiate(ctx context.Context, xid dhcpv4.TransactionID, begin, until time.Time) (lease4, error) {
	wire, err := c.open()
	if err != nil {
		return lease4{}, fmt.Errorf("open socket: %w", err)
	}
	defer wire.close()
	discover := c.message(dhcpv4.MessageTypeDiscover, xid, begin)
	offer, err := c.ask(ctx, wire, discover, until, func() error { return wire.broadcast(discover) })
	if err != nil {
		return lease4{}, err
	}
	request := c.message(dhcpv4.MessageTypeRequest, xid, begin)
	request.UpdateOption(dhcpv4.OptRequestedIPAddress(offer.addr.Addr().AsSlice()))
	if offer.server.IsValid() {
		request.UpdateOption(dhcpv4.OptServerIdentifier(offer.server.AsSlice()))
	}
	const tries = 4 // RFC 2131, 3.1 (5)
	lease, err := c.repeat(ctx, wire, request, tries)
	if errors.Is(err, errSilent) {
		err = fmt.Errorf("server %s has offered %s and is silent now", offer.server, offer.addr.Addr())
	}
	return lease, err
}

// repeat broadcasts a request so many times.
func (c *client4) repeat(ctx context.Context, wire wire4, request *dhcpv4.DHCPv4, tries int) (lease lease4, err error) {
	for i := range tries {
		lease, err = c.ask(ctx, wire, request, time.Now().Add(pause4(i)), func() error { return wire.broadcast(request) })
		if !errors.Is(err, errSilent) {
			return lease, err
		}
	}
	return lease, err
}

// hold renews the lease until it is lost, and gives the last one and why.
func (c *client4) hold(ctx context.Context, lease lease4) (lease4, error) {
	_, seen, _ := c.cable.state()
	for {
		again, err := c.cable.sleep(ctx, time.Until(lease.begin.Add(lease.t1)), seen)
		if err != nil {
			return lease, err
		}
		var fresh lease4
		if again {
			_, seen, _ = c.cable.state()
			fresh, err = c.reboot(ctx, lease)
		} else {
			fresh, err = c.extend(ctx, lease)
		}
		switch {
		case errors.Is(err, errCable):
			continue // to ask anew, by reboot
		case again && errors.Is(err, errSilent):
			continue // RFC 2131, 3.2: the old lease holds on
		case err != nil:
			return lease, err
		}
		if fresh.addr != lease.addr {
			c.drop(lease)
		}
		lease = fresh
		if err := c.apply(lease); err != nil {
			return lease, err
		}
	}
}

// reboot asks whether the lease still holds on the net that the cable leads to
// (INIT-REBOOT; RFC 2131, 3.2).
func (c *client4) reboot(ctx context.Context, lease lease4) (lease4, error) {
	wire, err := c.open()
	if err != nil {
		return lease4{}, errSilent
	}
	defer wire.close()
	request := c.message(dhcpv4.MessageTypeRequest, newXID(), time.Now())
	request.UpdateOption(dhcpv4.OptRequestedIPAddress(lease.addr.Addr().AsSlice()))
	const tries = 3
	return c.repeat(ctx, wire, request, tries)
}

// extend asks the lease's server to renew it, after T2 any server, until the
// end (RFC 2131, 4.4.5).
func (c *client4) extend(ctx context.Context, lease lease4) (lease4, error) {
	const least = time.Minute
	xid, begin := newXID(), time.Now()
	for time.Now().Before(lease.end()) {
		limit, rebind := lease.begin.Add(lease.t2), false
		if !time.Now().Before(limit) || !lease.server.IsValid() {
			limit, rebind = lease.end(), true
		}
		left := time.Until(limit)
		until := time.Now().Add(min(left, max(left/2, min(least, lease.length/8))))
		fresh, err := c.extendOnce(ctx, lease, rebind, c.message(dhcpv4.MessageTypeRequest, xid, begin), until)
		if !errors.Is(err, errSilent) {
			return fresh, err
		}
	}
	return lease4{}, errNoLonger
}

func (c *client4) extendOnce(ctx context.Context, lease lease4, rebind bool, request *dhcpv4.DHCPv4, until time.Time) (lease4, error) {
	wire, err := c.open()
	if err != nil { // the interface is down, perhaps
		if !sleep(ctx, time.Until(until)) {
			return lease4{}, ctx.Err()
		}
		return lease4{}, errSilent
	}
	defer wire.close()
	request.ClientIPAddr = lease.addr.Addr().AsSlice()
	return c.ask(ctx, wire, request, until, func() error {
		if rebind {
			return wire.broadcast(request)
		}
		return wire.unicast(request, lease.addr.Addr(), lease.server)
	})
}

// ask sends once and waits for an answer. What can't be sent counts as lost.
func (c *client4) ask(ctx context.Context, wire wire4, m *dhcpv4.DHCPv4, until time.Time, send func() error) (lease4, error) {
	_, seen, _ := c.cable.state()
	sent, sendErr := time.Now(), send()
	timer := time.NewTimer(time.Until(until))
	defer timer.Stop()
	for {
		in, times, plug := c.cable.state()
		if in && times != seen {
			return lease4{}, errCable
		}
		select {
		case <-ctx.Done():
			return lease4{}, ctx.Err()
		case <-plug:
		case <-timer.C:
			if sendErr != nil {
				return lease4{}, fmt.Errorf("%w (%w)", errSilent, sendErr)
			}
			return lease4{}, errSilent
		case answer := <-wire.inbox():
			if lease, err, fits := judge4(m, answer); fits {
				lease.begin = sent
				return lease, err
			}
		}
	}
}

// judge4 reports whether a message answers a question, and how. Offers and
// acknowledgements that make no sense are no answers: another server may do
// better.
func judge4(question, answer *dhcpv4.DHCPv4) (lease lease4, err error, fits bool) {
	if answer.OpCode != dhcpv4.OpcodeBootReply || answer.TransactionID != question.TransactionID ||
		!bytes.Equal(answer.ClientHWAddr, question.ClientHWAddr) {
		return lease4{}, nil, false
	}
	asked, kind := question.MessageType(), answer.MessageType()
	switch {
	case asked == dhcpv4.MessageTypeDiscover && kind == dhcpv4.MessageTypeOffer,
		asked == dhcpv4.MessageTypeRequest && kind == dhcpv4.MessageTypeAck:
		lease, err = parseLease4(answer)
		return lease, err, err == nil
	case asked == dhcpv4.MessageTypeRequest && kind == dhcpv4.MessageTypeNak:
		// A server that was not chosen has no say (RFC 2131, 3.1).
		if chosen := question.Options.Get(dhcpv4.OptionServerIdentifier); chosen != nil && !bytes.Equal(chosen, answer.Options.Get(dhcpv4.OptionServerIdentifier)) {
			return lease4{}, nil, false
		}
		return lease4{}, &refusal{fmt.Sprintf("%q", answer.Message())}, true
	}
	return lease4{}, nil, false
}

// message begins a message (RFC 2131, table 5). The client hears answers to its
// hardware address, so it does not ask for broadcasts.
func (c *client4) message(kind dhcpv4.MessageType, xid dhcpv4.TransactionID, begin time.Time) *dhcpv4.DHCPv4 {
	m := &dhcpv4.DHCPv4{
		OpCode: dhcpv4.OpcodeBootRequest, HWType: iana.HWTypeEthernet, TransactionID: xid, ClientHWAddr: c.hw,
		NumSeconds: uint16(min(time.Since(begin)/time.Second, 1<<16-1)), Options: dhcpv4.Options{},
	}
	m.UpdateOption(dhcpv4.OptMessageType(kind))
	m.UpdateOption(dhcpv4.OptMaxMessageSize(maxPacket4))
	m.UpdateOption(dhcpv4.OptParameterRequestList(
		dhcpv4.OptionSubnetMask, dhcpv4.OptionClasslessStaticRoute, dhcpv4.OptionRouter, dhcpv4.OptionDomainNameServer,
		dhcpv4.OptionDomainName, dhcpv4.OptionDNSDomainSearchList, dhcpv4.OptionInterfaceMTU,
		dhcpv4.OptionRenewTimeValue, dhcpv4.OptionRebindingTimeValue,
	))
	if isHostname(c.host) && c.host != "localhost" && len(c.host) <= 63 {
		m.UpdateOption(dhcpv4.OptHostName(c.host))
	}
	return m
}

func newXID() (xid dhcpv4.TransactionID) {
	n := rand.Uint32()
	return dhcpv4.TransactionID{byte(n), byte(n >> 8), byte(n >> 16), byte(n >> 24)}
}

// dhcp4 keeps an IPv4 lease on the interface until ctx ends.
func (p *port) dhcp4(ctx context.Context) {
	a := &applier4{port: p, mtu: p.link.Attrs().MTU}
	iface := &net.Interface{Index: p.link.Attrs().Index, Name: p.name}
	c := &client4{
		hw: p.link.Attrs().HardwareAddr, host: p.m.opt.Hostname, cable: &p.cable,
		open:  func() (wire4, error) { return openWire4(iface) },
		apply: a.apply, drop: a.drop, report: func(err error) { p.outcome(methodDHCP4, err) },
	}
	if len(c.hw) != 6 {
		p.outcome(methodDHCP4, fmt.Errorf("hardware address %q is not Ethernet's", c.hw))
		return
	}
	c.run(ctx)
}
