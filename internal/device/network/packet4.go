package network

import "encoding/binary"

// The ports of DHCPv4 (RFC 2131, 4.1).
const (
	serverPort4 = 67
	clientPort4 = 68
)

const (
	ip4Header = 20
	udpHeader = 8
	protoUDP  = 17
)

// encodeUDP4 puts a payload into a UDP datagram (RFC 768) from the client's to
// the server's port and that into an IPv4 packet (RFC 791).
func encodeUDP4(src, dst [4]byte, payload []byte) []byte {
	packet := make([]byte, ip4Header+udpHeader, ip4Header+udpHeader+len(payload))
	ip, udp := packet[:ip4Header], packet[ip4Header:]
	ip[0], ip[8], ip[9] = 0x45, 64, protoUDP // version and length of header, hops, protocol
	binary.BigEndian.PutUint16(ip[2:], uint16(len(packet)+len(payload)))
	copy(ip[12:], src[:])
	copy(ip[16:], dst[:])
	binary.BigEndian.PutUint16(ip[10:], ^sum16(0, ip))
	binary.BigEndian.PutUint16(udp, clientPort4)
	binary.BigEndian.PutUint16(udp[2:], serverPort4)
	binary.BigEndian.PutUint16(udp[4:], uint16(udpHeader+len(payload)))
	packet = append(packet, payload...)
	check := ^sumUDP(packet[12:20], packet[ip4Header:])
	if check == 0 {
		check = 0xffff // 0 means that there is none
	}
	binary.BigEndian.PutUint16(packet[ip4Header+6:], check)
	return packet
}

// decodeUDP4 gives the payload of an unfragmented packet from a server's to the
// client's port. Packets of a machine's own may not have their checksum yet
// (unsummed): hardware would have put it in.
func decodeUDP4(packet []byte, unsummed bool) (payload []byte, ok bool) {
	if len(packet) < ip4Header || packet[0]>>4 != 4 || packet[9] != protoUDP {
		return nil, false
	}
	header, total := 4*int(packet[0]&15), int(binary.BigEndian.Uint16(packet[2:]))
	if header < ip4Header || total < header+udpHeader || total > len(packet) {
		return nil, false
	}
	const moreOrOffset = 0x3fff
	if binary.BigEndian.Uint16(packet[6:])&moreOrOffset != 0 || sum16(0, packet[:header]) != 0xffff {
		return nil, false
	}
	udp := packet[header:total]
	length := int(binary.BigEndian.Uint16(udp[4:]))
	if length < udpHeader || length > len(udp) ||
		binary.BigEndian.Uint16(udp) != serverPort4 || binary.BigEndian.Uint16(udp[2:]) != clientPort4 {
		return nil, false
	}
	udp = udp[:length]
	if check := binary.BigEndian.Uint16(udp[6:]); check != 0 && !unsummed && sumUDP(packet[12:20], udp) != 0xffff {
		return nil, false
	}
	return udp[udpHeader:], true
}

// sumUDP sums a datagram and its pseudo header.
func sumUDP(addresses, udp []byte) uint16 {
	return sum16(protoUDP+len(udp)+int(sum16(0, addresses)), udp)
}

// sum16 is the one's complement sum of 16-bit words (RFC 1071).
func sum16(start int, data []byte) uint16 {
	sum := uint32(start)
	for ; len(data) >= 2; data = data[2:] {
		sum += uint32(binary.BigEndian.Uint16(data))
	}
	if len(data) == 1 {
		sum += uint32(data[0]) << 8
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return uint16(sum)
}
