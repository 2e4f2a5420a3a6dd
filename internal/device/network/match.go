package network

import (
	"net"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/vishvananda/netlink"

	"ashlar/internal/contract/machine"
)

// choose gives the declaration for an interface: by MAC address rather than by
// name, by name rather than by pattern, else the first.
func choose(declared []machine.Interface, link netlink.Link) (best machine.Interface, found bool) {
	rank := func(d machine.Interface) int {
		switch {
		case d.MAC != "":
			return 2
		case d.Name == link.Attrs().Name:
			return 1
		}
		return 0
	}
	for _, d := range declared {
		if matches(d, link) && (!found || rank(d) > rank(best)) {
			best, found = d, true
		}
	}
	return best, found
}

// matches reports whether a declaration is for the interface. A pattern is for
// hardware that is no part of another interface: bridges and tunnels have to
// be named, and the function behind a virtual card (its lower half, on
// Hyper-V) is configured through that card. What is made on top of a card has
// its MAC address, too, and is not meant by it.
func matches(d machine.Interface, link netlink.Link) bool {
	attrs := link.Attrs()
	if attrs.Flags&net.FlagLoopback != 0 {
		return false
	}
	if d.MAC != "" {
		switch link.Type() {
		case "vlan", "macvlan", "macvtap", "ipvlan", "bridge", "bond":
			return false
		}
		return strings.EqualFold(d.MAC, attrs.HardwareAddr.String()) && attrs.MasterIndex == 0
	}
	if d.Name == attrs.Name {
		return true
	}
	ok, err := path.Match(d.Name, attrs.Name)
	if err != nil || !ok || attrs.MasterIndex != 0 {
		return false
	}
	_, err = os.Stat(filepath.Join("/sys/class/net", attrs.Name, "device"))
	return err == nil && attrs.EncapType == "ether"
}
