package pid1

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"ashlar/internal/contract/layout"
	"ashlar/internal/contract/machine"
	"ashlar/internal/device/mount"
	"ashlar/internal/device/state"
)

// place is a path that programs need, and what is done where the runtime has
// put nothing there.
type place struct {
	mount.Point
	mode uint32 // of a directory that has to do where nothing can be mounted
	must bool   // without it, nothing starts
	dir  bool   // a writable directory does as well
}

// places lists them in order. What a runtime has mounted stays as it is.
func places() []place {
	const noexec = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
	const volatile = unix.MS_NOSUID | unix.MS_NODEV
	tmpfs := func(path, data string) mount.Point {
		return mount.Point{Source: "tmpfs", Target: path, Type: "tmpfs", Flags: volatile, Data: data}
	}
	return []place{
		{Point: mount.Point{Source: "proc", Target: "/proc", Type: "proc", Flags: noexec}},
		{Point: mount.Point{Source: "sysfs", Target: "/sys", Type: "sysfs", Flags: noexec | unix.MS_RDONLY}},
		{Point: tmpfs("/run", "mode=0755,size=20%"), mode: 0o755, must: true, dir: true},
		{Point: tmpfs("/dev/shm", "mode=1777"), mode: 0o1777, dir: true},
		{Point: tmpfs("/tmp", "mode=1777,size=50%"), mode: 0o1777, dir: true},
	}
}

// makePlaces makes what services expect of a machine, as far as a container may.
func (c *container) makePlaces() error {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		mounts = nil // no /proc yet: then nothing is mounted that could be hidden
	}
	for _, p := range places() {
		if err := c.makePlace(p, string(mounts)); err != nil {
			return fmt.Errorf("make %s: %w", p.Target, err)
		}
	}
	for _, node := range []string{"/dev/null", "/dev/zero", "/dev/urandom"} {
		if _, err := os.Stat(node); err != nil {
			c.lacks("no %s: %v", node, err)
		}
	}
	if err := linkDescriptors(); err != nil {
		c.lacks("%v", err)
	}
	for _, dir := range []string{"/run/lock", "/run/user"} {
		c.problem(os.MkdirAll(dir, 0o755))
	}
	c.problem(unix.Chmod("/run/lock", 0o1777))
	return os.MkdirAll(layout.RunDir, 0o755)
}

func (c *container) makePlace(p place, mounts string) error {
	if mount.IsPoint(p.Target) || holdsMounts(mounts, p.Target) {
		return nil
	}
	err := mount.One(p.Point)
	if err == nil || p.dir && writable(p.Target) {
		if err != nil {
			err = unix.Chmod(p.Target, p.mode)
		}
		return err
	}
	if p.must {
		return errors.Join(errNoPlace, err)
	}
	c.lacks("no %s: %v", p.Target, err)
	return nil
}

// holdsMounts reports whether something is mounted below the directory, which a
// mount there would hide. Format: proc_pid_mountinfo(5).
func holdsMounts(mountinfo, dir string) bool {
	for _, line := range strings.Split(mountinfo, "\n") {
		if f := strings.Fields(line); len(f) > 4 && strings.HasPrefix(f[4], dir+"/") {
			return true
		}
	}
	return false
}

// writable reports whether the directory is there, or can be made, and takes files.
func writable(dir string) bool {
	return os.MkdirAll(dir, 0o755) == nil && unix.Access(dir, unix.W_OK) == nil
}

// keepIdentity gives the container its machine-id unless it has one.
func (c *container) keepIdentity() {
	if text, err := os.ReadFile("/etc/machine-id"); err == nil && len(strings.TrimSpace(string(text))) > 0 {
		return
	}
	id := strings.ReplaceAll(os.Getenv("container_uuid"), "-", "")
	if id == "" {
		var err error
		if id, err = state.MachineID(layout.StateMount); err != nil {
			c.problem(err)
		}
	}
	if id == "" {
		return
	}
	err := state.WriteMachineID("/", id)
	if err == nil {
		return
	}
	const file = layout.RunDir + "/machine-id"
	if other := errors.Join(os.WriteFile(file, []byte(id+"\n"), 0o444), mount.Bind(file, "/etc/machine-id")); other != nil {
		c.lacks("no machine-id: %v", err)
	}
}

// logDir gives the place of the services' logs: what the runtime shows of them
// goes to its own.
func (c *container) logDir() string {
	if writable(layout.LogDir) {
		return layout.LogDir
	}
	const volatile = layout.RunDir + "/log"
	c.lacks("logs are in %s: %s is read-only", volatile, layout.LogDir)
	return volatile
}

// keepState says what of the declared state is kept. A volume may be mounted at
// each path, or one for all at layout.StateMount; with neither the state is in the
// container's root, or in memory where that is read-only.
func (c *container) keepState() {
	var open []machine.State
	for _, s := range c.machine.State {
		if mount.IsPoint(s.Path) {
			c.problem(state.Own("/", s))
		} else {
			open = append(open, s)
		}
	}
	kept := mount.IsPoint(layout.StateMount)
	if kept || len(open) == 0 && len(c.machine.State) > 0 {
		c.hand.State = stateKept
	}
	var names []string
	for _, s := range open {
		if kept || state.Place("/", s) != nil {
			if err := state.Bind(layout.StateMount, "/", []machine.State{s}, mount.Bind); err != nil {
				c.problem(fmt.Errorf("%w: mount a volume at this path", err))
			}
		}
		names = append(names, s.Path)
	}
	if !kept && len(names) > 0 {
		c.lacks("state is lost with the container, no volume is mounted at %s", strings.Join(names, ", "))
	}
}

// networkVariable says who configures the network: "configure" for this
// program, "leave" for the runtime; by default who finds an interface without addresses.
const networkVariable = "ASHLAR_NETWORK"

// bringUp configures the network where nobody has, and says that it is there.
func (c *container) bringUp(ctx context.Context, reached chan<- struct{}) {
	configure := false
	switch os.Getenv(networkVariable) {
	case "configure":
		configure = true
	case "leave":
	default:
		found, err := interfaces()
		c.problem(err)
		configure = unconfigured(found)
	}
	if !configure {
		close(reached)
		return
	}
	go c.bringNetworkUp(ctx, reached)
}

// link is what the choice looks at.
type link struct {
	loopback bool
	ethernet bool // has an address of six bytes: tunnels that a kernel makes have not
	global   bool // has an address besides those of the link
}

func interfaces() ([]link, error) {
	list, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("list interfaces: %w", err)
	}
	var out []link
	for _, i := range list {
		l := link{loopback: i.Flags&net.FlagLoopback != 0, ethernet: len(i.HardwareAddr) == 6}
		addresses, err := i.Addrs()
		if err != nil {
			return nil, fmt.Errorf("list addresses of %s: %w", i.Name, err)
		}
		l.global = slices.ContainsFunc(addresses, func(a net.Addr) bool {
			n, ok := a.(*net.IPNet)
			return ok && n.IP.IsGlobalUnicast()
		})
		out = append(out, l)
	}
	return out, nil
}

// unconfigured reports whether there is an interface and none has an address.
func unconfigured(links []link) bool {
	found := false
	for _, l := range links {
		if l.loopback {
			continue
		}
		if l.global {
			return false
		}
		found = found || l.ethernet
	}
	return found
}
