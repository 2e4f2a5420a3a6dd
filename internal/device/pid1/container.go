package pid1

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"ashlar/internal/contract/control"
	"ashlar/internal/contract/layout"
	"ashlar/internal/contract/machine"
	"ashlar/internal/device/agent"
	"ashlar/internal/device/console"
	"ashlar/internal/device/power"
	"ashlar/internal/device/supervise"
)

// ContainerCommand is the argument that makes PID 1 run the services of the
// image inside a container.
const ContainerCommand = layout.ContainerCommand

// Exit codes of a container.
const (
	exitDone   = 0 // asked to end, or every service is done
	exitFailed = 1 // could not start, or nothing runs any more and a service failed
)

// managers are the values of $container whose makers start a container again
// when it asks the kernel for a restart, and end it with SIGINT for that.
var managers = []string{"lxc", "lxc-libvirt", "systemd-nspawn"}

// container is PID 1 of a container: stage2 without what belongs to a machine.
type container struct {
	stage2
	maker string // what started us says of itself in $container, or ""
	code  int
}

// InContainer reports whether this process was started in a container: by the
// argument, or by the variable that container managers set for an init.
func InContainer(args []string, getenv func(string) string) bool {
	return len(args) > 0 && args[0] == ContainerCommand || getenv("container") != ""
}

// Container runs the image's services in a container, and ends with its exit code.
func Container() {
	stayLittle()
	c := &container{stage2: stage2{con: containerConsole(), begin: console.Uptime(),
		down: make(chan power.Action, 1), network: make(chan networkUp, 1)}, maker: os.Getenv("container")}
	ctx, cancel := context.WithCancel(context.Background())
	c.cancel = cancel
	if err := c.start(ctx); err != nil {
		c.con.Say("start failed: %v", err)
		c.con.Close(time.Second)
		os.Exit(exitFailed)
	}
	c.end(c.await())
}

// containerConsole is where the runtime reads: standard output, or the console
// device where that is thrown away.
func containerConsole() *console.Console {
	out := os.Stdout
	var st unix.Stat_t
	const null = 1<<8 | 3
	if err := unix.Fstat(1, &st); err != nil || st.Mode&unix.S_IFMT == unix.S_IFCHR && st.Rdev == null {
		if f, err := os.OpenFile("/dev/console", os.O_WRONLY|unix.O_NOCTTY, 0); err == nil {
			out = f
		}
	}
	return console.New([]*os.File{out})
}

func (c *container) start(ctx context.Context) error {
	if os.Getpid() != 1 {
		return fmt.Errorf("this is process %d: an init must be process 1 (no --init, no --pid=host)", os.Getpid())
	}
	c.reaper = supervise.NewReaper()
	if err := c.makePlaces(); err != nil {
		return err
	}
	var err error
	if c.machine, err = ReadMachine("/"); err != nil {
		return fmt.Errorf("read the image's machine description: %w", err)
	}
	c.hand = Handover{Boot: machine.Boot{Version: machine.Version, Name: c.machine.Name, RootMode: ContainerCommand}, State: stateVolatile}
	c.keepIdentity()
	c.keepState()
	c.leaveSettings()
	c.catchSignals()
	network := make(chan struct{})
	if err := c.prepareServices(network, serviceGround{env: serviceEnvironment(baseEnvironment(), os.Environ()), cgroup: containerGroup(), logDir: c.logDir()}); err != nil {
		return err
	}
	if err := c.hand.write(); err != nil {
		return err
	}
	c.problem(agent.ListenSocket(ctx, layout.ControlSocket, c))
	c.bringUp(ctx, network)
	c.sup.Start()
	go c.reportReady(ctx)
	go c.watchEnd(ctx)
	return nil
}

// lacks says what a container does not have; it is no fault.
func (c *container) lacks(format string, args ...any) {
	c.con.Say("container: "+format, args...)
}

// leaveSettings names what is declared and belongs to the kernel, which is the host's.
func (c *container) leaveSettings() {
	var names []string
	for _, set := range c.machine.Sysctl {
		names = append(names, set.Name)
	}
	if len(names) > 0 {
		c.lacks("kernel parameters are the host's, left out: %s", strings.Join(names, ", "))
	}
	if c.machine.Hostname != "" {
		if name, err := os.Hostname(); err == nil && name != c.machine.Hostname {
			c.lacks("the host name is %s, set from outside, not %s", name, c.machine.Hostname)
		}
	}
}

// Signals of real time, counted from the first that the C library leaves
// (34): container managers send them to an init, as systemd(1) says.
const (
	signalHalt     = syscall.Signal(34 + 3)
	signalPowerOff = syscall.Signal(34 + 4)
	signalReboot   = syscall.Signal(34 + 5)
)

// catchSignals takes the signals that ask for an end.
func (c *container) catchSignals() {
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, unix.SIGTERM, unix.SIGINT, unix.SIGPWR, signalHalt, signalPowerOff, signalReboot)
	signal.Ignore(unix.SIGHUP, unix.SIGPIPE)
	go func() {
		for sig := range signals {
			c.ask(c.meaning(sig), "signal "+sig.String())
		}
	}()
}

// meaning of a signal: what starts us again takes SIGINT for that, others for an end.
func (c *container) meaning(sig os.Signal) power.Action {
	if sig == signalReboot || sig == unix.SIGINT && slices.Contains(managers, c.maker) {
		return power.Reboot
	}
	return power.Off
}

// watchEnd ends the container when nothing runs in it and nothing will: all
// services are done, or failed for good. One that somebody stopped may be
// started again, and an image without services waits for its user.
func (c *container) watchEnd(ctx context.Context) {
	if len(c.sup.List()) == 0 || c.sup.Idle(ctx) != nil {
		return
	}
	for _, sv := range c.sup.List() {
		if sv.State != control.StateDone {
			c.con.Say("%s is %s %s", sv.Name, sv.State, sv.Exit)
			c.code = exitFailed
		}
	}
	c.ask(power.Off, "the last service, which has ended")
}

// end stops everything, in order. Each step is bounded.
func (c *container) end(a power.Action) {
	c.sup.Shutdown()
	c.cancel()
	select {
	case up := <-c.network:
		c.problem(closeNetwork(up))
	default:
	}
	power.KillAll(2 * time.Second)
	c.con.Mark("container ends, %s", a)
	c.con.Close(2 * time.Second)
	if a == power.Reboot && slices.Contains(managers, c.maker) {
		// Of a process namespace: its first process ends, and the parent sees why.
		_ = power.Down(a)
	}
	os.Exit(c.code)
}

// serviceEnvironment gives services what the image says, over it what the
// runtime was told to set. What is for PID 1 stays with it.
func serviceEnvironment(image, own []string) []string {
	private := []string{"container", "container_uuid", "HOME", "TERM", "PWD", "OLDPWD", "SHLVL", "_", "NOTIFY_SOCKET", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", networkVariable}
	env := slices.Clone(image)
	for _, kv := range own {
		key, _, _ := strings.Cut(kv, "=")
		if key == "" || slices.Contains(private, key) {
			continue
		}
		env = slices.DeleteFunc(env, func(old string) bool { return strings.HasPrefix(old, key+"=") })
		env = append(env, kv)
	}
	return env
}

// containerGroup gives the directory for the services' control groups: only in
// a namespace of our own, where the root of the tree is ours too.
func containerGroup() string {
	const initial = "cgroup:[4026531835]" // PROC_CGROUP_INIT_INO of linux/proc_ns.h
	if space, err := os.Readlink("/proc/self/ns/cgroup"); err != nil || space == initial {
		return ""
	}
	if unix.Access("/sys/fs/cgroup", unix.W_OK) != nil {
		return ""
	}
	return makeServicesGroup()
}

// errNoPlace tells that a container gives no place to write to.
var errNoPlace = errors.New("it is read-only, and nothing may be mounted here: give the container a tmpfs or a volume at this path")
