package network

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"strings"

	"golang.org/x/sys/unix"
)

// The options of router advertisements that the kernel leaves to user space
// (RFC 8106).
const (
	optionRDNSS = 25
	optionDNSSL = 31
)

// listenToRouters takes name servers from the router advertisements that the
// kernel passes on (rtnetlink RTM_NEWNDUSEROPT).
func (m *Manager) listenToRouters(ctx context.Context) {
	fd, err := routerSocket()
	if err != nil {
		m.opt.Log("network: listen to routers: %v", err)
		return
	}
	defer unix.Close(fd)
	buf := make([]byte, 16<<10)
	for ctx.Err() == nil {
		n, _, err := unix.Recvfrom(fd, buf, 0)
		if err != nil {
			continue // most likely the time-out, which lets the loop see that ctx has ended
		}
		for _, a := range parseMessages(buf[:n]) {
			iface, err := net.InterfaceByIndex(a.index)
			if err != nil {
				continue // gone again
			}
			if err := m.names.learn(iface.Name+" ra", a.servers, a.search); err != nil {
				m.opt.Log("network: %v", err)
			}
		}
	}
}

func routerSocket() (int, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return -1, err
	}
	err = errors.Join(
		unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: 1 << (unix.RTNLGRP_ND_USEROPT - 1)}),
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 1}),
	)
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// advert is what one message says.
type advert struct {
	index   int
	servers []net.IP
	search  []string
}

// parseMessages reads netlink messages: a 16-byte header (length, type), then
// struct nduseroptmsg (linux/rtnetlink.h: family, length of options, interface
// index, ICMP type and code; 16 bytes), then the options.
func parseMessages(data []byte) []advert {
	const header, body = 16, 16
	var list []advert
	for len(data) >= header {
		length := int(binary.NativeEndian.Uint32(data))
		if length < header || length > len(data) {
			return list
		}
		if binary.NativeEndian.Uint16(data[4:]) == unix.RTM_NEWNDUSEROPT && length >= header+body {
			msg := data[header:length]
			options := int(binary.NativeEndian.Uint16(msg[2:]))
			if options <= len(msg)-body {
				if a, ok := parseOptions(msg[body : body+options]); ok {
					a.index = int(int32(binary.NativeEndian.Uint32(msg[4:])))
					list = append(list, a)
				}
			}
		}
		data = data[min((length+3)&^3, len(data)):]
	}
	return list
}

// parseOptions reads neighbour discovery options (RFC 4861, 4.6).
func parseOptions(data []byte) (a advert, ok bool) {
	for len(data) >= 8 {
		length := 8 * int(data[1])
		if length == 0 || length > len(data) {
			return a, ok
		}
		lifetime := binary.BigEndian.Uint32(data[4:])
		switch data[0] {
		case optionRDNSS:
			ok = true
			for rest := data[8:length]; lifetime > 0 && len(rest) >= net.IPv6len; rest = rest[net.IPv6len:] {
				a.servers = append(a.servers, append(net.IP(nil), rest[:net.IPv6len]...))
			}
		case optionDNSSL:
			ok = true
			if lifetime > 0 {
				a.search = append(a.search, parseDomains(data[8:length])...)
			}
		}
		data = data[length:]
	}
	return a, ok
}

// parseDomains reads names as in RFC 1035, 3.1, without compression.
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
		if n > longest || n >= len(data) || !isLabel(data[1:1+n]) {
			return names
		}
		labels, data = append(labels, string(data[1:1+n])), data[1+n:]
	}
	return names
}

// isLabel allows what host names are made of: the text goes into resolv.conf.
func isLabel(label []byte) bool {
	for _, c := range label {
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_') {
			return false
		}
	}
	return true
}
