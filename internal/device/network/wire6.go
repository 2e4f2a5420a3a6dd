package network

import (
	"context"
	"fmt"
	"net"
	"net/netip"

	"github.com/insomniacslk/dhcp/dhcpv6"
)

// wire6 carries DHCPv6 messages on one interface.
type wire6 interface {
	send(*dhcpv6.Message) error
	inbox() <-chan *dhcpv6.Message // what comes, whomever it is for
	close()
}

// The ports of DHCPv6 and the group of all servers and relays (RFC 8415, 7.1
// and 7.2).
const (
	clientPort6 = 546
	serverPort6 = 547
	allServers6 = "ff02::1:2"
)

// maxPacket6 bounds what is read of a message: more than an Ethernet frame holds.
const maxPacket6 = 2048

// udpWire speaks from the interface's link-local address (RFC 8415, 16).
type udpWire struct {
	conn *net.UDPConn
	to   netip.AddrPort
	in   chan *dhcpv6.Message
	done chan struct{}
}

func openWire6(from netip.Addr, iface string) (*udpWire, error) {
	local := net.UDPAddrFromAddrPort(netip.AddrPortFrom(from.WithZone(iface), clientPort6))
	conn, err := net.ListenUDP("udp6", local)
	if err != nil {
		return nil, err
	}
	w := &udpWire{
		conn: conn, in: make(chan *dhcpv6.Message, 8), done: make(chan struct{}),
		to: netip.AddrPortFrom(netip.MustParseAddr(allServers6).WithZone(iface), serverPort6),
	}
	go w.read()
	return w, nil
}

func (w *udpWire) send(m *dhcpv6.Message) error {
	if _, err := w.conn.WriteToUDPAddrPort(m.ToBytes(), w.to); err != nil {
		return fmt.Errorf("send %s: %w", m.MessageType, err)
	}
	return nil
}

func (w *udpWire) inbox() <-chan *dhcpv6.Message { return w.in }

func (w *udpWire) close() {
	w.conn.Close()
	<-w.done
}

// read takes messages until the socket is closed. What nobody fetches is lost,
// as on the net.
func (w *udpWire) read() {
	defer close(w.done)
	buf := make([]byte, maxPacket6)
	for {
		n, _, err := w.conn.ReadFromUDPAddrPort(buf)
		if err != nil {
			return
		}
		if m, err := parseMessage6(buf[:n]); err == nil {
			select {
			case w.in <- m:
			default:
			}
		}
	}
}

// openWire6 waits for a link-local address that is no longer tentative.
func (p *port) openWire6(ctx context.Context) (wire6, error) {
	var from netip.Addr
	err := p.await6(ctx, func(ip netip.Addr) bool {
		if ip.IsLinkLocalUnicast() {
			from = ip
		}
		return ip.IsLinkLocalUnicast()
	})
	if err != nil {
		return nil, err
	}
	return openWire6(from, p.name)
}
