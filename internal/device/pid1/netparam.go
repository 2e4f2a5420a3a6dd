package pid1

import (
	"errors"

	"ashlar/internal/contract/machine"
	"ashlar/internal/device/ipparam"
)

// paramIP is the kernel parameter that configures the network, which Debian's
// kernels leave to us.
const paramIP = "ip"

// askNetwork puts what the kernel command line wants into the description.
func (s *stage2) askNetwork() error {
	network, name, err := askedNetwork(s.machine.Network, s.cmdline)
	s.machine.Network = network
	if name != "" {
		s.machine.Hostname = name
	}
	return err
}

// askedNetwork is the network as the kernel command line wants it: its
// interfaces stand in the place of those declared, its name servers before the
// declared ones. Words that mean nothing are told and left out. The name is ""
// unless the line gives the machine one.
func askedNetwork(declared machine.Network, line Cmdline) (asked machine.Network, name string, err error) {
	asked = declared
	var own []machine.Interface
	var dns []string
	for _, word := range line {
		if word.Key != paramIP {
			continue
		}
		p, parseErr := ipparam.Parse(word.Value)
		if parseErr != nil {
			err = errors.Join(err, parseErr)
			continue
		}
		if p.Hostname != "" {
			name = p.Hostname
		}
		for _, server := range p.DNS {
			dns = append(dns, server.String())
		}
		if p.How != ipparam.Off {
			own = append(own, interfaceOf(p))
		}
	}
	if len(own) > 0 {
		asked.Interfaces = own
	}
	asked.DNS = append(dns, declared.DNS...)
	return asked, name, err
}

// interfaceOf is what a parameter declares. Without a device it is for every
// Ethernet interface, of which machines that are started like this have one.
func interfaceOf(p ipparam.Param) machine.Interface {
	i := machine.Interface{Name: p.Device}
	if i.Name == "" {
		i.Name = "*"
	}
	if p.How == ipparam.DHCP {
		i.DHCP4, i.RA = true, true
		return i
	}
	i.Addresses = []string{p.Address.String()}
	if p.Gateway.IsValid() {
		i.Gateways = []string{p.Gateway.String()}
	}
	return i
}
