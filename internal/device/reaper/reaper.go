// Package reaper is PID 1 for one application that is no init: it mounts what
// every program expects, loads the modules beside it, sets up the loopback
// interface and, by the kernel parameter ip=, one network card; it starts the
// application, hands signals on to it, collects orphans, and ends the machine
// when the application ends.
//
// The kernel gives what its command line has for init: words after "--" are
// the application's arguments, KEY=VALUE words that the kernel does not know
// are its environment, ip= among them. It is kept small: it travels in images
// whose whole weight beside kernel and application is to be below 1 MB.
//
// Not done: supervision and restarts, logs, addresses of more than one card,
// static IPv6 addresses (the kernel makes its own from router advertisements).
package reaper

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"ashlar/internal/contract/layout"
	"ashlar/internal/device/ipparam"
	"ashlar/internal/device/module"
	"ashlar/internal/device/mount"
	"ashlar/internal/device/power"
)

// defaultPath is where programs are looked for.
const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// Main is the whole program. It returns only when the machine refuses to end.
func Main() {
	if os.Getpid() != 1 {
		say("is PID 1 of an initramfs, and nothing else")
		os.Exit(2)
	}
	action, err := run()
	if err != nil {
		say("%v", err)
		action = afterFailure(panicSeconds())
	}
	const grace = 5 * time.Second
	power.KillAll(grace)
	say("%s", action)
	say("%v", power.Down(action))
	for {
		time.Sleep(time.Hour)
	}
}

// run is the life of the machine.
func run() (power.Action, error) {
	problem(mount.All(append(mount.Early(), mount.Late()[:2]...)))
	problem(stdio())
	_, err := module.LoadList("/", "/"+layout.InitramfsOrder, func(string) string { return "" })
	problem(err)
	problem(setHostname())
	problem(loopbackUp())
	problem(configure(os.Getenv("ip")))
	signals := make(chan os.Signal, 32)
	signal.Notify(signals)
	problem(unix.Reboot(unix.LINUX_REBOOT_CMD_CAD_OFF)) // ctrl-alt-del is then SIGINT for PID 1
	pid, err := start()
	if err != nil {
		return 0, err
	}
	return reap(pid, signals)
}

func say(format string, args ...any) {
	fmt.Fprintf(os.Stdout, "ashlar: "+format+"\n", args...)
}

// problem says what went wrong and does not keep the application from running.
func problem(err error) {
	if err != nil {
		say("%v", err)
	}
}

// stdio makes the console the standard streams, if the initramfs had no
// console node when the kernel looked, and gives them their usual names.
func stdio() error {
	if f, err := os.OpenFile("/dev/console", os.O_RDWR|unix.O_NOCTTY, 0); err == nil {
		for fd := range 3 {
			_ = unix.Dup3(int(f.Fd()), fd, 0) // else nobody hears why
		}
		f.Close()
	}
	var failed []error
	for _, l := range [][2]string{{"/proc/self/fd", "/dev/fd"}, {"fd/0", "/dev/stdin"}, {"fd/1", "/dev/stdout"}, {"fd/2", "/dev/stderr"}} {
		if err := os.Symlink(l[0], l[1]); err != nil && !errors.Is(err, os.ErrExist) {
			failed = append(failed, err)
		}
	}
	return errors.Join(failed...)
}

// setHostname takes the image's name; ip= may say another.
func setHostname() error {
	text, err := os.ReadFile("/etc/hostname")
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return unix.Sethostname([]byte(strings.TrimSpace(string(text))))
}

// configure does what ip= says; without it no card is touched.
func configure(text string) error {
	if text == "" {
		return nil
	}
	p, err := ipparam.Parse(text)
	if err != nil || p.How == ipparam.Off {
		return err
	}
	if p.Hostname != "" {
		problem(unix.Sethostname([]byte(p.Hostname)))
	}
	card, err := findCard("/sys/class/net", p.Device, cardWait)
	if err != nil {
		return err
	}
	if p.How == ipparam.DHCP {
		return startDHCP(card)
	}
	if err := setAddress(card, p.Address, p.Gateway); err != nil {
		return err
	}
	say("%s has %s", card, p.Address)
	return writeResolver(layout.RunDir+"/resolv.conf", p.DNS)
}

// start starts the application in a session of its own.
func start() (int, error) {
	app, err := os.Readlink("/" + layout.InitramfsApp)
	if err != nil {
		return 0, fmt.Errorf("find the application: %w", err)
	}
	env := os.Environ()
	if os.Getenv("PATH") == "" {
		env = append(env, "PATH="+defaultPath)
	}
	pid, err := syscall.ForkExec(app, append([]string{app}, os.Args[1:]...), &syscall.ProcAttr{
		Env: env, Files: []uintptr{0, 1, 2}, Sys: &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		return 0, fmt.Errorf("start %s: %w", app, err)
	}
	return pid, nil
}

// reap hands signals on and collects children until the application has ended.
func reap(pid int, signals <-chan os.Signal) (power.Action, error) {
	wanted := power.Action(0)
	for s := range signals {
		action, forward := meaning(s)
		if action != 0 {
			wanted = action
		}
		if forward != 0 {
			_ = unix.Kill(pid, forward) // it may have ended: that is SIGCHLD's
			continue
		}
		status, ended := collect(pid)
		if !ended {
			continue
		}
		switch {
		case wanted != 0:
			return wanted, nil
		case status.Exited() && status.ExitStatus() == 0:
			return power.Off, nil
		case status.Signaled():
			return 0, fmt.Errorf("the application was ended by signal %d", status.Signal())
		}
		return 0, fmt.Errorf("the application ended with status %d", status.ExitStatus())
	}
	return power.Off, nil
}

// meaning says what a signal to PID 1 does: how the machine is to go down when
// the application ends, and what the application is sent; 0: nothing.
func meaning(s os.Signal) (power.Action, syscall.Signal) {
	number, ok := s.(syscall.Signal)
	switch {
	case !ok || number == unix.SIGCHLD || number == unix.SIGPIPE || number == unix.SIGURG:
		return 0, 0 // SIGURG is the Go runtime's own
	case number == unix.SIGINT:
		return power.Reboot, unix.SIGTERM // ctrl-alt-del
	case number == unix.SIGTERM || number == unix.SIGPWR:
		return power.Off, unix.SIGTERM
	}
	return 0, number
}

// collect takes every child that has ended.
func collect(pid int) (status syscall.WaitStatus, ended bool) {
	for {
		var st syscall.WaitStatus
		child, err := syscall.Wait4(-1, &st, syscall.WNOHANG, nil)
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		if err != nil || child <= 0 {
			return status, ended
		}
		if child == pid {
			status, ended = st, true
		}
	}
}

// afterFailure is what happens to a machine whose application failed: with
// panic=SECONDS on the command line it starts again, as after a panic.
func afterFailure(seconds int) power.Action {
	if seconds == 0 {
		return power.Off
	}
	const most = 60
	time.Sleep(time.Duration(max(0, min(seconds, most))) * time.Second)
	return power.Reboot
}

func panicSeconds() int {
	text, err := os.ReadFile("/proc/sys/kernel/panic")
	if err != nil {
		return 0
	}
	seconds, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return 0
	}
	return seconds
}
