package network

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv6"
	"github.com/insomniacslk/dhcp/iana"
)

func TestAcquire6(t *testing.T) {
	tests := map[string]struct {
		preferences []byte // of servers 1, 2 …
		want        string
		atOnce      bool
	}{
		"first of equals": {[]byte{0, 0}, "2001:db8::1", false},
		"best":            {[]byte{1, 9, 3}, "2001:db8::2", false},
		"sure":            {[]byte{0, 255, 3}, "2001:db8::2", true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var asked time.Time
			simulate6(t, (*client6).run, func(n *net6) {
				n.serving(func(m *dhcpv6.Message) (list []*dhcpv6.Message) {
					if m.MessageType == dhcpv6.MessageTypeSolicit {
						asked = time.Now()
						for i, p := range test.preferences {
							list = append(list, parsed(t, answer6(m, dhcpv6.MessageTypeAdvertise, byte(i+1), time.Hour, preference(p))))
						}
						return list
					}
					if late := time.Since(asked); test.atOnce != (late == 0) || late > solTimeout*11/10 {
						t.Errorf("the request comes %s after the solicitation", late)
					}
					mac := m.Options.ServerID().(*dhcpv6.DUIDLL).LinkLayerAddr
					return []*dhcpv6.Message{answer6(m, dhcpv6.MessageTypeReply, mac[5], time.Hour)}
				})
				time.Sleep(5 * time.Second)
				same(t, n.take(), "SOLICIT", "REQUEST", "apply "+test.want)
				if late := asked.Sub(n.begin); late > maxDelay6 {
					t.Errorf("the solicitation comes after %s", late)
				}
			})
		})
	}
}

func TestPauses6(t *testing.T) {
	simulate6(t, (*client6).run, func(n *net6) {
		var sent []time.Time
		n.serving(func(m *dhcpv6.Message) []*dhcpv6.Message {
			sent = append(sent, time.Now())
			if len(sent) == 5 { // nothing to give, but a bound of two minutes (18.2.9)
				status := &dhcpv6.OptStatusCode{StatusCode: iana.StatusNoAddrsAvail, StatusMessage: "all gone"}
				bound := &dhcpv6.OptionGeneric{OptionCode: optionSolMaxRT, OptionData: []byte{0, 0, 0, 120}}
				return []*dhcpv6.Message{parsed(t, answer6(m, dhcpv6.MessageTypeAdvertise, 1, 0, status, bound))}
			}
			return nil
		})
		time.Sleep(4 * time.Hour)
		synctest.Wait()
		last := time.Duration(0)
		for i := range len(sent) - 1 {
			got := sent[i+1].Sub(sent[i])
			low, high := 2*last-last/10, 2*last+last/10
			if i == 0 {
				low, high = solTimeout, solTimeout*11/10+1
			}
			if high > solMaxRT {
				low, high = solMaxRT*9/10, solMaxRT*11/10
			}
			if got < low-1 || got > high+1 {
				t.Errorf("pause %d is %s, want %s to %s", i, got, low, high)
			}
			last = got
		}
		if len(sent) < 12 || n.client.maxRT != 2*time.Minute {
			t.Errorf("%d messages, bound now %s, want two minutes", len(sent), n.client.maxRT)
		}
		same(t, n.reports, "no server answers")
	})
}

func TestTimes6(t *testing.T) {
	simulate6(t, (*client6).run, func(n *net6) {
		n.serving(serve6(1, time.Hour))
		time.Sleep(5 * time.Second)
		same(t, n.take(), "SOLICIT", "REQUEST", "apply 2001:db8::1")
		time.Sleep(30 * time.Minute) // T1 is half an hour
		same(t, n.take(), "RENEW", "apply 2001:db8::1")
		// Silence from now on: renewing at 60, rebinding at 78, the end at 90 minutes.
		n.serving(nil)
		time.Sleep(29 * time.Minute)
		same(t, n.take())
		time.Sleep(17 * time.Minute)
		renewals := n.take()
		if len(renewals) < 5 || len(renewals) > 9 || len(slices.Compact(renewals)) != 1 || renewals[0] != "RENEW" {
			t.Errorf("got %v, want renewals with pauses of 10, 20, 40 … seconds", renewals)
		}
		time.Sleep(2 * time.Minute)
		if log := slices.Compact(n.take()); log[len(log)-1] != "REBIND" {
			t.Errorf("got %v, want that it rebinds", log)
		}
		time.Sleep(13 * time.Minute)
		if log := n.take(); !slices.Contains(log, "drop 2001:db8::1") || log[len(log)-1] != "SOLICIT" {
			t.Errorf("got %v, want that the address goes and it begins anew", log)
		}
		// Another server comes.
		n.serving(serve6(2, time.Hour))
		time.Sleep(time.Hour)
		if log := n.take(); !slices.Contains(log, "apply 2001:db8::2") {
			t.Errorf("got %v, want the other server's address", log)
		}
	})
}

func TestForgotten6(t *testing.T) {
	simulate6(t, (*client6).run, func(n *net6) {
		n.serving(serve6(1, time.Hour))
		time.Sleep(5 * time.Second)
		n.take()
		n.serving(func(m *dhcpv6.Message) []*dhcpv6.Message {
			if m.MessageType == dhcpv6.MessageTypeRenew {
				ia := &dhcpv6.OptIANA{IaId: m.Options.OneIANA().IaId}
				ia.Options.Add(&dhcpv6.OptStatusCode{StatusCode: iana.StatusNoBinding})
				return []*dhcpv6.Message{answer6(m, dhcpv6.MessageTypeReply, 1, 0, ia)}
			}
			return serve6(1, time.Hour)(m)
		})
		time.Sleep(30 * time.Minute)
		same(t, n.take(), "RENEW", "REQUEST", "apply 2001:db8::1")
	})
}

// TestPart6 has a server that renews one of two addresses.
func TestPart6(t *testing.T) {
	simulate6(t, (*client6).run, func(n *net6) {
		n.serving(func(m *dhcpv6.Message) []*dhcpv6.Message {
			list := serve6(1, time.Hour)(m)
			if m.MessageType == dhcpv6.MessageTypeRequest {
				second := net.ParseIP("2001:db8::99")
				list[0].Options.OneIANA().Options.Add(&dhcpv6.OptIAAddress{IPv6Addr: second, PreferredLifetime: time.Hour, ValidLifetime: 2 * time.Hour})
			}
			return list
		})
		time.Sleep(5 * time.Second)
		same(t, n.take(), "SOLICIT", "REQUEST", "apply 2001:db8::1", "apply 2001:db8::99")
		time.Sleep(30 * time.Minute)
		same(t, n.take(), "RENEW", "apply 2001:db8::1", "apply 2001:db8::99")
	})
}

func TestDuplicate6(t *testing.T) {
	simulate6(t, (*client6).run, func(n *net6) {
		n.taken.Store(true)
		n.serving(serve6(1, time.Hour))
		time.Sleep(4 * time.Second)
		same(t, n.take(), "SOLICIT", "REQUEST", "apply 2001:db8::1", "DECLINE", "drop 2001:db8::1")
		n.taken.Store(false)
		n.serving(serve6(2, time.Hour))
		time.Sleep(10 * time.Second)
		same(t, n.take(), "SOLICIT", "REQUEST", "apply 2001:db8::2")
	})
}

func TestCable6(t *testing.T) {
	simulate6(t, (*client6).run, func(n *net6) {
		n.serving(serve6(1, time.Hour))
		time.Sleep(5 * time.Second)
		n.take()
		replug := func() {
			n.cable.set(false)
			synctest.Wait()
			n.cable.set(true)
		}
		replug()
		time.Sleep(2 * time.Second)
		same(t, n.take(), "CONFIRM")
		n.serving(nil)
		replug()
		time.Sleep(20 * time.Second)
		if log := slices.Compact(n.take()); len(log) != 1 || log[0] != "CONFIRM" {
			t.Errorf("got %v, want that the address stays on silence", log)
		}
		n.serving(func(m *dhcpv6.Message) []*dhcpv6.Message {
			if m.MessageType == dhcpv6.MessageTypeConfirm {
				return []*dhcpv6.Message{answer6(m, dhcpv6.MessageTypeReply, 1, 0, &dhcpv6.OptStatusCode{StatusCode: iana.StatusNotOnLink})}
			}
			return serve6(2, time.Hour)(m)
		})
		replug()
		time.Sleep(12 * time.Second)
		same(t, n.take(), "CONFIRM", "drop 2001:db8::1", "SOLICIT", "REQUEST", "apply 2001:db8::2")
	})
}

func TestForeign6(t *testing.T) {
	other := &dhcpv6.DUIDLL{HWType: iana.HWTypeEthernet, LinkLayerAddr: net.HardwareAddr{2, 0, 0, 0, 0, 9}}
	wrong := map[string]func(*dhcpv6.Message){
		"transaction": func(m *dhcpv6.Message) { m.TransactionID[0]++ },
		"client":      func(m *dhcpv6.Message) { m.UpdateOption(dhcpv6.OptClientID(other)) },
		"no server":   func(m *dhcpv6.Message) { m.Options.Del(dhcpv6.OptionServerID) },
		"kind":        func(m *dhcpv6.Message) { m.MessageType = dhcpv6.MessageTypeReconfigure },
		"association": func(m *dhcpv6.Message) { m.Options.OneIANA().IaId[0]++ },
		"loopback":    func(m *dhcpv6.Message) { m.Options.OneIANA().Options.OneAddress().IPv6Addr = net.IPv6loopback },
		"lifetimes":   func(m *dhcpv6.Message) { m.Options.OneIANA().Options.OneAddress().PreferredLifetime = 2 * time.Hour },
		"times": func(m *dhcpv6.Message) {
			m.Options.OneIANA().T1, m.Options.OneIANA().T2 = time.Hour, time.Minute
		},
	}
	for name, spoil := range wrong {
		t.Run(name, func(t *testing.T) {
			simulate6(t, (*client6).run, func(n *net6) {
				n.serving(func(m *dhcpv6.Message) []*dhcpv6.Message {
					answers := serve6(1, time.Hour)(m)
					if m.MessageType == dhcpv6.MessageTypeSolicit {
						bad := answer6(m, dhcpv6.MessageTypeAdvertise, 66, time.Hour, preference(255))
						spoil(bad)
						answers = append([]*dhcpv6.Message{parsed(t, bad)}, answers...)
					} else if mac := m.Options.ServerID().(*dhcpv6.DUIDLL).LinkLayerAddr; mac[5] != 1 {
						t.Errorf("it asks server %d", mac[5])
					}
					return answers
				})
				time.Sleep(5 * time.Second)
				same(t, n.take(), "SOLICIT", "REQUEST", "apply 2001:db8::1")
			})
		})
	}
}

func TestInformation6(t *testing.T) {
	var got lease6
	ask := func(c *client6, ctx context.Context) { got, _ = c.information(ctx) }
	simulate6(t, ask, func(n *net6) {
		n.serving(func(m *dhcpv6.Message) []*dhcpv6.Message {
			if m.Options.OneIANA() != nil {
				t.Error("it asks for addresses")
			}
			return []*dhcpv6.Message{parsed(t, answer6(m, dhcpv6.MessageTypeReply, 1, 0,
				dhcpv6.OptDNS(net.ParseIP("2001:db8::53"), net.ParseIP("fe80::53")), dhcpv6.OptInformationRefreshTime(time.Minute)))}
		})
		time.Sleep(2 * time.Second)
		same(t, n.take(), "INFORMATION-REQUEST")
	})
	if want := []string{"2001:db8::53", "fe80::53%lan0"}; !slices.Equal(serverTexts(got.servers, "lan0"), want) || got.refresh != leastRefresh {
		t.Errorf("got %v for %s, want %v for %s", got.servers, got.refresh, want, leastRefresh)
	}
}

func TestRest6(t *testing.T) {
	begin := time.Unix(1000, 0)
	a, b := netip.MustParseAddr("2001:db8::a"), netip.MustParseAddr("2001:db8::b")
	old := lease6{begin: begin, addrs: []addr6{{a, time.Hour, time.Hour}, {b, time.Minute, time.Hour}}}
	fresh := lease6{begin: begin.Add(30 * time.Minute), addrs: []addr6{{a, 2 * time.Hour, 2 * time.Hour}}}
	got := old.and(fresh)
	want := []addr6{{a, 2 * time.Hour, 2 * time.Hour}, {b, 0, 30 * time.Minute}}
	if !slices.Equal(got.addrs, want) || !got.end().Equal(begin.Add(150*time.Minute)) {
		t.Errorf("got %v until %s, want %v", got.addrs, got.end(), want)
	}
	fresh.begin = begin.Add(time.Hour)
	if got := old.and(fresh); len(got.addrs) != 1 {
		t.Errorf("got %v, want the fresh address only", got.addrs)
	}
}
