package network

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv6"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"ashlar/internal/contract/machine"
)

// TestGarbage sends what is no answer to clients that wait for one: they get
// over it and take the answer of a server that comes afterwards.
func TestGarbage(t *testing.T) {
	if inNamespaces(t) {
		return
	}
	f := newFar(t)
	f.plug("lan0", "srv0", "10.1.0.1/24", "2001:db8:1::1/64")
	done := make(chan error, 1)
	go func() {
		done <- begin(t, machine.Network{Interfaces: []machine.Interface{{Name: "lan0", DHCP4: true, DHCP6: true}}}, Options{Log: t.Logf})
	}()
	client := linkLocal(t, "lan0")
	f.run(func() error { return sendGarbage(client.WithZone("srv0")) })
	f.dnsmasq("srv0", "--dhcp-range=10.1.0.10,10.1.0.20,255.255.255.0,1h", "--dhcp-range=2001:db8:1::1000,2001:db8:1::1fff,64,1h")
	addressIn(t, "lan0", "10.1.0.0/24")
	addressIn(t, "lan0", "2001:db8:1::1000/116")
	must(t, <-done)
}

func linkLocal(t *testing.T, name string) (ip netip.Addr) {
	t.Helper()
	eventually(t, func() error {
		link, err := netlink.LinkByName(name)
		if err != nil {
			return err
		}
		addrs, err := netlink.AddrList(link, netlink.FAMILY_V6)
		for _, a := range addrs {
			ip, _ = netip.AddrFromSlice(a.IP)
			if a.Flags&unix.IFA_F_TENTATIVE == 0 && ip.IsLinkLocalUnicast() {
				return nil
			}
		}
		return errors.Join(err, fmt.Errorf("%s has no link-local address", name))
	})
	return ip
}

// sendGarbage sends for a while random bytes, and messages with a random byte
// changed and cut off at random, to both clients.
func sendGarbage(client netip.Addr) error {
	const packets, seed = 3000, 7
	random := rand.New(rand.NewPCG(seed, seed))
	hw := net.HardwareAddr{2, 0, 0, 0, 0, 1}
	good4 := answer4(&dhcpv4.DHCPv4{ClientHWAddr: hw}, dhcpv4.MessageTypeOffer).ToBytes()
	question := &dhcpv6.Message{}
	question.AddOption(dhcpv6.OptClientID(&dhcpv6.DUIDLL{LinkLayerAddr: hw}))
	question.AddOption(&dhcpv6.OptIANA{})
	good6 := answer6(question, dhcpv6.MessageTypeAdvertise, 1, time.Hour).ToBytes()
	four, err := net.DialUDP("udp4", &net.UDPAddr{IP: net.IPv4(10, 1, 0, 1), Port: serverPort4}, &net.UDPAddr{IP: net.IPv4bcast, Port: clientPort4})
	if err != nil {
		return err
	}
	defer four.Close()
	six, err := net.DialUDP("udp6", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(client, clientPort6)))
	if err != nil {
		return err
	}
	defer six.Close()
	spoil := func(good []byte) []byte {
		const longest = 4000
		bad := make([]byte, random.IntN(longest))
		if random.IntN(2) == 0 {
			bad = append([]byte(nil), good[:random.IntN(len(good))+1]...)
			bad[random.IntN(len(bad))] = byte(random.Uint32())
			return bad
		}
		for i := range bad {
			bad[i] = byte(random.Uint32())
		}
		return bad
	}
	for range packets {
		if _, err := four.Write(spoil(good4)); err != nil {
			return err
		}
		if _, err := six.Write(spoil(good6)); err != nil && !errors.Is(err, unix.ECONNREFUSED) { // it does not listen between tries
			return err
		}
	}
	return nil
}
