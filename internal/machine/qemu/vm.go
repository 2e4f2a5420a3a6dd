package qemu

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// VM is a machine that was started. Close must be called.
type VM struct {
	dir      string
	process  *os.Process
	stdin    io.WriteCloser
	serial   *serial
	stderr   bytes.Buffer
	qmp      *qmp
	agent    *AgentClient
	conns    []net.Conn
	stop     func() bool // forgets the context of Start
	done     chan struct{}
	err      error // of the process; valid when done is closed
	forwards []forward
	once     sync.Once
}

type forward struct {
	proto     string
	guestPort int
	addr      string
}

// Start starts a machine and returns when the emulator runs it. The machine
// is killed when ctx ends.
func (e *Emulator) Start(ctx context.Context, config Config) (*VM, error) {
	vm, err := e.start(ctx, config.withDefaults())
	if err != nil {
		return nil, fmt.Errorf("start machine: %w", err)
	}
	return vm, nil
}

func (e *Emulator) start(ctx context.Context, config Config) (vm *VM, err error) {
	if err := config.check(); err != nil {
		return nil, err
	}
	if config.Accel == Auto {
		config.Accel = TCG
		if e.ProbeKVM(ctx) {
			config.Accel = KVM
		}
	}
	vm = &VM{serial: newSerial(config.Console), done: make(chan struct{})}
	if vm.dir, err = os.MkdirTemp("", "ashlar-vm-"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, vm.Close())
		}
	}()
	files, err := e.prepare(config, vm.dir)
	if err != nil {
		return vm, err
	}
	if err := vm.run(e, config.args(files)); err != nil {
		return vm, err
	}
	vm.stop = context.AfterFunc(ctx, vm.Kill)
	if vm.qmp, err = openQMP(ctx, vm.conns[0], vm.event); err != nil {
		return vm, vm.explain(err)
	}
	return vm, vm.readForwards(ctx)
}

// explain adds what the emulator said to an error of starting it.
func (vm *VM) explain(err error) error {
	vm.Kill()
	<-vm.done
	if said := strings.TrimSpace(vm.stderr.String()); said != "" {
		return fmt.Errorf("%w: %s", err, said)
	}
	return err
}

// run starts the process with one end of each socket pair.
func (vm *VM) run(e *Emulator, args []string) error {
	cmd := exec.Command(e.command[0], append(e.command[1:len(e.command):len(e.command)], args...)...)
	cmd.Env = append(e.env[:len(e.env):len(e.env)], "TMPDIR="+vm.dir)
	cmd.Stdout, cmd.Stderr = vm.serial, &vm.stderr
	// The process dies with us, and gets no signals meant for our terminal.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	var err error
	if vm.stdin, err = cmd.StdinPipe(); err != nil {
		return err
	}
	for range 2 {
		ours, theirs, err := socketPair()
		if err != nil {
			return err
		}
		defer theirs.Close()
		vm.conns = append(vm.conns, ours)
		cmd.ExtraFiles = append(cmd.ExtraFiles, theirs)
	}
	vm.agent = newAgentClient(vm.conns[1])
	started := make(chan error)
	go func() {
		// Pdeathsig is sent when the thread that started the process ends.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		if err := cmd.Start(); err != nil {
			started <- err
			return
		}
		vm.process = cmd.Process
		started <- nil
		vm.err = cmd.Wait()
		vm.serial.close()
		close(vm.done)
	}()
	return <-started
}

// socketPair makes two connected sockets, one for a child.
func socketPair() (ours net.Conn, theirs *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("make socket pair: %w", err)
	}
	file, theirs := os.NewFile(uintptr(fds[0]), "ours"), os.NewFile(uintptr(fds[1]), "theirs")
	ours, err = net.FileConn(file)
	if err := errors.Join(err, file.Close()); err != nil {
		return nil, nil, errors.Join(fmt.Errorf("make socket pair: %w", err), theirs.Close())
	}
	return ours, theirs, nil
}

func (vm *VM) event(name string, data json.RawMessage) {
	if name != "VSERPORT_CHANGE" {
		return
	}
	var port struct {
		ID   string `json:"id"`
		Open bool   `json:"open"`
	}
	if json.Unmarshal(data, &port) == nil && port.ID == "agent" {
		vm.agent.setOpen(port.Open)
	}
}

// usernetLine is a forwarding in "info usernet": protocol, descriptor, host
// address and port, guest address and port.
var usernetLine = regexp.MustCompile(`(?m)^\s*(TCP|UDP)\[HOST_FORWARD\]\s+\d+\s+(\S+)\s+(\d+)\s+\S+\s+(\d+)`)

// readForwards asks which ports the emulator listens on.
func (vm *VM) readForwards(ctx context.Context) error {
	answer, err := vm.qmp.do(ctx, "human-monitor-command", map[string]string{"command-line": "info usernet"})
	if err != nil {
		return err
	}
	var text string
	if err := json.Unmarshal(answer, &text); err != nil {
		return fmt.Errorf("read forwarded ports: %w", err)
	}
	for _, m := range usernetLine.FindAllStringSubmatch(text, -1) {
		guestPort, err := strconv.Atoi(m[4])
		if err != nil {
			return fmt.Errorf("read forwarded ports: %w", err)
		}
		vm.forwards = append(vm.forwards, forward{proto: strings.ToLower(m[1]), guestPort: guestPort, addr: net.JoinHostPort(m[2], m[3])})
	}
	return nil
}

// ForwardedAddr gives the "address:port" of this host that leads to a TCP
// port of the guest, or "".
func (vm *VM) ForwardedAddr(guestPort int) string { return vm.ForwardedTo("tcp", guestPort) }

// ForwardedTo is ForwardedAddr for "tcp" or "udp".
func (vm *VM) ForwardedTo(proto string, guestPort int) string {
	for _, f := range vm.forwards {
		if f.proto == proto && f.guestPort == guestPort {
			return f.addr
		}
	}
	return ""
}

// WaitSerial waits until the machine has said text on its serial line, after
// what earlier waits have found. Its error has the last lines that were said.
func (vm *VM) WaitSerial(ctx context.Context, text string) error {
	_, err := vm.serial.wait(ctx, regexp.MustCompile(regexp.QuoteMeta(text)))
	return err
}

// WaitSerialMatch is WaitSerial for a pattern; it returns the match and its groups.
func (vm *VM) WaitSerialMatch(ctx context.Context, pattern *regexp.Regexp) ([]string, error) {
	return vm.serial.wait(ctx, pattern)
}

// SerialLog gives the last MiB of what the machine has said.
func (vm *VM) SerialLog() []byte { return vm.serial.bytes() }

// Type writes to the machine's serial line.
func (vm *VM) Type(data []byte) error {
	if _, err := vm.stdin.Write(data); err != nil {
		return fmt.Errorf("write to the serial line: %w", err)
	}
	return nil
}

// Agent waits until the machine listens on its agent port.
func (vm *VM) Agent(ctx context.Context) (*AgentClient, error) {
	if err := vm.agent.waitOpen(ctx); err != nil {
		return nil, fmt.Errorf("wait for the machine's agent: %w; last lines of the serial line:\n%s", err, lastLines(vm.SerialLog(), 25))
	}
	return vm.agent, nil
}

// Powerdown presses the power button.
func (vm *VM) Powerdown(ctx context.Context) error {
	_, err := vm.qmp.do(ctx, "system_powerdown", nil)
	return err
}

// Reset presses the reset button.
func (vm *VM) Reset(ctx context.Context) error {
	_, err := vm.qmp.do(ctx, "system_reset", nil)
	return err
}

// PID is the emulator's process.
func (vm *VM) PID() int { return vm.process.Pid }

// Done is closed when the machine has stopped.
func (vm *VM) Done() <-chan struct{} { return vm.done }

// Wait waits until the machine has stopped by itself.
func (vm *VM) Wait(ctx context.Context) error {
	select {
	case <-vm.done:
	case <-ctx.Done():
		return fmt.Errorf("wait for the machine to stop: %w; last lines of the serial line:\n%s", context.Cause(ctx), lastLines(vm.SerialLog(), 25))
	}
	if vm.err != nil {
		return fmt.Errorf("run machine: %w: %s", vm.err, strings.TrimSpace(vm.stderr.String()))
	}
	return nil
}

// Kill cuts the power.
func (vm *VM) Kill() {
	if vm.process != nil {
		// It may have ended by itself: no error worth telling.
		_ = vm.process.Kill()
	}
}

// Close kills the machine if it runs and removes its private files.
func (vm *VM) Close() (err error) {
	vm.once.Do(func() {
		if vm.stop != nil {
			vm.stop()
		}
		if vm.process != nil {
			vm.Kill()
			<-vm.done
		}
		if vm.agent != nil {
			err = vm.agent.close()
		}
		for _, conn := range vm.conns[:min(1, len(vm.conns))] {
			err = errors.Join(err, conn.Close())
		}
		err = errors.Join(err, os.RemoveAll(vm.dir))
	})
	if err != nil {
		return fmt.Errorf("close machine: %w", err)
	}
	return nil
}
