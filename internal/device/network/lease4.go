package network

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

// lease4 is what a server gives. Its times count from begin.
type lease4 struct {
	addr           netip.Prefix
	server         netip.Addr // zero: it did not say
	begin          time.Time
	length, t1, t2 time.Duration
	routes         []route4
	mtu            int // 0: not said
	servers        []netip.Addr
	search         []string
}

// route4 is a route; via is 0.0.0.0 where the destination is on the link.
type route4 struct {
	to  netip.Prefix
	via netip.Addr
}

// What is believed of servers.
const (
	leastLease  = 2 * time.Second
	usualLease  = time.Hour // of servers that do not say
	leastT1     = time.Second
	leastMTU    = 576 // RFC 791: what every host takes
	maxRoutes   = 64
	endless     = 1<<32 - 1 // seconds; RFC 2131, 3.3
	maxLabelled = 16        // name servers and domains of one answer
)

func (l lease4) end() time.Time { return l.begin.Add(l.length) }

// parseLease4 reads an offer or an acknowledgement.
func parseLease4(m *dhcpv4.DHCPv4) (lease4, error) {
	ip, ok := netip.AddrFromSlice(m.YourIPAddr.To4())
	if !ok || !ip.IsGlobalUnicast() {
		return lease4{}, fmt.Errorf("the server gives no address but %s", m.YourIPAddr)
	}
	mask := net.IPMask(m.Options.Get(dhcpv4.OptionSubnetMask))
	if len(mask) == 0 {
		mask = m.YourIPAddr.DefaultMask()
	}
	ones, bits := mask.Size()
	if ones == 0 || bits != 32 {
		return lease4{}, fmt.Errorf("the server gives the subnet mask %s", mask)
	}
	l := lease4{addr: netip.PrefixFrom(ip, ones), length: usualLease}
	if length, ok := seconds(m, dhcpv4.OptionIPAddressLeaseTime); ok {
		l.length = length
	}
	if l.length < leastLease {
		return lease4{}, fmt.Errorf("the server gives the address for %s only", l.length)
	}
	l.t1, l.t2 = times4(m, l.length)
	l.server, _ = netip.AddrFromSlice(m.Options.Get(dhcpv4.OptionServerIdentifier))
	if l.server.IsValid() && !l.server.Is4() {
		return lease4{}, errors.New("the server's identifier is no address")
	}
	l.routes = routes4(m)
	if mtu := m.Options.Get(dhcpv4.OptionInterfaceMTU); len(mtu) == 2 && binary.BigEndian.Uint16(mtu) >= leastMTU {
		l.mtu = int(binary.BigEndian.Uint16(mtu))
	}
	l.servers = fromIPs(m.DNS())
	l.servers = l.servers[:min(len(l.servers), maxLabelled)]
	l.search = search4(m)
	return l, nil
}

// seconds reads an option of four bytes. Some servers send one twice, which
// counts as one long option (RFC 3396): then the shortest time holds.
func seconds(m *dhcpv4.DHCPv4, code dhcpv4.OptionCode) (time.Duration, bool) {
	data := m.Options.Get(code)
	if len(data) == 0 || len(data)%4 != 0 {
		return 0, false
	}
	least := uint32(endless)
	for ; len(data) > 0; data = data[4:] {
		least = min(least, binary.BigEndian.Uint32(data))
	}
	return time.Duration(least) * time.Second, true
}

// times4 gives when to renew and to rebind (RFC 2131, 4.4.5): what the server
// says, if that makes sense.
func times4(m *dhcpv4.DHCPv4, length time.Duration) (t1, t2 time.Duration) {
	t1, ok1 := seconds(m, dhcpv4.OptionRenewTimeValue)
	t2, ok2 := seconds(m, dhcpv4.OptionRebindingTimeValue)
	if !ok2 || t2 >= length || t2 < leastT1 {
		t2 = length / 8 * 7
	}
	if !ok1 || t1 >= t2 || t1 < leastT1 {
		t1 = min(length/2, t2)
	}
	return t1, t2
}

// routes4 gives the classless routes (RFC 3442), and only where there are none
// the router's.
func routes4(m *dhcpv4.DHCPv4) (list []route4) {
	for _, r := range m.ClasslessStaticRoute() {
		to, ok := netip.AddrFromSlice(r.Dest.IP.To4())
		via, ok2 := netip.AddrFromSlice(r.Router.To4())
		ones, _ := r.Dest.Mask.Size()
		if ok && ok2 && len(list) < maxRoutes && !via.IsMulticast() && !via.IsLoopback() {
			list = append(list, route4{netip.PrefixFrom(to, ones).Masked(), via})
		}
	}
	if len(list) > 0 {
		return list
	}
	for _, router := range fromIPs(m.Router()) {
		if router.IsGlobalUnicast() || router.IsLinkLocalUnicast() {
			return []route4{{netip.PrefixFrom(netip.IPv4Unspecified(), 0), router}}
		}
	}
	return nil
}

// search4 gives the search list (RFC 3397), or else the domain; some servers
// write several domains there.
func search4(m *dhcpv4.DHCPv4) (list []string) {
	if list := parseDomains(m.Options.Get(dhcpv4.OptionDNSDomainSearchList), true); len(list) > 0 {
		return list
	}
	for _, name := range strings.Fields(strings.TrimRight(m.DomainName(), "\x00")) {
		if name = strings.TrimSuffix(name, "."); isHostname(name) && len(list) < maxLabelled {
			list = append(list, name)
		}
	}
	return list
}
