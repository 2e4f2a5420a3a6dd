package network

import (
	"encoding/binary"
	"net/netip"
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
			a.search = parseDomains(data[8:length], false)
			list = append(list, a)
		}
		data = data[length:]
	}
	return list
}

// parseDomains reads names as in RFC 1035, 3.1, up to the first that is none,
// and not more than are of use. Where compression is allowed (4.1.4), pointers
// go back, and a name has at most 255 bytes: no input takes long.
func parseDomains(data []byte, compressed bool) (names []string) {
	for pos := 0; pos < len(data) && len(names) < maxLabelled; {
		name, next, ok := readName(data, pos, compressed)
		if !ok {
			break
		}
		if name != "" { // what fills up option 31 is empty names
			names = append(names, name)
		}
		pos = next
	}
	return names
}

// readName gives the name at a place and the place behind it.
func readName(data []byte, pos int, compressed bool) (name string, next int, ok bool) {
	const longest, mark = 63, 0xc0
	lowest := pos // where a pointer has led
	for pos < len(data) {
		n := int(data[pos])
		pos++
		switch {
		case n == 0:
			return name, max(next, pos), true
		case n >= mark && compressed && pos < len(data):
			next = max(next, pos+1)
			pos = (n&^mark)<<8 | int(data[pos])
			if pos >= lowest {
				return "", 0, false
			}
			lowest = pos
		case n > longest || n > len(data)-pos:
			return "", 0, false
		default:
			if name != "" {
				name += "."
			}
			name += string(data[pos : pos+n])
			pos += n
			if !isHostname(name) {
				return "", 0, false
			}
		}
	}
	return "", 0, false
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
