package network

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"

	"ashlar/internal/contract/machine"
)

// userOption makes the body of a netlink message as the kernel sends it for
// options of a router advertisement.
func userOption(index int, options ...byte) []byte {
	msg := make([]byte, 16)
	msg[0] = 10 // AF_INET6
	binary.NativeEndian.PutUint16(msg[2:], uint16(len(options)))
	binary.NativeEndian.PutUint32(msg[4:], uint32(index))
	msg = append(msg, options...)
	msg = binary.NativeEndian.AppendUint16(msg, 20)
	msg = binary.NativeEndian.AppendUint16(msg, 1)
	return append(msg, net.ParseIP("fe80::1")...)
}

// rdnss is an option of name servers (RFC 8106, 5.1).
func rdnss(lifetime uint32, servers ...string) []byte {
	option := []byte{optionRDNSS, byte(1 + 2*len(servers)), 0, 0, 0, 0, 0, 0}
	binary.BigEndian.PutUint32(option[4:], lifetime)
	for _, s := range servers {
		option = append(option, net.ParseIP(s)...)
	}
	return option
}

// dnssl is an option of two domains (RFC 8106, 5.2), with padding.
func dnssl() []byte {
	return append([]byte{optionDNSSL, 4, 0, 0, 0, 0, 1, 0}, "\x07example\x03org\x00\x03lan\x00\x00\x00\x00\x00\x00\x00"...)
}

func compareAddrs(a, b netip.Addr) bool { return a == b }

func TestParseUserOption(t *testing.T) {
	got := parseUserOption(userOption(3, append(rdnss(600, "2001:db8::53", "fe80::53"), dnssl()...)...))
	router := netip.MustParseAddr("fe80::1")
	want := []advert{
		{index: 3, router: router, lifetime: 600, servers: []netip.Addr{netip.MustParseAddr("2001:db8::53"), netip.MustParseAddr("fe80::53")}},
		{index: 3, router: router, lifetime: 256, search: []string{"example.org", "lan"}},
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(advert{}), cmp.Comparer(compareAddrs)); diff != "" {
		t.Error(diff)
	}
}

func TestParseDomains(t *testing.T) {
	tests := map[string]struct {
		data       string
		compressed bool
		want       []string
	}{
		"two":              {"\x07example\x03org\x00\x03lan\x00", false, []string{"example.org", "lan"}},
		"pointer":          {"\x07example\x03org\x00\x03lab\xc0\x08\x01a\x00", true, []string{"example.org", "lab.org", "a"}},
		"pointer of two":   {"\x03org\x00\x01a\xc0\x00\x01b\xc0\x05", true, []string{"org", "a.org", "b.a.org"}},
		"no pointers here": {"\x03org\x00\x01a\xc0\x00", false, []string{"org"}},
		"loop":             {"\x03org\x00\x01a\xc0\x05", true, []string{"org"}},
		"forward":          {"\xc0\x02\x01a\x00", true, nil},
		"cut off":          {"\x03org\x00\x03la", true, []string{"org"}},
		"not ended":        {"\x03org\x00\x03lan", true, []string{"org"}},
		"bad characters":   {"\x03a b\x00", true, nil},
		"too long":         {strings.Repeat("\x3f"+strings.Repeat("a", 63), 5) + "\x00", true, nil},
		"padding":          {"\x00\x00\x03lan\x00\x00\x00", false, []string{"lan"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, parseDomains([]byte(test.data), test.compressed)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestRouterNames(t *testing.T) {
	r, now := newRouterNames(), time.Unix(1000, 0)
	names := func() string {
		servers, search := r.of(3)
		return fmt.Sprint(servers, search)
	}
	hear := func(option []byte) {
		for _, a := range parseUserOption(userOption(3, option...)) {
			r.hear(a, now)
		}
	}
	hear(rdnss(10, "2001:db8::1"))
	hear(rdnss(20, "2001:db8::2")) // another option does not replace the first
	hear(rdnss(1<<32-1, "2001:db8::3"))
	hear(rdnss(0, "2001:db8::4"))
	hear(rdnss(20, "ff02::1", "::")) // nothing to ask
	hear(dnssl())
	if got, want := names(), "[2001:db8::1 2001:db8::2 2001:db8::3] [example.org lan]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	hear(rdnss(0, "2001:db8::2"))
	next, changed := r.expire(now.Add(9 * time.Second))
	if next != now.Add(10*time.Second) || len(changed) != 0 {
		t.Errorf("next end is %s, changed %v", next, changed)
	}
	next, changed = r.expire(now.Add(10 * time.Second))
	if next != now.Add(256*time.Second) || len(changed) != 1 {
		t.Errorf("next end is %s, changed %v", next, changed)
	}
	if got, want := names(), "[2001:db8::3] [example.org lan]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	for i := range 10 * maxPerPort {
		hear(rdnss(uint32(1000-i), fmt.Sprintf("2001:db8::1:%x", i)))
	}
	servers, search := r.of(3)
	if len(servers) != maxPerPort || servers[0] != netip.MustParseAddr("2001:db8::3") || len(search) != 2 {
		t.Errorf("%d servers beginning with %s and %v are kept, want %d, those that last longest, and the domains", len(servers), servers[0], search, maxPerPort)
	}
	r.forget(3)
	if len(r.list) != 0 {
		t.Errorf("left: %v", r.list)
	}
}

func TestResolver(t *testing.T) {
	path := filepath.Join(t.TempDir(), "run", "resolv.conf")
	r := newResolver(path, machine.Network{DNS: []string{"192.0.2.1"}, Search: []string{"example.org"}})
	steps := []struct {
		source string
		said   learnt
		want   string
	}{
		{"eth1 dhcp4", learnt{[]string{"10.0.2.3", "192.0.2.1"}, []string{"lan."}}, "search example.org lan\nnameserver 192.0.2.1\nnameserver 10.0.2.3\n"},
		{"eth0 ra", learnt{[]string{"fec0::3"}, []string{"a b", "c\nd", ""}}, "search example.org lan\nnameserver 192.0.2.1\nnameserver fec0::3\nnameserver 10.0.2.3\n"},
		{"eth0 dhcp4", learnt{[]string{"10.0.0.1", "10.0.0.2"}, nil}, "search example.org lan\nnameserver 192.0.2.1\nnameserver 10.0.0.1\nnameserver 10.0.0.2\n"},
		{"eth0 dhcp4", learnt{}, "search example.org lan\nnameserver 192.0.2.1\nnameserver fec0::3\nnameserver 10.0.2.3\n"},
	}
	for _, s := range steps {
		must(t, r.learn(s.source, s.said))
		fileSays(t, path, s.want)
	}
	must(t, r.forget("eth1"))
	fileSays(t, path, "search example.org\nnameserver 192.0.2.1\nnameserver fec0::3\n")
	// What says the same is not written again.
	before, err := os.Stat(path)
	must(t, err)
	must(t, r.learn("eth2 ra", learnt{[]string{"fec0::3"}, nil}))
	after, err := os.Stat(path)
	must(t, err)
	if !os.SameFile(before, after) {
		t.Error("the file was written without need")
	}
}

func TestChoose(t *testing.T) {
	declared := []machine.Interface{{Name: "e*"}, {Name: "eth0"}, {MAC: "02:00:00:00:00:0a"}, {Name: "br0"}}
	link := func(name, mac string) *netlink.Dummy {
		attrs := netlink.NewLinkAttrs()
		attrs.Name = name
		attrs.HardwareAddr, _ = net.ParseMAC(mac)
		return &netlink.Dummy{LinkAttrs: attrs}
	}
	loop := link("eth0", "02:00:00:00:00:0a")
	loop.Flags = net.FlagLoopback
	enslaved := link("eth1", "02:00:00:00:00:0a")
	enslaved.MasterIndex = 5
	tests := []struct {
		link netlink.Link
		want string // name or MAC of the declaration; "": none
	}{
		{link("eth0", "02:00:00:00:00:01"), "eth0"},
		{link("eth0", "02:00:00:00:00:0A"), "02:00:00:00:00:0a"},
		{link("br0", "02:00:00:00:00:02"), "br0"},
		{link("eth7", "02:00:00:00:00:03"), ""}, // fits the pattern, but there is no such device
		{&netlink.Vlan{LinkAttrs: link("eth0.5", "02:00:00:00:00:0a").LinkAttrs}, ""},
		{enslaved, ""},
		{loop, ""},
	}
	for _, test := range tests {
		d, found := choose(declared, test.link)
		if label(d) != test.want || found != (test.want != "") {
			t.Errorf("%s %s: got %q, want %q", test.link.Attrs().Name, test.link.Attrs().HardwareAddr, label(d), test.want)
		}
	}
}
