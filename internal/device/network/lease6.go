package network

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv6"
	"github.com/insomniacslk/dhcp/iana"
)

// lease6 is what a server gives: addresses (none in answers to an
// Information-request) and names. Its times count from begin.
type lease6 struct {
	server  dhcpv6.DUID
	begin   time.Time
	t1, t2  time.Duration
	addrs   []addr6
	servers []netip.Addr
	search  []string
	refresh time.Duration // when to ask for information again
	wait    time.Duration // SOL_MAX_RT; 0: not said
}

type addr6 struct {
	ip               netip.Addr
	preferred, valid time.Duration
}

// end is when the last address is over.
func (l lease6) end() time.Time {
	end := l.begin
	for _, a := range l.addrs {
		if e := l.begin.Add(a.valid); e.After(end) {
			end = e
		}
	}
	return end
}

// status is what a server says instead of giving something.
type status struct {
	code iana.StatusCode
	text string
}

func (s *status) Error() string { return fmt.Sprintf("the server says %s: %q", s.code, s.text) }

// is reports whether an error is a status of this code.
func is(err error, code iana.StatusCode) bool {
	var s *status
	return errors.As(err, &s) && s.code == code
}

func statusError(s *dhcpv6.OptStatusCode) error {
	if s == nil || s.StatusCode == iana.StatusSuccess {
		return nil
	}
	return &status{s.StatusCode, s.StatusMessage}
}

// What is believed of servers.
const (
	maxAddrs6      = 8
	usualRefresh   = 24 * time.Hour // IRT_DEFAULT
	leastRefresh   = 10 * time.Minute
	leastSolMaxRT  = time.Minute
	mostSolMaxRT   = 24 * time.Hour
	optionSolMaxRT = dhcpv6.OptionCode(82)
)

// parseLease6 reads an advertisement or a reply for the identity association.
// Status codes other than success are errors.
func parseLease6(m *dhcpv6.Message, iaid [4]byte) (lease6, error) {
	l, err := parseInformation(m)
	if err != nil {
		return l, err
	}
	for _, ia := range m.Options.IANA() {
		if ia.IaId != iaid || ia.T1 > ia.T2 && ia.T2 > 0 { // RFC 8415, 21.4: discard
			continue
		}
		if err := statusError(ia.Options.Status()); err != nil {
			return l, err
		}
		l.addAddresses(ia.Options.Addresses())
		l.t1, l.t2 = times6(ia.T1, ia.T2, l.addrs)
		break
	}
	if len(l.addrs) == 0 {
		return l, errors.New("the server gives no address")
	}
	return l, nil
}

func (l *lease6) addAddresses(given []*dhcpv6.OptIAAddress) {
	for _, a := range given {
		ip, ok := netip.AddrFromSlice(a.IPv6Addr)
		ok = ok && ip.Is6() && !ip.Is4In6() && ip.IsGlobalUnicast() && statusError(a.Options.Status()) == nil
		if ok && a.ValidLifetime >= leastLease && a.PreferredLifetime <= a.ValidLifetime && len(l.addrs) < maxAddrs6 {
			l.addrs = append(l.addrs, addr6{ip, a.PreferredLifetime, a.ValidLifetime})
		}
	}
}

// times6 gives when to renew and to rebind: what the server says, or parts of
// the shortest preferred lifetime (RFC 8415, 14.2 and 21.4). It is at least a
// second, so that no server makes this program a flood.
func times6(t1, t2 time.Duration, addrs []addr6) (time.Duration, time.Duration) {
	shortest := time.Duration(endless) * time.Second
	for _, a := range addrs {
		shortest = min(shortest, max(a.preferred, a.valid/8))
	}
	if t2 == 0 {
		t2 = shortest / 5 * 4
	}
	if t1 == 0 {
		t1 = min(shortest/2, t2)
	}
	return max(t1, leastT1), max(t2, t1, leastT1)
}

// parseInformation reads what is not about addresses.
func parseInformation(m *dhcpv6.Message) (lease6, error) {
	l := lease6{server: m.Options.ServerID(), refresh: usualRefresh}
	if l.server == nil {
		return l, errors.New("the server does not say who it is")
	}
	if data := m.Options.GetOne(optionSolMaxRT); data != nil && len(data.ToBytes()) == 4 {
		rt := time.Duration(binary.BigEndian.Uint32(data.ToBytes())) * time.Second
		if rt >= leastSolMaxRT && rt <= mostSolMaxRT {
			l.wait = rt
		}
	}
	if err := statusError(m.Options.Status()); err != nil {
		return l, err
	}
	l.refresh = max(m.Options.InformationRefreshTime(usualRefresh), leastRefresh)
	l.servers = fromIPs(m.Options.DNS())
	l.servers = l.servers[:min(len(l.servers), maxLabelled)]
	if list := m.Options.DomainSearchList(); list != nil {
		for _, name := range list.Labels {
			if isHostname(name) && len(l.search) < maxLabelled {
				l.search = append(l.search, name)
			}
		}
	}
	return l, nil
}
