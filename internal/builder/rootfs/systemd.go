package rootfs

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	"ashlar/internal/builder/definition"
	"ashlar/internal/contract/layout"
	"ashlar/internal/contract/machine"
	"ashlar/internal/foundation/tree"
)

const unitDir = "etc/systemd/system/"

// The units by which ashlar-init serves a machine whose PID 1 is systemd.
var deviceUnits = map[string]string{
	"ashlar-network.service": `[Unit]
Description=Network configuration
DefaultDependencies=no
After=systemd-udev-settle.service local-fs.target
Before=network.target network-online.target
Wants=network.target

[Service]
Type=notify
ExecStart=/` + layout.InitBinary + ` network
RuntimeDirectory=ashlar
RuntimeDirectoryPreserve=yes

[Install]
WantedBy=multi-user.target
`,
	"ashlar-agent.service": `[Unit]
Description=Control socket and agent

[Service]
ExecStart=/` + layout.InitBinary + ` agent
Restart=always

[Install]
WantedBy=multi-user.target
`,
}

// applySystemd makes units of the declared services and enables them.
func applySystemd(t *tree.Tree, def *definition.Definition, a *accounts) error {
	if t.Lookup("usr/lib/systemd/systemd") == nil {
		return errors.New(`init = "systemd": the image has no systemd: add the package systemd`)
	}
	for _, name := range slices.Sorted(maps.Keys(deviceUnits)) {
		if err := errors.Join(putFile(t, unitDir+name, 0o644, deviceUnits[name]), enableUnit(t, name)); err != nil {
			return err
		}
	}
	declared, err := declaredServices(def, a)
	if err != nil {
		return err
	}
	var list []machine.Service
	for _, name := range slices.Sorted(maps.Keys(declared)) {
		list = append(list, declared[name])
	}
	if err := checkServices(t, list, a); err != nil {
		return err
	}
	names := map[string]string{}
	for name, s := range def.Services {
		names[name] = name + ".service"
		if s.Unit != "" {
			names[name] = s.Unit
		}
	}
	for _, name := range slices.Sorted(maps.Keys(def.Services)) {
		unit := names[name]
		if def.Services[name].Unit != "" {
			if t.Lookup("usr/lib/systemd/system/"+unit) == nil && t.Lookup(unitDir+unit) == nil {
				return fmt.Errorf("services.%s: unit %s is in no package of the image", name, unit)
			}
		} else if err := putFile(t, unitDir+unit, 0o644, unitOf(declared[name], names)); err != nil {
			return err
		}
		if err := enableUnit(t, unit); err != nil {
			return err
		}
	}
	return errors.Join(
		// Both as new as /usr: nothing that packages bring is to be set up again at boot.
		putFile(t, "etc/.updated", 0o644, ""),
		putFile(t, "var/.updated", 0o644, ""),
		putLink(t, unitDir+"default.target", "/usr/lib/systemd/system/multi-user.target"),
		// The image is read-only and complete: nothing is to be set up at the first boot.
		putLink(t, unitDir+"systemd-firstboot.service", "/dev/null"),
		maskModulesLoad(t),
		// No console is open: logging in on one takes a declared password.
		closeConsoles(t, def),
	)
}

// declaredServices gives the services that are declared by what they execute.
// The machine's own list has none of them: systemd supervises, not ashlar-init.
func declaredServices(def *definition.Definition, a *accounts) (map[string]machine.Service, error) {
	supervised := *def
	supervised.Init, supervised.Services = "ashlar", map[string]definition.Service{}
	for name, s := range def.Services {
		if s.Unit == "" {
			supervised.Services[name] = s
		}
	}
	m, err := supervised.Machine(a.ids)
	if err != nil {
		return nil, err
	}
	services := map[string]machine.Service{}
	for _, s := range m.Services {
		services[s.Name] = s
	}
	return services, nil
}

func enableUnit(t *tree.Tree, unit string) error {
	target := "/usr/lib/systemd/system/" + unit
	if t.Get(unitDir+unit) != nil {
		target = "/" + unitDir + unit
	}
	return putLink(t, path.Join(unitDir, "multi-user.target.wants", unit), target)
}

// maskModulesLoad leaves loading to the first stage where the library is missing
// without which systemd-modules-load can only fail.
func maskModulesLoad(t *tree.Tree) error {
	for _, dir := range []string{"usr/lib", "usr/lib/x86_64-linux-gnu", "usr/lib/aarch64-linux-gnu"} {
		if t.Lookup(dir+"/libkmod.so.2") != nil {
			return nil
		}
	}
	return putLink(t, unitDir+"systemd-modules-load.service", "/dev/null")
}

func closeConsoles(t *tree.Tree, def *definition.Definition) error {
	for _, u := range def.Users {
		if u.Password != "" {
			return nil
		}
	}
	var err error
	for _, unit := range []string{"getty@.service", "serial-getty@.service", "console-getty.service", "getty-static.service"} {
		err = errors.Join(err, putLink(t, unitDir+unit, "/dev/null"))
	}
	return err
}

// unitOf writes a declared service as a systemd unit; names gives the unit of
// each service.
func unitOf(s machine.Service, unitNames map[string]string) string {
	var b strings.Builder
	line := func(key, value string) {
		if value != "" {
			fmt.Fprintf(&b, "%s=%s\n", key, value)
		}
	}
	units := func(names []string) string {
		var list []string
		for _, n := range names {
			if n == "network" {
				list = append(list, "network-online.target", "ashlar-network.service")
			} else {
				list = append(list, unitNames[n])
			}
		}
		return strings.Join(list, " ")
	}
	b.WriteString("[Unit]\n")
	line("Description", s.Name)
	line("After", units(s.After))
	line("Requires", units(s.Requires))
	line("StartLimitIntervalSec", "0") // it is started again for ever
	b.WriteString("\n[Service]\n")
	line("Type", s.Type)
	if s.Type == machine.TypeOneshot {
		line("RemainAfterExit", "yes")
	}
	for _, d := range s.Directories {
		line("ExecStartPre", "+"+quoteExec([]string{"/usr/bin/install", "-d", "-m", strconv.FormatUint(uint64(d.Mode), 8),
			"-o", fmt.Sprint(d.UID), "-g", fmt.Sprint(d.GID), d.Path}))
	}
	for _, c := range s.ExecPre {
		line("ExecStartPre", quoteExec(c))
	}
	line("ExecStart", quoteExec(s.Exec))
	line("ExecReload", quoteExec(s.ExecReload))
	line("User", s.User)
	line("Group", s.Group)
	line("WorkingDirectory", s.WorkDir)
	for _, e := range s.Environment {
		line("Environment", quoteUnit(e.Name+"="+e.Value))
	}
	if s.Restart == machine.RestartNever {
		line("Restart", "no")
	} else {
		line("Restart", s.Restart)
		line("RestartSec", "1")
	}
	line("TimeoutStartSec", fmt.Sprint(s.StartLimit))
	line("TimeoutStopSec", fmt.Sprint(s.StopLimit))
	line("KillSignal", s.StopSignal)
	b.WriteString("\n[Install]\nWantedBy=multi-user.target\n")
	return b.String()
}

// quoteExec writes arguments so that systemd.service(5) reads them back as
// they are: no specifier, variable or escape is left to act.
func quoteExec(args []string) string {
	var list []string
	for _, a := range args {
		list = append(list, strings.ReplaceAll(quoteUnit(a), "$", "$$"))
	}
	return strings.Join(list, " ")
}

// quoteUnit writes one word of a unit file: specifiers and escapes are
// disarmed; "$" means something only in Exec lines.
func quoteUnit(word string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, `%`, `%%`, "\n", `\n`, "\t", `\t`).Replace(word) + `"`
}
