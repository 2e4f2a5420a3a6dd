// Package ipparam reads the kernel parameter ip=, as a kernel that configures
// the network itself takes it (Documentation/admin-guide/nfs/nfsroot.rst), for
// kernels that do not:
//
//	ip=CLIENT:SERVER:GATEWAY:NETMASK:HOSTNAME:DEVICE:AUTOCONF:DNS:DNS:NTP
//	ip=dhcp
//	ip=DEVICE:dhcp
//
// Every field may be empty, and those at the end left out. An IPv6 address
// stands in brackets, and its NETMASK is a number of bits, as may be IPv4's.
// The third form is dracut's. The package touches no network.
package ipparam

import (
	"errors"
	"fmt"
	"math/bits"
	"net/netip"
	"strconv"
)

// Ways to configure.
const (
	Static = "static" // Address and what is beside it
	DHCP   = "dhcp"
	Off    = "off" // nothing is to be configured
)

// Param is a parameter that was understood.
type Param struct {
	How      string       // Static, DHCP or Off
	Address  netip.Prefix // Static: the client's
	Server   netip.Addr   // of the root or of the boot files; may be invalid
	Gateway  netip.Addr   // may be invalid
	Hostname string
	Device   string // "eth0"; "": the first with a carrier, or the only one
	DNS      []netip.Addr
}

// maxParam bounds the text, in bytes.
const maxParam = 1024

// names is the table of what AUTOCONF may be; the other protocols that the
// kernel knows, bootp and rarp, are understood by no server that is left.
var names = map[string]string{"dhcp": DHCP, "on": DHCP, "any": DHCP, "both": DHCP, "off": Off, "none": Off, "static": Static}

// Parse reads the value of one ip= parameter.
func Parse(text string) (Param, error) {
	p, err := parse(text)
	if err != nil {
		return Param{}, fmt.Errorf("read ip=%.60s: %w", text, err)
	}
	return p, nil
}

func parse(text string) (Param, error) {
	if len(text) > maxParam {
		return Param{}, fmt.Errorf("longer than %d bytes", maxParam)
	}
	fields, err := split(text)
	if err != nil {
		return Param{}, err
	}
	if how := names[fields[0]]; len(fields) == 1 && how != "" && how != Static {
		return Param{How: how}, nil
	}
	if len(fields) == 2 && names[fields[1]] == DHCP {
		return Param{How: DHCP, Device: fields[0]}, nil
	}
	const most = 10
	if len(fields) > most {
		return Param{}, fmt.Errorf("%d fields, at most %d", len(fields), most)
	}
	return parseFields(append(fields, make([]string, most-len(fields))...))
}

// parseFields reads the kernel's own form.
func parseFields(f []string) (p Param, err error) {
	p.Hostname, p.Device = f[4], f[5]
	var client netip.Addr
	for _, field := range []struct {
		what string
		text string
		to   *netip.Addr
	}{{"client", f[0], &client}, {"server", f[1], &p.Server}, {"gateway", f[2], &p.Gateway}} {
		if field.text == "" {
			continue
		}
		if *field.to, err = netip.ParseAddr(field.text); err != nil || field.to.Zone() != "" {
			return p, fmt.Errorf("%s %q is no address", field.what, field.text)
		}
	}
	for _, text := range f[7:9] {
		if text == "" {
			continue
		}
		dns, err := netip.ParseAddr(text)
		if err != nil || dns.Zone() != "" {
			return p, fmt.Errorf("name server %q is no address", text)
		}
		p.DNS = append(p.DNS, dns)
	}
	how, known := names[f[6]]
	switch {
	case f[6] != "" && !known:
		return p, fmt.Errorf("%q is no way to configure: want dhcp, off or nothing", f[6])
	case how == DHCP:
		p.How = DHCP
	case client.IsValid():
		p.How = Static
		bits, err := maskBits(f[3], client)
		p.Address = netip.PrefixFrom(client, bits)
		return p, err
	case how == Static:
		return p, errors.New("static without an address")
	case how == Off:
		p.How = Off
	default:
		p.How = DHCP // as the kernel does with no address and no way
	}
	return p, nil
}

// split cuts at colons outside brackets, and takes brackets away.
func split(text string) ([]string, error) {
	fields := []string{""}
	inside := false
	for _, r := range text {
		last := &fields[len(fields)-1]
		switch {
		case r == '[' && !inside && *last == "":
			inside = true
		case r == ']' && inside:
			inside = false
		case r == ':' && !inside:
			fields = append(fields, "")
		default:
			*last += string(r)
		}
	}
	if inside {
		return nil, errors.New("a bracket is not closed")
	}
	return fields, nil
}

// maskBits reads 255.255.255.0 or 24. Without one it is that of the address's
// old class for IPv4, as in the kernel, and 64 for IPv6.
func maskBits(text string, client netip.Addr) (int, error) {
	if n, err := strconv.Atoi(text); err == nil {
		if n < 0 || n > client.BitLen() {
			return 0, fmt.Errorf("netmask %q of %d bits", text, client.BitLen())
		}
		return n, nil
	}
	switch {
	case text == "" && !client.Is4():
		return 64, nil
	case text == "":
		switch first := client.As4()[0]; {
		case first < 128:
			return 8, nil
		case first < 192:
			return 16, nil
		}
		return 24, nil
	}
	mask, err := netip.ParseAddr(text)
	if err != nil || !mask.Is4() || !client.Is4() {
		return 0, fmt.Errorf("netmask %q: want 255.255.255.0 or a number of bits", text)
	}
	b := mask.As4()
	word := uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
	ones := bits.LeadingZeros32(^word)
	if bits.OnesCount32(word) != ones {
		return 0, fmt.Errorf("netmask %q has a hole", text)
	}
	return ones, nil
}
