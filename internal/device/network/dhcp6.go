package network

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv6"
	"github.com/insomniacslk/dhcp/iana"
)

// client6 is the client of RFC 8415 on one interface, with one identity
// association for non-temporary addresses.
type client6 struct {
	duid   dhcpv6.DUID
	iaid   [4]byte
	cable  *cable
	open   func(context.Context) (wire6, error)
	apply  func(context.Context, lease6) error // errDuplicate: somebody has an address already
	drop   func(lease6)
	report func(error)   // nil: a lease is applied
	maxRT  time.Duration // of Solicit
}

var errDuplicate = errors.New("somebody else has the address")

// run keeps a lease until ctx ends.
func (c *client6) run(ctx context.Context) {
	for ctx.Err() == nil {
		if _, err := c.cable.await(ctx); err != nil {
			return
		}
		lease, err := c.acquire(ctx)
		if err == nil {
			if err = c.use(ctx, lease); err == nil {
				c.report(nil)
				lease, err = c.hold(ctx, lease)
			}
			if ctx.Err() != nil {
				return
			}
			c.drop(lease)
			err = fmt.Errorf("lease of %s is lost: %w", lease.addrs[0].ip, err)
		}
		if ctx.Err() != nil || errors.Is(err, errCable) {
			continue
		}
		c.report(err)
		const pause = 5 * time.Second // what has gone wrong does not make this program a flood
		sleep(ctx, pause-rand.N(time.Second))
	}
}

// use applies a lease; addresses that others have are declined (RFC 8415,
// 18.2.8).
func (c *client6) use(ctx context.Context, lease lease6) error {
	err := c.apply(ctx, lease)
	if !errors.Is(err, errDuplicate) {
		return err
	}
	wire, openErr := c.open(ctx)
	if openErr != nil {
		return err
	}
	defer wire.close()
	decline := c.message(dhcpv6.MessageTypeDecline, lease)
	decline.AddOption(dhcpv6.OptServerID(lease.server))
	told := c.ask(ctx, wire, question6{
		message: decline, times: retransmission{first: decTimeout, count: decMaxRC},
		answer: func(m *dhcpv6.Message) bool { return m.MessageType == dhcpv6.MessageTypeReply },
	})
	if told != nil {
		return fmt.Errorf("%w; tell the server: %w", err, told)
	}
	return err
}

// acquire goes by Solicit and Request (RFC 8415, 18.2.1 and 18.2.2).
func (c *client6) acquire(ctx context.Context) (lease6, error) {
	wire, err := c.open(ctx)
	if err != nil {
		return lease6{}, fmt.Errorf("open socket: %w", err)
	}
	defer wire.close()
	if !sleep(ctx, rand.N(maxDelay6)) {
		return lease6{}, ctx.Err()
	}
	lease, committed, err := c.solicit(ctx, wire)
	if err != nil || committed {
		return lease, err
	}
	request := c.message(dhcpv6.MessageTypeRequest, lease)
	request.AddOption(dhcpv6.OptServerID(lease.server))
	return c.getReply(ctx, wire, request, retransmission{first: reqTimeout, most: reqMaxRT, count: reqMaxRC})
}

// solicit gives the best advertisement, or a lease at once from servers that
// know rapid commitment (RFC 8415, 18.2.1).
func (c *client6) solicit(ctx context.Context, wire wire6) (best lease6, committed bool, err error) {
	m := c.message(dhcpv6.MessageTypeSolicit, lease6{})
	m.AddOption(&dhcpv6.OptionGeneric{OptionCode: dhcpv6.OptionRapidCommit})
	const sure = 255
	preference, said := -1, errSilent
	err = c.ask(ctx, wire, question6{
		message: m, times: retransmission{first: solTimeout, most: c.maxRT},
		answer: func(m *dhcpv6.Message) bool {
			rapid := m.MessageType == dhcpv6.MessageTypeReply && m.GetOneOption(dhcpv6.OptionRapidCommit) != nil
			if m.MessageType != dhcpv6.MessageTypeAdvertise && !rapid {
				return false
			}
			lease, err := parseLease6(m, c.iaid)
			if lease.wait != 0 {
				c.maxRT = lease.wait // also without addresses (18.2.9)
			}
			if err != nil {
				said = err
				return false
			}
			lease.begin = time.Now()
			if p := int(m.Options.Preference()); rapid || p > preference {
				best, preference, committed = lease, p, rapid
			}
			return rapid || preference == sure
		},
		enough:  func() bool { return preference >= 0 },
		unheard: func() { c.report(said) },
	})
	return best, committed, err
}

// getReply asks for a lease and reads the reply.
func (c *client6) getReply(ctx context.Context, wire wire6, m *dhcpv6.Message, times retransmission) (lease lease6, err error) {
	askErr := c.ask(ctx, wire, question6{message: m, times: times, answer: func(m *dhcpv6.Message) bool {
		if m.MessageType != dhcpv6.MessageTypeReply {
			return false
		}
		lease, err = parseLease6(m, c.iaid)
		lease.begin = time.Now()
		return !is(err, iana.StatusUnspecFail) // 18.2.10: go on retransmitting
	}})
	if askErr != nil {
		return lease, askErr
	}
	return lease, err
}

// hold extends the lease until it is lost, and gives the last one and why.
func (c *client6) hold(ctx context.Context, lease lease6) (lease6, error) {
	_, seen, _ := c.cable.state()
	for {
		again, err := c.cable.sleep(ctx, time.Until(lease.begin.Add(lease.t1)), seen)
		if err != nil {
			return lease, err
		}
		if again {
			_, seen, _ = c.cable.state()
			if err := c.confirm(ctx, lease); err != nil {
				return lease, err
			}
			continue
		}
		fresh, err := c.extend(ctx, lease)
		if errors.Is(err, errCable) {
			continue // to ask anew, by confirm
		}
		if err != nil {
			return lease, err
		}
		lease = lease.and(fresh)
		if err := c.use(ctx, lease); err != nil {
			return lease, err
		}
	}
}

// and gives the fresh lease with what is still good of the old one: addresses
// that a reply does not name stay as they are (RFC 8415, 18.2.10.1).
func (l lease6) and(fresh lease6) lease6 {
	for _, old := range l.addrs {
		past := fresh.begin.Sub(l.begin)
		known := false
		for _, a := range fresh.addrs {
			known = known || a.ip == old.ip
		}
		if !known && old.valid > past+leastLease && len(fresh.addrs) < maxAddrs6 {
			fresh.addrs = append(fresh.addrs, addr6{old.ip, max(0, old.preferred-past), old.valid - past})
		}
	}
	return fresh
}

// extend asks the lease's server from T1 on and any from T2 on, until the end
// (RFC 8415, 18.2.4 and 18.2.5). A server that has forgotten is asked anew.
func (c *client6) extend(ctx context.Context, lease lease6) (lease6, error) {
	wire, err := c.open(ctx)
	if err != nil {
		return lease6{}, err
	}
	defer wire.close()
	t2 := lease.begin.Add(lease.t2)
	if end := lease.end(); end.Before(t2) {
		t2 = end
	}
	fresh, err := lease6{}, errSilent
	if time.Now().Before(t2) {
		renew := c.message(dhcpv6.MessageTypeRenew, lease)
		renew.AddOption(dhcpv6.OptServerID(lease.server))
		fresh, err = c.getReply(ctx, wire, renew, retransmission{first: shorter(renTimeout, t2), most: renMaxRT, end: t2})
	}
	if errors.Is(err, errSilent) && time.Now().Before(lease.end()) {
		rebind := c.message(dhcpv6.MessageTypeRebind, lease)
		fresh, err = c.getReply(ctx, wire, rebind, retransmission{first: shorter(rebTimeout, lease.end()), most: rebMaxRT, end: lease.end()})
	}
	switch {
	case is(err, iana.StatusNoBinding):
		lease.server = fresh.server
		request := c.message(dhcpv6.MessageTypeRequest, lease)
		request.AddOption(dhcpv6.OptServerID(fresh.server))
		return c.getReply(ctx, wire, request, retransmission{first: reqTimeout, most: reqMaxRT, count: reqMaxRC})
	case errors.Is(err, errSilent):
		return fresh, errNoLonger
	}
	return fresh, err
}

// shorter gives the first time-out, or less where the end is near: leases of
// seconds would be over after one lost packet.
func shorter(first time.Duration, end time.Time) time.Duration {
	const tries, least = 4, 100 * time.Millisecond
	return max(min(first, time.Until(end)/tries), least)
}

// confirm asks whether the addresses still fit the net that the cable leads to
// (RFC 8415, 18.2.3). Silence means yes.
func (c *client6) confirm(ctx context.Context, lease lease6) error {
	wire, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer wire.close()
	if !sleep(ctx, rand.N(maxDelay6)) {
		return ctx.Err()
	}
	var said error
	err = c.ask(ctx, wire, question6{
		message: c.message(dhcpv6.MessageTypeConfirm, lease),
		times:   retransmission{first: cnfTimeout, most: cnfMaxRT, end: time.Now().Add(cnfMaxRD)},
		answer: func(m *dhcpv6.Message) bool {
			if m.MessageType != dhcpv6.MessageTypeReply {
				return false
			}
			_, err := parseInformation(m)
			if is(err, iana.StatusNotOnLink) {
				said = err
			}
			return err == nil || said != nil
		},
	})
	if errors.Is(err, errSilent) || errors.Is(err, errCable) {
		return nil
	}
	return errors.Join(err, said)
}

// message begins a message with the lease's addresses and without times, which
// servers ignore (RFC 8415, 21.4 and 21.6).
func (c *client6) message(kind dhcpv6.MessageType, lease lease6) *dhcpv6.Message {
	xid := rand.Uint32()
	m := &dhcpv6.Message{MessageType: kind, TransactionID: dhcpv6.TransactionID{byte(xid), byte(xid >> 8), byte(xid >> 16)}}
	m.AddOption(dhcpv6.OptClientID(c.duid))
	m.AddOption(dhcpv6.OptElapsedTime(0))
	if kind != dhcpv6.MessageTypeInformationRequest {
		ia := &dhcpv6.OptIANA{IaId: c.iaid}
		for _, a := range lease.addrs {
			ia.Options.Add(&dhcpv6.OptIAAddress{IPv6Addr: a.ip.AsSlice()})
		}
		m.AddOption(ia)
	}
	if kind != dhcpv6.MessageTypeConfirm && kind != dhcpv6.MessageTypeDecline {
		codes := []dhcpv6.OptionCode{dhcpv6.OptionDNSRecursiveNameServer, dhcpv6.OptionDomainSearchList, optionSolMaxRT}
		if kind == dhcpv6.MessageTypeInformationRequest {
			codes = append(codes, dhcpv6.OptionInformationRefreshTime)
		}
		m.AddOption(dhcpv6.OptRequestedOption(codes...))
	}
	return m
}
