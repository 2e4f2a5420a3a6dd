package network

import (
	"encoding/binary"
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"ashlar/internal/contract/machine"
)

// userOption makes a netlink message as the kernel sends it for options of a
// router advertisement.
func userOption(index int, options []byte) []byte {
	msg := make([]byte, 32)
	binary.NativeEndian.PutUint32(msg, uint32(32+len(options)))
	binary.NativeEndian.PutUint16(msg[4:], unix.RTM_NEWNDUSEROPT)
	msg[16] = unix.AF_INET6
	binary.NativeEndian.PutUint16(msg[18:], uint16(len(options)))
	binary.NativeEndian.PutUint32(msg[20:], uint32(index))
	return append(msg, options...)
}

// rdnss is an option of one name server (RFC 8106, 5.1).
func rdnss(lifetime uint32, server string) []byte {
	option := []byte{optionRDNSS, 3, 0, 0, 0, 0, 0, 0}
	binary.BigEndian.PutUint32(option[4:], lifetime)
	return append(option, net.ParseIP(server)...)
}

var dnssl = append([]byte{optionDNSSL, 4, 0, 0, 0, 0, 1, 0}, "\x07example\x03org\x00\x03lan\x00\x00\x00\x00\x00\x00\x00"...)

func TestParseMessages(t *testing.T) {
	two := append(userOption(3, rdnss(600, "2001:db8::53")), userOption(4, append(rdnss(0, "2001:db8::1"), dnssl[:32]...))...)
	got := parseMessages(two)
	want := []advert{
		{index: 3, servers: []net.IP{net.ParseIP("2001:db8::53")}},
		{index: 4, search: []string{"example.org", "lan"}},
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(advert{})); diff != "" {
		t.Error(diff)
	}
}

func FuzzParseMessages(f *testing.F) {
	f.Add(userOption(3, rdnss(600, "2001:db8::53")))
	f.Add(userOption(1, dnssl))
	f.Add([]byte{32, 0, 0, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, a := range parseMessages(data) {
			for _, name := range a.search {
				if len(distinct([]string{name})) != 1 {
					t.Errorf("name %q would break resolv.conf", name)
				}
			}
		}
	})
}

func TestResolver(t *testing.T) {
	path := filepath.Join(t.TempDir(), "run", "resolv.conf")
	r := newResolver(path, machine.Network{DNS: []string{"192.0.2.1"}, Search: []string{"example.org"}})
	steps := []struct {
		source  string
		servers []net.IP
		search  []string
		want    string
	}{
		{"eth1 dhcp4", []net.IP{net.IPv4(10, 0, 2, 3), net.IPv4(192, 0, 2, 1)}, []string{"lan"}, "search example.org lan\nnameserver 192.0.2.1\nnameserver 10.0.2.3\n"},
		{"eth0 ra", []net.IP{net.ParseIP("fec0::3")}, []string{"a b"}, "search example.org lan\nnameserver 192.0.2.1\nnameserver fec0::3\nnameserver 10.0.2.3\n"},
		{"eth1 dhcp4", nil, nil, "search example.org\nnameserver 192.0.2.1\nnameserver fec0::3\n"},
	}
	for _, s := range steps {
		if err := r.learn(s.source, s.servers, s.search); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != s.want {
			t.Errorf("after %s: got %q, want %q", s.source, got, s.want)
		}
	}
}
