package pid1

import (
	"encoding/json"
	"testing"

	"ashlar/internal/contract/machine"
)

// TestAskedNetwork: what the command line says of the network stands in the
// place of what is declared.
func TestAskedNetwork(t *testing.T) {
	declared := machine.Network{DNS: []string{"192.0.2.53"}, Search: []string{"example.org"}, Interfaces: []machine.Interface{{Name: "en*", DHCP4: true}}}
	for line, want := range map[string]struct{ name, json string }{
		"quiet":   {"", `{"interfaces":[{"name":"en*","dhcp4":true,"ra":false,"dhcp6":false}],"dns":["192.0.2.53"],"search":["example.org"]}`},
		"ip=off":  {"", `{"interfaces":[{"name":"en*","dhcp4":true,"ra":false,"dhcp6":false}],"dns":["192.0.2.53"],"search":["example.org"]}`},
		"ip=dhcp": {"", `{"interfaces":[{"name":"*","dhcp4":true,"ra":true,"dhcp6":false}],"dns":["192.0.2.53"],"search":["example.org"]}`},
		"ip=172.16.0.2::172.16.0.1:255.255.255.252:guest:eth0:off:9.9.9.9:1.1.1.1": {"guest",
			`{"interfaces":[{"name":"eth0","dhcp4":false,"ra":false,"dhcp6":false,"addresses":["172.16.0.2/30"],"gateways":["172.16.0.1"]}],"dns":["9.9.9.9","1.1.1.1","192.0.2.53"],"search":["example.org"]}`},
		"ip=eth0:dhcp ip=[2001:db8::7]:::64::eth1:off": {"",
			`{"interfaces":[{"name":"eth0","dhcp4":true,"ra":true,"dhcp6":false},{"name":"eth1","dhcp4":false,"ra":false,"dhcp6":false,"addresses":["2001:db8::7/64"]}],"dns":["192.0.2.53"],"search":["example.org"]}`},
	} {
		got, name, err := askedNetwork(declared, ParseCmdline(line))
		if err != nil || name != want.name {
			t.Errorf("%s: name %q, %v", line, name, err)
		}
		if data, err := json.Marshal(got); err != nil || string(data) != want.json {
			t.Errorf("%s:\n got %s\nwant %s", line, data, want.json)
		}
	}
	got, _, err := askedNetwork(declared, ParseCmdline("ip=300.1.2.3::::::off"))
	if err == nil || len(got.Interfaces) != 1 || got.Interfaces[0].Name != "en*" {
		t.Errorf("a word that means nothing: %+v, %v", got, err)
	}
	if len(declared.DNS) != 1 || declared.Interfaces[0].Name != "en*" {
		t.Errorf("the declaration became %+v", declared)
	}
}
