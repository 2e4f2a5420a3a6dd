package reaper

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Messages (RFC 2131, section 3) and options (RFC 2132) that are used.
const (
	discover, offer, request, ack, nak = 1, 2, 3, 5, 6

	optMask      = 1
	optRouter    = 3
	optDNS       = 6
	optRequested = 50
	optLease     = 51
	optType      = 53
	optServer    = 54
	optWanted    = 55
	optPad       = 0
	optEnd       = 255

	headerSize = 236 // bytes before the cookie
	leastSize  = 300 // what old servers and relays expect
	cookie     = "\x63\x82\x53\x63"
)

// message is what is used of a DHCPv4 message.
type message struct {
	kind           byte
	transaction    uint32
	hardware       [6]byte    // of the client
	client, yours  netip.Addr // client: the address it has and renews
	requested      netip.Addr
	server, router netip.Addr
	bits           int // of the mask
	dns            []netip.Addr
	lease          time.Duration
}

// encode makes a request of a client.
func (m message) encode() []byte {
	b := make([]byte, headerSize, leastSize)
	const bootRequest, etherType, broadcast = 1, 1, 0x8000
	b[0], b[1], b[2] = bootRequest, etherType, byte(len(m.hardware))
	binary.BigEndian.PutUint32(b[4:], m.transaction)
	binary.BigEndian.PutUint16(b[10:], broadcast) // no address yet that an answer could go to
	if m.client.Is4() {
		copy(b[12:], m.client.AsSlice())
	}
	copy(b[28:], m.hardware[:])
	b = append(b, cookie...)
	b = append(b, optType, 1, m.kind)
	for _, o := range []struct {
		code    byte
		address netip.Addr
	}{{optRequested, m.requested}, {optServer, m.server}} {
		if o.address.Is4() {
			b = append(append(b, o.code, 4), o.address.AsSlice()...)
		}
	}
	b = append(b, optWanted, 3, optMask, optRouter, optDNS, optEnd)
	return append(b, make([]byte, max(0, leastSize-len(b)))...)
}

// parseMessage reads a server's answer.
func parseMessage(b []byte) (message, error) {
	const bootReply = 2
	if len(b) < headerSize+len(cookie) || b[0] != bootReply || string(b[headerSize:headerSize+4]) != cookie {
		return message{}, errors.New("no answer of a DHCP server")
	}
	m := message{transaction: binary.BigEndian.Uint32(b[4:]), yours: netip.AddrFrom4([4]byte(b[16:20])), bits: -1}
	copy(m.hardware[:], b[28:34])
	for rest := b[headerSize+4:]; len(rest) > 0 && rest[0] != optEnd; {
		if rest[0] == optPad {
			rest = rest[1:]
			continue
		}
		if len(rest) < 2 || len(rest) < 2+int(rest[1]) {
			return m, errors.New("an option ends behind the message")
		}
		if err := m.option(rest[0], rest[2:2+int(rest[1])]); err != nil {
			return m, err
		}
		rest = rest[2+int(rest[1]):]
	}
	if m.kind == 0 {
		return m, errors.New("no message type")
	}
	return m, nil
}

func (m *message) option(code byte, value []byte) error {
	least := map[byte]int{optType: 1, optMask: 4, optRouter: 4, optDNS: 4, optLease: 4, optServer: 4}[code]
	if len(value) < least {
		return fmt.Errorf("option %d of %d bytes", code, len(value))
	}
	switch code {
	case optType:
		m.kind = value[0]
	case optMask:
		for m.bits = 0; m.bits < 32 && value[m.bits/8]&(0x80>>(m.bits%8)) != 0; m.bits++ {
		}
	case optRouter:
		m.router = netip.AddrFrom4([4]byte(value))
	case optServer:
		m.server = netip.AddrFrom4([4]byte(value))
	case optLease:
		m.lease = time.Duration(binary.BigEndian.Uint32(value)) * time.Second
	case optDNS:
		const most = 3 // what resolv.conf(5) takes
		for ; len(value) >= 4 && len(m.dns) < most; value = value[4:] {
			m.dns = append(m.dns, netip.AddrFrom4([4]byte(value)))
		}
	}
	return nil
}

// prefix is the address that a server gives.
func (m message) prefix() (netip.Prefix, error) {
	bits := m.bits
	if bits < 0 {
		bits = 24
	}
	if a := m.yours; a.IsUnspecified() || a.IsMulticast() || a.IsLoopback() {
		return netip.Prefix{}, fmt.Errorf("the server gives the address %s", a)
	}
	return netip.PrefixFrom(m.yours, bits), nil
}

// wire carries messages to all servers of a link and back.
type wire interface {
	send([]byte) error
	receive(within time.Duration) ([]byte, error)
}

// errNoAnswer: nobody answers.
var errNoAnswer = errors.New("no DHCP server answers")

// client asks for addresses.
type client struct {
	wire     wire
	hardware [6]byte
	first    time.Duration // how long the first question waits for its answer; it doubles
	tries    int
}

// ask sends a message until the answer comes that fits it.
func (c client) ask(m message, fits func(message) bool) (message, error) {
	for try, within := 0, c.first; try < c.tries; try, within = try+1, 2*within {
		if err := c.wire.send(m.encode()); err != nil {
			return message{}, err
		}
		for end := time.Now().Add(within); ; {
			left := time.Until(end)
			if left <= 0 {
				break
			}
			b, err := c.wire.receive(left)
			if err != nil {
				break // nothing within the time, or a passing failure: ask again
			}
			answer, err := parseMessage(b)
			if err == nil && answer.transaction == m.transaction && answer.hardware == m.hardware && fits(answer) {
				return answer, nil
			}
		}
	}
	return message{}, errNoAnswer
}

// obtain gets a lease: a server is discovered and its offer requested.
func (c client) obtain() (message, error) {
	id, err := transaction()
	if err != nil {
		return message{}, err
	}
	offered, err := c.ask(message{kind: discover, transaction: id, hardware: c.hardware}, func(m message) bool { return m.kind == offer && m.server.Is4() })
	if err != nil {
		return offered, err
	}
	return c.take(message{kind: request, transaction: id, hardware: c.hardware, requested: offered.yours, server: offered.server})
}

// renew asks any server to go on with a lease.
func (c client) renew(lease message) (message, error) {
	id, err := transaction()
	if err != nil {
		return message{}, err
	}
	return c.take(message{kind: request, transaction: id, hardware: c.hardware, client: lease.yours})
}

func (c client) take(m message) (message, error) {
	answer, err := c.ask(m, func(a message) bool { return slices.Contains([]byte{ack, nak}, a.kind) })
	if err == nil && answer.kind == nak {
		err = errors.New("the DHCP server refuses the address")
	}
	if err == nil {
		_, err = answer.prefix()
	}
	return answer, err
}

// transaction gives a number for the messages of one question. It need not be
// a secret: a machine that has just started would wait seconds for one.
func transaction() (uint32, error) {
	var b [4]byte
	_, err := unix.Getrandom(b[:], unix.GRND_INSECURE)
	return binary.BigEndian.Uint32(b[:]), err
}

// sameLease reports whether two answers configure the same.
func sameLease(a, b message) bool {
	return a.yours == b.yours && a.bits == b.bits && a.router == b.router && slices.Equal(a.dns, b.dns)
}

// hardwareOf reads "52:54:00:12:34:56".
func hardwareOf(text string) (mac [6]byte, err error) {
	parts := strings.Split(strings.TrimSpace(text), ":")
	for n := 0; n < len(mac) && len(parts) == len(mac); n++ {
		octet, err := strconv.ParseUint(parts[n], 16, 8)
		if err != nil {
			return mac, fmt.Errorf("hardware address %q", text)
		}
		mac[n] = byte(octet)
	}
	if mac == [6]byte{} {
		return mac, fmt.Errorf("hardware address %q", text)
	}
	return mac, nil
}
