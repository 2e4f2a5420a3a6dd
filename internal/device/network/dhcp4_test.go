package network

import (
	"net"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/insomniacslk/dhcp/dhcpv4"
)

func TestTimes4(t *testing.T) {
	simulate4(t, func(n *net4) {
		n.serving(serveFor(time.Hour))
		same(t, n.take(), "0s DISCOVER", "0s REQUEST", "0s apply 10.1.0.7/24")
		time.Sleep(31 * time.Minute)
		const renew = " REQUEST from 10.1.0.7 to 10.1.0.1"
		same(t, n.take(), "30m0s"+renew, "30m0s apply 10.1.0.7/24")
		n.serving(nil) // from the next T1, an hour after the beginning, on
		time.Sleep(59*time.Minute + 500*time.Millisecond)
		same(t, n.take(),
			"1h0m0s"+renew, "1h11m15s"+renew, "1h16m52.5s"+renew, "1h19m41.3s"+renew, "1h21m5.6s"+renew, "1h22m5.6s"+renew,
			"1h22m30s REQUEST", "1h26m15s REQUEST", "1h28m7.5s REQUEST", "1h29m7.5s REQUEST",
			"1h30m0s drop 10.1.0.7/24", "1h30m0s DISCOVER",
		)
	})
}

func TestPauses4(t *testing.T) {
	simulate4(t, func(n *net4) {
		var sent []time.Time
		var xids []dhcpv4.TransactionID
		n.serving(func(m *dhcpv4.DHCPv4) []*dhcpv4.DHCPv4 {
			sent, xids = append(sent, time.Now()), append(xids, m.TransactionID)
			if want := uint16(time.Since(n.begin) / time.Second); m.NumSeconds != want {
				t.Errorf("secs is %d, want %d", m.NumSeconds, want)
			}
			return nil
		})
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if len(sent) < 13 || len(sent) > 15 {
			t.Errorf("%d messages in ten minutes", len(sent))
		}
		for i, want := range []time.Duration{1, 2, 4, 8, 16, 32, 64, 64, 64, 64} {
			want *= time.Second
			got, jitter := sent[i+1].Sub(sent[i]), min(want/4, time.Second)
			if got < want-jitter || got > want+jitter {
				t.Errorf("pause %d is %s, want %s give or take %s", i, got, want, jitter)
			}
		}
		if len(slices.Compact(xids)) != 1 {
			t.Error("the transaction changes, so that late offers are lost")
		}
		same(t, n.reports, "no server answers")
		// The cable is put in again: no more waiting.
		n.serving(serveFor(time.Hour))
		n.take()
		n.cable.set(false)
		n.cable.set(true)
		same(t, n.take(), "10m0s DISCOVER", "10m0s REQUEST", "10m0s apply 10.1.0.7/24")
	})
}

func TestCable4(t *testing.T) {
	simulate4(t, func(n *net4) {
		n.serving(serveFor(time.Hour))
		n.take()
		time.Sleep(10 * time.Minute)
		replug := func() {
			n.cable.set(false)
			synctest.Wait()
			n.cable.set(true)
		}
		var asked []*dhcpv4.DHCPv4
		serve := serveFor(time.Hour)
		n.serving(func(m *dhcpv4.DHCPv4) []*dhcpv4.DHCPv4 { asked = append(asked, m); return serve(m) })
		replug()
		same(t, n.take(), "10m0s REQUEST", "10m0s apply 10.1.0.7/24")
		if m := asked[0]; !m.RequestedIPAddress().Equal(net.IPv4(10, 1, 0, 7)) || !m.ClientIPAddr.IsUnspecified() || m.ServerIdentifier() != nil {
			t.Errorf("INIT-REBOOT asks by %s, want the address as an option, and neither ciaddr nor server (RFC 2131, 4.3.2)", m.Summary())
		}
		// Silence: the old lease holds on, to be renewed at its T1.
		n.serving(nil)
		replug()
		time.Sleep(time.Minute)
		if log := n.take(); len(log) != 3 || n.reports != nil {
			t.Errorf("got %v and %v, want three requests", log, n.reports)
		}
		n.serving(serveFor(time.Hour))
		time.Sleep(29*time.Minute + time.Second)
		same(t, n.take(), "40m0s REQUEST from 10.1.0.7 to 10.1.0.1", "40m0s apply 10.1.0.7/24")
		// A refusal: begin anew.
		n.serving(func(m *dhcpv4.DHCPv4) []*dhcpv4.DHCPv4 {
			if m.MessageType() == dhcpv4.MessageTypeRequest && m.ServerIdentifier() == nil {
				return []*dhcpv4.DHCPv4{answer4(m, dhcpv4.MessageTypeNak)}
			}
			return serve(m)
		})
		replug()
		const at = "40m1s "
		same(t, n.take(), at+"REQUEST", at+"drop 10.1.0.7/24", at+"DISCOVER", at+"REQUEST", at+"apply 10.1.0.7/24")
	})
}

// TestRefusals4 has a server that offers and then refuses.
func TestRefusals4(t *testing.T) {
	simulate4(t, func(n *net4) {
		n.serving(func(m *dhcpv4.DHCPv4) []*dhcpv4.DHCPv4 {
			if m.MessageType() == dhcpv4.MessageTypeDiscover {
				return []*dhcpv4.DHCPv4{answer4(m, dhcpv4.MessageTypeOffer)}
			}
			return []*dhcpv4.DHCPv4{answer4(m, dhcpv4.MessageTypeNak, dhcpv4.OptMessage("no\nmore"))}
		})
		time.Sleep(10 * time.Minute)
		if n := len(n.take()); n > 30 {
			t.Errorf("%d messages in ten minutes, want no flood", n)
		}
		same(t, n.reports, `the server refuses: "no\nmore"`)
	})
}

// TestForeign4 answers with what is not meant for the client, or makes no
// sense, before the right answer.
func TestForeign4(t *testing.T) {
	wrong := map[string]func(*dhcpv4.DHCPv4){
		"transaction": func(m *dhcpv4.DHCPv4) { m.TransactionID[0]++ },
		"hardware":    func(m *dhcpv4.DHCPv4) { m.ClientHWAddr = net.HardwareAddr{2, 0, 0, 0, 0, 2} },
		"operation":   func(m *dhcpv4.DHCPv4) { m.OpCode = dhcpv4.OpcodeBootRequest },
		"no address":  func(m *dhcpv4.DHCPv4) { m.YourIPAddr = nil },
		"loopback":    func(m *dhcpv4.DHCPv4) { m.YourIPAddr = net.IPv4(127, 0, 0, 1) },
		"multicast":   func(m *dhcpv4.DHCPv4) { m.YourIPAddr = net.IPv4(224, 0, 0, 1) },
		"short lease": func(m *dhcpv4.DHCPv4) { m.UpdateOption(dhcpv4.OptIPAddressLeaseTime(time.Second)) },
		"mask":        func(m *dhcpv4.DHCPv4) { m.UpdateOption(dhcpv4.OptSubnetMask(net.IPMask{255, 0, 255, 0})) },
		"inform":      func(m *dhcpv4.DHCPv4) { m.UpdateOption(dhcpv4.OptMessageType(dhcpv4.MessageTypeInform)) },
		"other server": func(m *dhcpv4.DHCPv4) {
			m.UpdateOption(dhcpv4.OptMessageType(dhcpv4.MessageTypeNak))
			m.UpdateOption(dhcpv4.OptServerIdentifier(net.IPv4(10, 1, 0, 2)))
		},
	}
	for name, spoil := range wrong {
		t.Run(name, func(t *testing.T) {
			simulate4(t, func(n *net4) {
				serve := serveFor(time.Hour)
				n.serving(func(m *dhcpv4.DHCPv4) []*dhcpv4.DHCPv4 {
					bad := serve(m)[0]
					bad.YourIPAddr = net.IPv4(10, 1, 0, 66)
					spoil(bad)
					return append([]*dhcpv4.DHCPv4{bad}, serve(m)...)
				})
				same(t, n.take(), "0s DISCOVER", "0s REQUEST", "0s apply 10.1.0.7/24")
			})
		})
	}
}

func TestLease4(t *testing.T) {
	question := &dhcpv4.DHCPv4{ClientHWAddr: net.HardwareAddr{2, 0, 0, 0, 0, 1}}
	raw := func(code dhcpv4.OptionCode, data ...byte) dhcpv4.Option { return dhcpv4.OptGeneric(code, data) }
	tests := map[string]struct {
		options []dhcpv4.Option
		change  func(*lease4)
	}{
		"nothing said": {},
		"times": {
			[]dhcpv4.Option{dhcpv4.OptIPAddressLeaseTime(100 * time.Second), dhcpv4.OptRenewTimeValue(10 * time.Second), dhcpv4.OptRebindingTimeValue(20 * time.Second)},
			func(l *lease4) { l.length, l.t1, l.t2 = 100*time.Second, 10*time.Second, 20*time.Second },
		},
		"times in the wrong order": {
			[]dhcpv4.Option{dhcpv4.OptIPAddressLeaseTime(80 * time.Second), dhcpv4.OptRenewTimeValue(75 * time.Second), dhcpv4.OptRebindingTimeValue(90 * time.Second)},
			func(l *lease4) { l.length, l.t1, l.t2 = 80*time.Second, 40*time.Second, 70*time.Second },
		},
		"times of zero": {
			[]dhcpv4.Option{dhcpv4.OptRenewTimeValue(0), dhcpv4.OptRebindingTimeValue(0)}, nil,
		},
		"time twice": {
			[]dhcpv4.Option{raw(dhcpv4.OptionIPAddressLeaseTime, 0, 0, 0, 120, 0, 0, 0, 8)},
			func(l *lease4) { l.length, l.t1, l.t2 = 8*time.Second, 4*time.Second, 7*time.Second },
		},
		"for ever": {
			[]dhcpv4.Option{raw(dhcpv4.OptionIPAddressLeaseTime, 255, 255, 255, 255)},
			func(l *lease4) {
				l.length = endless * time.Second
				l.t1, l.t2 = l.length/2, l.length/8*7
			},
		},
		"small MTU": {[]dhcpv4.Option{raw(dhcpv4.OptionInterfaceMTU, 0, 68)}, nil},
		"MTU":       {[]dhcpv4.Option{raw(dhcpv4.OptionInterfaceMTU, 5, 0)}, func(l *lease4) { l.mtu = 1280 }},
		"routers": {
			[]dhcpv4.Option{dhcpv4.OptRouter(net.IPv4(0, 0, 0, 0), net.IPv4(10, 1, 0, 2), net.IPv4(10, 1, 0, 3))},
			func(l *lease4) {
				l.routes = []route4{{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParseAddr("10.1.0.2")}}
			},
		},
		"classless routes win": {
			[]dhcpv4.Option{dhcpv4.OptRouter(net.IPv4(10, 1, 0, 2)), raw(dhcpv4.OptionClasslessStaticRoute, 20, 10, 9, 0xff, 10, 1, 0, 9)},
			func(l *lease4) {
				l.routes = []route4{{netip.MustParsePrefix("10.9.240.0/20"), netip.MustParseAddr("10.1.0.9")}}
			},
		},
		"broken classless routes": {
			[]dhcpv4.Option{dhcpv4.OptRouter(net.IPv4(10, 1, 0, 2)), raw(dhcpv4.OptionClasslessStaticRoute, 33, 10)},
			func(l *lease4) {
				l.routes = []route4{{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParseAddr("10.1.0.2")}}
			},
		},
		"domains": {
			[]dhcpv4.Option{dhcpv4.OptDomainName("example.org. lab.example.org bad;name\x00")},
			func(l *lease4) { l.search = []string{"example.org", "lab.example.org"} },
		},
		"search list": { // the second name ends in a pointer to the first (RFC 3397)
			[]dhcpv4.Option{dhcpv4.OptDomainName("lan"), raw(dhcpv4.OptionDNSDomainSearchList, []byte("\x07example\x03org\x00\x03lab\xc0\x00")...)},
			func(l *lease4) { l.search = []string{"example.org", "lab.example.org"} },
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := parseLease4(answer4(question, dhcpv4.MessageTypeAck, test.options...))
			must(t, err)
			want := lease4{
				addr: netip.MustParsePrefix("10.1.0.7/24"), server: netip.MustParseAddr("10.1.0.1"),
				length: time.Hour, t1: 30 * time.Minute, t2: 52*time.Minute + 30*time.Second,
			}
			if test.change != nil {
				test.change(&want)
			}
			if diff := cmp.Diff(want, got, cmp.AllowUnexported(lease4{}, route4{}), cmp.Comparer(func(a, b netip.Addr) bool { return a == b }), cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" {
				t.Error(diff)
			}
		})
	}
}
