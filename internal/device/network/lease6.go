package network

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
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
	if list := m.GetOneOption(dhcpv6.OptionDomainSearchList); list != nil {
		l.search = parseDomains(list.ToBytes(), false)
	}
	return l, nil
}

// options6 is what is read of messages: by the option that holds them (0: the
// message), at which place they begin in it and which they are.
var options6 = map[dhcpv6.OptionCode]struct {
	from int
	keep []dhcpv6.OptionCode
}{
	0: {0, []dhcpv6.OptionCode{
		dhcpv6.OptionClientID, dhcpv6.OptionServerID, dhcpv6.OptionIANA, dhcpv6.OptionPreference, dhcpv6.OptionStatusCode,
		dhcpv6.OptionRapidCommit, dhcpv6.OptionDNSRecursiveNameServer, dhcpv6.OptionDomainSearchList,
		dhcpv6.OptionInformationRefreshTime, optionSolMaxRT,
	}},
	dhcpv6.OptionIANA:   {12, []dhcpv6.OptionCode{dhcpv6.OptionIAAddr, dhcpv6.OptionStatusCode}}, // RFC 8415, 21.4
	dhcpv6.OptionIAAddr: {24, []dhcpv6.OptionCode{dhcpv6.OptionStatusCode}},                      // 21.6
}

// parseMessage6 has the library read only those options: it reads all at once,
// with a time that grows with the cube of the length where names are
// compressed, which RFC 8415, 10, forbids.
func parseMessage6(data []byte) (*dhcpv6.Message, error) {
	if len(data) < dhcpv6.MessageHeaderSize {
		return nil, errors.New("read message: too short")
	}
	kept, err := trim6(0, data[dhcpv6.MessageHeaderSize:])
	if err != nil {
		return nil, fmt.Errorf("read message: %w", err)
	}
	return dhcpv6.MessageFromBytes(append(bytes.Clone(data[:dhcpv6.MessageHeaderSize]), kept...))
}

// trim6 reads options (RFC 8415, 21.1: code and length of 2 bytes each, data)
// and gives those that are wanted inside of the given one.
func trim6(inside dhcpv6.OptionCode, data []byte) (kept []byte, err error) {
	for len(data) > 0 {
		if len(data) < 4 {
			return nil, errors.New("an option is cut off")
		}
		code, length := dhcpv6.OptionCode(binary.BigEndian.Uint16(data)), int(binary.BigEndian.Uint16(data[2:]))
		if length > len(data)-4 {
			return nil, errors.New("an option is cut off")
		}
		value := data[4 : 4+length]
		data = data[4+length:]
		if !slices.Contains(options6[inside].keep, code) {
			continue
		}
		if form, nested := options6[code]; nested {
			if length < form.from {
				return nil, fmt.Errorf("option %d is too short", code)
			}
			inner, err := trim6(code, value[form.from:])
			if err != nil {
				return nil, err
			}
			value = append(bytes.Clone(value[:form.from]), inner...)
		}
		if code == dhcpv6.OptionDomainSearchList && slices.ContainsFunc(value, func(b byte) bool { return b >= 0x80 }) {
			continue // names of ASCII have no such byte, pointers have
		}
		kept = binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(kept, uint16(code)), uint16(len(value)))
		kept = append(kept, value...)
	}
	return kept, nil
}
