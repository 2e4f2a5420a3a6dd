package ipparam

import (
	"fmt"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	for text, want := range map[string]string{
		"dhcp":             "dhcp",
		"on":               "dhcp",
		"any":              "dhcp",
		"":                 "dhcp",
		"off":              "off",
		"none":             "off",
		"eth0:dhcp":        "dhcp dev eth0",
		":::::eth1:dhcp":   "dhcp dev eth1",
		"::::box::dhcp":    "dhcp host box",
		"::::box:eth0:off": "off host box dev eth0",
		"10.0.2.15::10.0.2.2:255.255.255.0:box:eth0:off": "static 10.0.2.15/24 gw 10.0.2.2 host box dev eth0",
		"10.0.2.15::10.0.2.2:24::eth0":                   "static 10.0.2.15/24 gw 10.0.2.2 dev eth0",
		"10.0.2.15":                                      "static 10.0.2.15/8",
		"172.16.0.1":                                     "static 172.16.0.1/16",
		"192.0.2.1":                                      "static 192.0.2.1/24",
		"192.0.2.7:192.0.2.1:192.0.2.2:::::192.0.2.3:192.0.2.4:1.1.1.1": "static 192.0.2.7/24 gw 192.0.2.2 from 192.0.2.1 dns [192.0.2.3 192.0.2.4]",
		"192.0.2.7:::0.0.0.0": "static 192.0.2.7/0",
		"[2001:db8::7]::[2001:db8::1]:64::eth0:off:[2001:db8::53]": "static 2001:db8::7/64 gw 2001:db8::1 dev eth0 dns [2001:db8::53]",
		"[2001:db8::7]":         "static 2001:db8::7/64",
		"192.0.2.7::::::static": "static 192.0.2.7/24",
	} {
		p, err := Parse(text)
		if got := show(p); err != nil || got != want {
			t.Errorf("%s: %s, %v; want %s", text, got, err, want)
		}
	}
	for text, want := range map[string]string{
		"10.0.2":                        "no address",
		"10.0.2.15::10.0.2.256":         "gateway",
		"10.0.2.15:::255.0.255.0":       "has a hole",
		"10.0.2.15:::33":                "32 bits",
		"10.0.2.15:::-1":                "32 bits",
		"10.0.2.15:::ffff":              "netmask",
		"[2001:db8::7]:::255.255.0.0":   "netmask",
		"[2001:db8::7":                  "bracket",
		"[fe80::1%eth0]":                "no address",
		"::::::bootp":                   "no way to configure",
		"::::::static":                  "without an address",
		":::::::x":                      "name server",
		"1:2:3:4:5:6:7:8:9:10:11":       "11 fields",
		strings.Repeat("x", maxParam+1): "longer than",
	} {
		if _, err := Parse(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.50s: got %v, want an error with %q", text, err, want)
		}
	}
}

func show(p Param) string {
	text := p.How
	if p.Address.IsValid() {
		text += " " + p.Address.String()
	}
	if p.Gateway.IsValid() {
		text += " gw " + p.Gateway.String()
	}
	if p.Server.IsValid() {
		text += " from " + p.Server.String()
	}
	for _, row := range [][2]string{{"host", p.Hostname}, {"dev", p.Device}} {
		if row[1] != "" {
			text += " " + row[0] + " " + row[1]
		}
	}
	if p.DNS != nil {
		text += fmt.Sprint(" dns ", p.DNS)
	}
	return text
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{"dhcp", "10.0.2.15::10.0.2.2:255.255.255.0:box:eth0:off", "[2001:db8::7]:::64", "[[:]"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := Parse(text)
		if err == nil && (p.How == "" || p.How == Static != p.Address.IsValid()) {
			t.Errorf("%q: %+v", text, p)
		}
	})
}
