package network

import (
	"bytes"
	"net"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv6"
)

func FuzzParseUserOption(f *testing.F) {
	f.Add(userOption(3, rdnss(600, "2001:db8::53")...))
	f.Add(userOption(1, dnssl()...))
	f.Add([]byte{10, 0, 255, 255, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		r, now := newRouterNames(), time.Unix(1000, 0)
		for _, a := range parseUserOption(data) {
			r.hear(a, now)
			servers, search := r.of(a.index)
			if len(servers) > maxPerPort || len(search) > maxPerPort {
				t.Errorf("%d servers, %d domains", len(servers), len(search))
			}
			checkNames(t, search)
		}
	})
}

func checkNames(t *testing.T, names []string) {
	for _, name := range names {
		if !isHostname(name) {
			t.Errorf("name %q would break resolv.conf", name)
		}
	}
}

// toClient turns the ports of a packet around, as a server does.
func toClient(packet []byte) []byte {
	udp := packet[ip4Header:]
	udp[0], udp[1], udp[2], udp[3] = udp[2], udp[3], udp[0], udp[1] // the sum stays
	return packet
}

// TestChecksum4 goes through all sums: one of 0 would say that there is none
// (RFC 768).
func TestChecksum4(t *testing.T) {
	for i := range 1 << 16 {
		packet := toClient(encodeUDP4([4]byte{10, 1, 0, 1}, [4]byte{10, 1, 0, 7}, []byte{byte(i >> 8), byte(i), 7}))
		if sum := packet[ip4Header+6 : ip4Header+8]; sum[0] == 0 && sum[1] == 0 {
			t.Errorf("payload %x has no sum", i)
		}
		if _, ok := decodeUDP4(packet, false); !ok {
			t.Fatalf("payload %x is refused", i)
		}
		packet[len(packet)-1]++
		if _, ok := decodeUDP4(packet, false); ok {
			t.Fatalf("payload %x is taken with a wrong sum", i)
		}
	}
}

func FuzzPacket4(f *testing.F) {
	question := &dhcpv4.DHCPv4{ClientHWAddr: net.HardwareAddr{2, 0, 0, 0, 0, 1}}
	full := answer4(question, dhcpv4.MessageTypeAck, dhcpv4.OptRouter(net.IPv4(10, 1, 0, 2)), dhcpv4.OptDNS(net.IPv4(10, 1, 0, 3)),
		dhcpv4.OptGeneric(dhcpv4.OptionClasslessStaticRoute, []byte{20, 10, 9, 0xff, 10, 1, 0, 9}),
		dhcpv4.OptGeneric(dhcpv4.OptionDNSDomainSearchList, []byte("\x07example\x03org\x00\x03lab\xc0\x00")))
	f.Add(toClient(encodeUDP4([4]byte{10, 1, 0, 1}, [4]byte{10, 1, 0, 7}, full.ToBytes())))
	f.Add(toClient(encodeUDP4([4]byte{}, [4]byte{255, 255, 255, 255}, []byte("odd"))))
	f.Add([]byte{0x4f, 0, 0, 28})
	f.Fuzz(func(t *testing.T, packet []byte) {
		if len(packet) > maxPacket4 {
			return
		}
		checkPacket4(t, packet)
		// Most are no packets: take it for what is in one, too.
		checkMessage4(t, packet)
	})
}

func checkPacket4(t *testing.T, packet []byte) {
	for _, unsummed := range []bool{false, true} {
		if payload, ok := decodeUDP4(packet, unsummed); ok {
			checkMessage4(t, payload)
			again, ok := decodeUDP4(toClient(encodeUDP4([4]byte(packet[12:]), [4]byte(packet[16:]), payload)), false)
			if !ok || !bytes.Equal(again, payload) {
				t.Errorf("payload %x is %x after a round trip", payload, again)
			}
		}
	}
}

func checkMessage4(t *testing.T, payload []byte) {
	m, err := dhcpv4.FromBytes(payload)
	if err != nil {
		return
	}
	l, err := parseLease4(m)
	if err != nil {
		return
	}
	if !l.addr.IsValid() || l.length < leastLease || l.t1 < leastT1 || l.t1 > l.t2 || l.t2 > l.length || len(l.routes) > maxRoutes {
		t.Errorf("lease makes no sense: %+v", l)
	}
	checkNames(t, l.search)
	l.begin = time.Unix(1000, 0)
	leaseAddr(l)
	for _, r := range leaseRoutes(1, l) {
		if r.Dst == nil || len(r.Dst.IP) != 4 {
			t.Errorf("route %v goes nowhere", r)
		}
	}
}

func FuzzMessage6(f *testing.F) {
	question := &dhcpv6.Message{MessageType: dhcpv6.MessageTypeSolicit}
	question.AddOption(dhcpv6.OptClientID(&dhcpv6.DUIDLL{LinkLayerAddr: net.HardwareAddr{2, 0, 0, 0, 0, 1}}))
	question.AddOption(&dhcpv6.OptIANA{IaId: [4]byte{0, 0, 0, 1}})
	f.Add(answer6(question, dhcpv6.MessageTypeAdvertise, 1, time.Hour, preference(7)).ToBytes())
	f.Add(answer6(question, dhcpv6.MessageTypeReply, 1, time.Hour, dhcpv6.OptDNS(net.ParseIP("2001:db8::53")),
		dhcpv6.OptInformationRefreshTime(time.Hour), &dhcpv6.OptionGeneric{OptionCode: optionSolMaxRT, OptionData: []byte{0, 0, 0, 120}}).ToBytes())
	f.Add([]byte{7, 1, 2, 3, 0, 24, 0, 4, 3, 'l', 'a', 'n'})
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > maxPacket6 {
			return
		}
		m, err := parseMessage6(data)
		if err != nil {
			return
		}
		m.Options.Preference()
		sameDUID(m.Options.ClientID(), m.Options.ServerID())
		l, err := parseLease6(m, [4]byte{0, 0, 0, 1})
		if err != nil {
			return
		}
		if l.t1 < leastT1 || l.t2 < l.t1 || len(l.addrs) == 0 || len(l.addrs) > maxAddrs6 || l.server == nil || l.refresh < leastRefresh {
			t.Errorf("lease makes no sense: %+v", l)
		}
		for _, a := range l.addrs {
			if !a.ip.Is6() || a.valid < leastLease || a.preferred > a.valid {
				t.Errorf("address makes no sense: %+v", a)
			}
		}
		checkNames(t, l.search)
	})
}
