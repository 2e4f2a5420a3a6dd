package definition

import (
	"fmt"
	"sort"
	"strings"

	"ashlar/internal/contract/machine"
)

// IDs gives the numbers of an owner and a group of the image, each by name or
// number. An empty group means the owner's primary group.
type IDs func(user, group string) (uid, gid uint32, err error)

// Machine gives what the machine has to know at run time. The services are those
// that ashlar-init supervises: none when init is another program.
func (d *Definition) Machine(ids IDs) (machine.Machine, error) {
	m := machine.Machine{
		Version:  machine.Version,
		Name:     d.Name,
		Hostname: d.Hostname,
		Network:  d.network(),
		Sysctl:   settings(d.Sysctl),
	}
	for _, s := range d.State {
		state, err := resolveState(ids, s.Path, s.Kind, s.Owner, s.Group, s.Mode)
		if err != nil {
			return m, err
		}
		m.State = append(m.State, state)
	}
	if d.Init != "ashlar" {
		return m, nil
	}
	for _, name := range sortedKeys(d.Services) {
		s, err := d.Services[name].machine(name, ids)
		if err != nil {
			return m, fmt.Errorf("service %s: %w", name, err)
		}
		m.Services = append(m.Services, s)
	}
	return m, nil
}

func resolveState(ids IDs, path, kind, owner, group, mode string) (machine.State, error) {
	bits, err := ParseMode(mode)
	if err != nil {
		return machine.State{}, fmt.Errorf("declare %s: %w", path, err)
	}
	uid, gid, err := ids(owner, group)
	if err != nil {
		return machine.State{}, fmt.Errorf("declare %s: %w", path, err)
	}
	return machine.State{Path: path, Kind: kind, Mode: bits, UID: uid, GID: gid}, nil
}

func (s Service) machine(name string, ids IDs) (machine.Service, error) {
	m := machine.Service{
		Name: name, Type: s.Type, Exec: s.Exec, ExecReload: s.ExecReload,
		User: s.User, Group: s.Group, WorkDir: s.WorkDir, Environment: settings(s.Environment),
		After: set(append(list(s.After), s.Requires...)), Requires: set(s.Requires),
		Restart: s.Restart, StopSignal: s.StopSignal,
	}
	for _, command := range s.ExecPre {
		m.ExecPre = append(m.ExecPre, machine.Command(command))
	}
	start, err := ParseDuration(s.StartTimeout)
	if err != nil {
		return m, fmt.Errorf("start_timeout: %w", err)
	}
	stop, err := ParseDuration(s.StopTimeout)
	if err != nil {
		return m, fmt.Errorf("stop_timeout: %w", err)
	}
	m.StartLimit, m.StopLimit = int(start.Seconds()), int(stop.Seconds())
	if m.LogBytes, err = ParseSize(s.LogSize); err != nil {
		return m, fmt.Errorf("log_size: %w", err)
	}
	for _, dir := range s.Directories {
		owner, group := dir.Owner, dir.Group
		if owner == "" {
			owner = s.User
		}
		if group == "" {
			group = s.Group
		}
		state, err := resolveState(ids, dir.Path, "dir", owner, group, dir.Mode)
		if err != nil {
			return m, err
		}
		m.Directories = append(m.Directories, state)
	}
	return m, nil
}

func (d *Definition) network() machine.Network {
	n := machine.Network{DNS: d.Network.DNS, Search: d.Network.Search}
	for _, i := range d.Network.Interfaces {
		var routes []machine.Route
		for _, r := range i.Routes {
			routes = append(routes, machine.Route{To: r.To, Via: r.Via})
		}
		n.Interfaces = append(n.Interfaces, machine.Interface{
			Name: i.Name, MAC: strings.ToLower(i.MAC), DHCP4: i.DHCP4, RA: i.RA, DHCP6: i.DHCP6,
			Addresses: i.Addresses, Gateways: i.Gateways, Routes: routes, MTU: i.MTU,
		})
	}
	return n
}

// settings turns a table into a list sorted by name.
func settings(table map[string]string) []machine.Setting {
	var sorted []machine.Setting
	for name, value := range table {
		sorted = append(sorted, machine.Setting{Name: name, Value: value})
	}
	sort.Slice(sorted, func(i, j int) bool { return sorted[i].Name < sorted[j].Name })
	return sorted
}
