package network

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv6"
)

// inform asks for name servers while routers say that DHCPv6 knows more (RFC
// 8415, 18.2.6; RFC 4861, 4.2): again when the answer's time is over, when the
// cable is put in again and when routers say otherwise.
func (p *port) inform(ctx context.Context) {
	c, err := p.newClient6()
	if err != nil {
		return // it has no Ethernet address, so that no server can know it
	}
	for ctx.Err() == nil {
		advised := p.advised.next()
		_, _, plug := p.cable.state()
		rest := time.Duration(endless) * time.Second
		if p.flags.Load()&(flagOther|flagManaged) == 0 {
			p.learn(methodDHCP6, nil, nil)
		} else {
			l, err := c.information(ctx)
			if ctx.Err() != nil {
				return
			}
			if err != nil {
				const pause = 10 * time.Second
				p.m.opt.Log("network: %s: ask for information: %v", p.name, err)
				rest = pause
			} else {
				p.learn(methodDHCP6, l.servers, l.search)
				rest = l.refresh
			}
		}
		timer := time.NewTimer(rest)
		select {
		case <-advised:
		case <-plug:
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
	}
}

// information asks until there is an answer.
func (c *client6) information(ctx context.Context) (l lease6, err error) {
	if _, err := c.cable.await(ctx); err != nil {
		return l, err
	}
	wire, err := c.open(ctx)
	if err != nil {
		return l, fmt.Errorf("open socket: %w", err)
	}
	defer wire.close()
	if !sleep(ctx, rand.N(maxDelay6)) {
		return l, ctx.Err()
	}
	err = c.ask(ctx, wire, question6{
		message: c.message(dhcpv6.MessageTypeInformationRequest, lease6{}),
		times:   retransmission{first: infTimeout, most: infMaxRT},
		answer: func(m *dhcpv6.Message) bool {
			var parseErr error
			if m.MessageType == dhcpv6.MessageTypeReply {
				l, parseErr = parseInformation(m)
			}
			return m.MessageType == dhcpv6.MessageTypeReply && parseErr == nil
		},
	})
	return l, err
}
