package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"ashlar/internal/builder/definition"
	"ashlar/internal/builder/pipeline"
	"ashlar/internal/contract/control"
	"ashlar/internal/machine/qemu"
)

// machineFlags are the flags of run and test.
type machineFlags struct {
	publish        []string
	target         string
	bios, uefi     bool
	hostQEMU       bool
	disk, diskSize string
	memory, cpus   int
	accel          string
}

func (f *machineFlags) add(c *cobra.Command) {
	flags := c.Flags()
	flags.StringSliceVarP(&f.publish, "publish", "p", nil, "forward a port of this host, [ADDR:]HOST:GUEST")
	flags.StringVar(&f.target, "target", "", "what to start (default: the first of the definition's targets that a machine starts from)")
	flags.BoolVar(&f.bios, "bios", false, "start by BIOS (the default where both do)")
	flags.BoolVar(&f.uefi, "uefi", false, "start by UEFI")
	flags.BoolVar(&f.hostQEMU, "host-qemu", false, "use the QEMU on PATH instead of the locked one")
	flags.StringVar(&f.disk, "disk", "", "keep the machine's disk in this file (made from the image if absent); default: what the machine writes is lost")
	flags.StringVar(&f.diskSize, "disk-size", "", "size of the machine's disk, if larger than the image")
	flags.IntVarP(&f.memory, "memory", "m", 256, "memory in MiB")
	flags.IntVar(&f.cpus, "cpus", 1, "processors")
	flags.StringVar(&f.accel, "accel", string(qemu.Auto), "tcg (software), kvm, or auto: kvm where it works")
	c.MarkFlagsMutuallyExclusive("bios", "uefi")
}

// config makes the machine of the flags, but for its disk. It comes before all
// work: what is wrong with it is the command line.
func (f *machineFlags) config(console io.Writer) (qemu.Config, error) {
	c := qemu.Config{Snapshot: true, Firmware: qemu.BIOS, MemoryMB: f.memory, CPUs: f.cpus, Accel: qemu.Accel(f.accel), Console: console}
	if f.memory <= 0 || f.cpus <= 0 {
		return c, &usageError{errors.New("--memory and --cpus: want at least 1")}
	}
	if !slices.Contains([]qemu.Accel{qemu.TCG, qemu.KVM, qemu.Auto}, c.Accel) {
		return c, &usageError{fmt.Errorf("--accel %q: want tcg, kvm or auto", f.accel)}
	}
	if f.uefi {
		c.Firmware = qemu.UEFI
	}
	if f.diskSize != "" {
		size, err := definition.ParseSize(f.diskSize)
		if err != nil {
			return c, &usageError{fmt.Errorf("--disk-size: %w", err)}
		}
		c.DiskSize = size
	}
	for _, text := range f.publish {
		forward, err := parsePublish(text)
		if err != nil {
			return c, &usageError{err}
		}
		c.Publish = append(c.Publish, forward)
	}
	return c, nil
}

// parsePublish reads [ADDR:]HOST:GUEST.
func parsePublish(text string) (qemu.PortForward, error) {
	parts := strings.Split(text, ":")
	bad := fmt.Errorf("--publish %q: want [ADDRESS:]HOSTPORT:GUESTPORT, as 8080:80", text)
	if len(parts) < 2 || len(parts) > 3 {
		return qemu.PortForward{}, bad
	}
	var forward qemu.PortForward
	if len(parts) == 3 {
		forward.HostAddr = parts[0]
	}
	host, err1 := strconv.ParseUint(parts[len(parts)-2], 10, 16)
	guest, err2 := strconv.ParseUint(parts[len(parts)-1], 10, 16)
	if err1 != nil || err2 != nil || guest == 0 || forward.HostAddr != "" && net.ParseIP(forward.HostAddr) == nil {
		return forward, bad
	}
	forward.HostPort, forward.GuestPort = int(host), int(guest)
	return forward, nil
}

// prepared is a machine about to be started.
type prepared struct {
	name     string
	emulator *qemu.Emulator
	dir      string // of the files that it is started from
	start    pipeline.Start
	tests    []definition.Test
}

// prepare builds what a directory names, or takes an image as it is, and finds
// the emulator.
func (a *app) prepare(ctx context.Context, what string, f *machineFlags) (*prepared, error) {
	e, err := a.env()
	if err != nil {
		return nil, err
	}
	p := &prepared{name: filepath.Base(what), dir: filepath.Dir(what), start: pipeline.StartImage(filepath.Base(what))}
	info, err := os.Stat(what)
	if err == nil && !info.IsDir() {
		if f.target != "" {
			return nil, &usageError{fmt.Errorf("--target %s: %s is an image already", f.target, what)}
		}
		err = pipeline.CheckDisk(what)
	}
	if err != nil {
		return nil, fmt.Errorf("find what to boot: %w", err)
	}
	abs, err := filepath.Abs(what)
	if err != nil {
		return nil, err
	}
	dir := filepath.Dir(filepath.Dir(abs)) // of DIR/out/disk.img
	if info.IsDir() {
		dir = what
		made, err := e.Build(ctx, what, pipeline.BuildOptions{Targets: f.targets()})
		if err != nil {
			return nil, err
		}
		p.name, p.dir = made.Manifest.Name, made.Dir
		if p.start, err = f.startOf(made); err != nil {
			return nil, err
		}
		def, err := definition.Load(what)
		if err != nil {
			return nil, err
		}
		p.tests = def.Tests
	}
	if f.hostQEMU {
		p.emulator, err = qemu.FromPath()
		return p, err
	}
	tools, err := e.Tools(ctx, dir, qemu.Wanted)
	if err != nil {
		const hint = "find the emulator, which is locked with the definition of DIR/out/disk.img (--host-qemu uses the one on PATH)"
		return nil, fmt.Errorf("%s: %w", hint, err)
	}
	p.emulator, err = qemu.FromRoot(tools)
	return p, err
}

// checkOf is the declared check of a port, or that something listens there: a
// service that runs need not have opened its port yet.
func (p *prepared) checkOf(port int) definition.Test {
	for _, t := range p.tests {
		if guestPort(t) == port {
			return t
		}
	}
	return definition.Test{TCP: fmt.Sprintf(":%d", port), Within: "1m"}
}

func (a *app) runCommand() *cobra.Command {
	var f machineFlags
	c := &cobra.Command{
		Use: "run DIR|IMAGE", Short: "Boot in QEMU, the serial console on the terminal", Args: exactArgs(1, "a definition's directory or a disk image"),
		Long: "Build a definition and boot it in QEMU, or boot a disk image, with ports\nforwarded and the serial console on the terminal. Ctrl-A X ends the machine.",
	}
	f.add(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		config, err := f.config(a.out)
		if err != nil {
			return err
		}
		p, err := a.prepare(c.Context(), args[0], &f)
		if err != nil {
			return err
		}
		a.sink.Close()
		if err := f.give(&config, p.dir, p.start); err != nil {
			return err
		}
		return a.runMachine(c.Context(), p, config)
	}
	return c
}

// runMachine boots and stays until the machine stops, the user leaves or a
// signal comes.
func (a *app) runMachine(ctx context.Context, p *prepared, config qemu.Config) (err error) {
	vm, err := p.emulator.Start(ctx, config)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, vm.Close()) }()
	restore, leave := a.attach(vm)
	defer restore()
	go a.announce(ctx, p, vm, config)
	select {
	case <-vm.Done():
		return vm.Wait(ctx)
	case <-leave:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// attach leads the terminal's keys to the machine. leave is closed by Ctrl-A X.
func (a *app) attach(vm *qemu.VM) (restore func(), leave <-chan struct{}) {
	left := make(chan struct{})
	restore = func() {}
	if f, ok := a.in.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		if state, err := term.MakeRaw(int(f.Fd())); err == nil {
			restore = func() { _ = term.Restore(int(f.Fd()), state) } // at worst the user types `reset`
		}
	}
	go func() {
		const ctrlA = 1
		prefix := false
		key := make([]byte, 1)
		for {
			if _, err := a.in.Read(key); err != nil {
				return // no more keys; the machine goes on
			}
			switch {
			case prefix && (key[0] == 'x' || key[0] == 'X'):
				close(left)
				return
			case key[0] == ctrlA && !prefix:
				prefix = true
				continue
			}
			prefix = false
			if vm.Type(key) != nil {
				return
			}
		}
	}()
	return restore, left
}

// ready waits for the machine's services; one without an agent is ready when
// its ports are.
func (p *prepared) ready(ctx context.Context, vm *qemu.VM, patience time.Duration) error {
	if p.start.Bare {
		return nil
	}
	agent, err := vm.Agent(ctx)
	if err == nil {
		_, err = agent.Ready(ctx, patience)
	}
	return err
}

// announce says where the machine answers once its services run.
func (a *app) announce(ctx context.Context, p *prepared, vm *qemu.VM, config qemu.Config) {
	const patience = 5 * time.Minute
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := p.ready(ctx, vm, patience); err != nil {
		fmt.Fprintf(a.err, "\r\nashlar: %s has not said that it is ready: %v\r\n", p.name, err)
		return
	}
	for _, forward := range config.Publish {
		if err := checkOne(ctx, vm, p.checkOf(forward.GuestPort)); err != nil {
			fmt.Fprintf(a.err, "\r\nashlar: %s runs; port %d does not answer: %v\r\n", p.name, forward.GuestPort, err)
			continue
		}
		addr := vm.ForwardedAddr(forward.GuestPort)
		if forward.GuestPort == 80 || forward.GuestPort == 8080 {
			addr = "http://" + addr + "/"
		}
		fmt.Fprintf(a.err, "\r\nashlar: %s is ready; port %d answers at %s (Ctrl-A X ends the machine)\r\n", p.name, forward.GuestPort, addr)
	}
	if len(config.Publish) == 0 {
		fmt.Fprintf(a.err, "\r\nashlar: %s is ready (Ctrl-A X ends the machine)\r\n", p.name)
	}
}

func (a *app) testCommand() *cobra.Command {
	var f machineFlags
	c := &cobra.Command{
		Use: "test DIR", Short: "Boot in QEMU and make the declared checks", Args: exactArgs(1, "a definition's directory"),
	}
	f.add(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		console := a.err
		if a.quiet || a.json {
			console = io.Discard
		}
		config, err := f.config(console)
		if err != nil {
			return err
		}
		if info, err := os.Stat(args[0]); err == nil && !info.IsDir() {
			return &usageError{fmt.Errorf("%s is not a directory: an image declares no tests", args[0])}
		}
		if def, err := definition.Load(args[0]); err != nil {
			return err
		} else if len(def.Tests) == 0 {
			return fmt.Errorf("%s declares no tests", args[0])
		}
		p, err := a.prepare(c.Context(), args[0], &f)
		if err != nil {
			return err
		}
		a.sink.Close()
		if err := f.give(&config, p.dir, p.start); err != nil {
			return err
		}
		return a.testMachine(c.Context(), p, config)
	}
	return c
}

func (a *app) testMachine(ctx context.Context, p *prepared, config qemu.Config) (err error) {
	for _, t := range p.tests {
		if port := guestPort(t); port != 0 {
			config.Publish = append(config.Publish, qemu.PortForward{GuestPort: port})
		}
	}
	vm, err := p.emulator.Start(ctx, config)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, vm.Close()) }()
	failed, results := 0, []checkResult{}
	for _, t := range p.tests {
		r := checkResult{Check: testName(t), OK: true}
		if err := checkOne(ctx, vm, t); err != nil {
			failed++
			r.OK, r.Error = false, err.Error()
		}
		results = append(results, r)
		if !a.json { // one by one: checks take time
			fmt.Fprintln(a.out, r)
		}
	}
	if a.json {
		err = a.answer(results, nil)
	}
	if failed > 0 {
		err = errors.Join(err, fmt.Errorf("%d of %d checks failed", failed, len(p.tests)))
	}
	return err
}

// checkResult is what a declared check gave.
type checkResult struct {
	Check string `json:"check"`
	OK    bool   `json:"ok"`
	Error string `json:"error,omitempty"`
}

func (r checkResult) String() string {
	if r.OK {
		return "ok   " + r.Check
	}
	return "FAIL " + r.Check + ": " + r.Error
}

// serviceRunning is the check of a declared service.
func serviceRunning(ctx context.Context, vm *qemu.VM, name string, within time.Duration) error {
	agent, err := vm.Agent(ctx)
	if err != nil {
		return err
	}
	services, err := agent.Ready(ctx, within)
	if err != nil {
		return err
	}
	for _, s := range services {
		if s.Name != name {
			continue
		}
		if s.State == control.StateRunning || s.State == control.StateDone {
			return nil
		}
		return fmt.Errorf("is %s %s", s.State, s.Exit)
	}
	return errors.New("the machine has no such service")
}
