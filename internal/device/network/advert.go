package network

import (
	"encoding/binary"
	"net/netip"
	"strings"
)

// The options of router advertisements that the kernel leaves to user space
// (RFC 8106, 5.1 and 5.2).
const (
	optionRDNSS = 25
	optionDNSSL = 31
)

// advert is one option of an advertisement: name servers or domains.
type advert struct {
	index    int        // of the interface
	router   netip.Addr // who has said it; the zero address: not known
	lifetime uint32     // seconds; all ones: for ever; 0: no longer
	servers  []netip.Addr
	search   []string
}

// parseUserOption reads the body of an RTM_NEWNDUSEROPT message: struct
// nduseroptmsg (linux/rtnetlink.h: family, length of options, interface index,
// ICMP type and code; 16 bytes), then the options as the router sent them, then
// the attribute NDUSEROPT_SRCADDR with the router's address.
func parseUserOption(msg []byte) []advert {
	const body = 16
	if len(msg) < body {
		return nil
	}
	options := int(binary.NativeEndian.Uint16(msg[2:]))
	if options > len(msg)-body {
		return nil
	}
	list := parseOptions(msg[body : body+options])
	router := parseSource(msg[body+options:])
	for i := range list {
		list[i].index = int(int32(binary.NativeEndian.Uint32(msg[4:])))
		list[i].router = router
	}
	return list
}

// parseSource reads the first attribute: length, type, 16 bytes of address.
func parseSource(data []byte) netip.Addr {
	const sourceAddr = 1 // NDUSEROPT_SRCADDR
	const header, size = 4, 16
	if len(data) < header+size || binary.NativeEndian.Uint16(data) != header+size ||
		binary.NativeEndian.Uint16(data[2:]) != sourceAddr {
		return netip.Addr{}
	}
	return netip.AddrFrom16([size]byte(data[header:]))
}

// parseOptions reads neighbour discovery options (RFC 4861, 4.6): type, length
// in units of 8 bytes, and for ours 2 bytes that are reserved and the lifetime.
func parseOptions(data []byte) (list []advert) {
	for len(data) >= 8 {
		length := 8 * int(data[1])
		if length == 0 || length > len(data) {
			return list
		}
		a := advert{lifetime: binary.BigEndian.Uint32(data[4:])}
		switch data[0] {
		case optionRDNSS:
			for rest := data[8:length]; len(rest) >= 16; rest = rest[16:] {
				a.servers = append(a.servers, netip.AddrFrom16([16]byte(rest)))
			}
			list = append(list, a)
		case optionDNSSL:
			a.search = parseDomains(data[8:length])
			list = append(list, a)
		}
		data = data[length:]
	}
	return list
}

// parseDomains reads names as in RFC 1035, 3.1, without compression (RFC 8106,
// 5.2, forbids it), up to the first that is none.
func parseDomains(data []byte) []string {
	var names, labels []string
	for len(data) > 0 {
		n := int(data[0])
		if n == 0 {
			if len(labels) > 0 {
				names = append(names, strings.Join(labels, "."))
			}
			labels, data = nil, data[1:]
			continue
		}
		const longest = 63
		if n > longest || n >= len(data) || !isHostname(string(data[1:1+n])) {
			return names
		}
		labels, data = append(labels, string(data[1:1+n])), data[1+n:]
	}
	return names
}

// isHostname allows what names of hosts and domains are made of: the text goes
// into resolv.conf and to servers.
func isHostname(name string) bool {
	for _, c := range []byte(name) {
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_' || c == '.') {
			return false
		}
	}
	return name != "" && len(name) <= 253
}
