// Package pid1 is the way from the kernel to running services: Stage1 is
// /init of the initramfs, Stage2 is PID 1 of the machine. Both read as a list
// of steps; the rooms beside this one know how each is done.
package pid1

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"ashlar/internal/contract/layout"
	"ashlar/internal/contract/machine"
	"ashlar/internal/device/block"
	"ashlar/internal/device/console"
	"ashlar/internal/device/module"
	"ashlar/internal/device/mount"
)

// Stage2Name is argv[0] of the second stage. The kernel passes words of its
// command line to /init as arguments, but it never chooses argv[0] like this.
const Stage2Name = "ashlar-pid1"

// stage1 is what the steps share.
type stage1 struct {
	con     *console.Console
	cmdline Cmdline
	boot    machine.Boot
	hand    Handover
	machine machine.Machine
	bare    bareRoot
}

// Stage1 brings the machine from the initramfs to its init program. It does
// not return: it becomes that program, or stays with a message.
func Stage1() {
	early := mount.All(mount.Early())
	stdio()
	s := &stage1{con: console.Open(), cmdline: readCmdline()}
	err := errors.Join(early, s.run())
	s.con.Say("boot failed: %v", err)
	giveUp(s.con, s.cmdline)
}

func (s *stage1) run() error {
	steps := []func() error{
		s.readBoot,
		s.loadModules,
		s.fetchImages,
		s.mountSystem,
		s.mountImage,
		s.mountRoot,
		s.mountModules,
		s.keepState,
		s.leave,
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// stdio makes /dev/console this process's standard streams: the initramfs may
// have had no console node when the kernel looked.
func stdio() {
	f, err := os.OpenFile("/dev/console", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return
	}
	for fd := range 3 {
		_ = unix.Dup3(int(f.Fd()), fd, 0) // without it messages still go out by the console room
	}
	f.Close()
}

func (s *stage1) readBoot() (err error) {
	if s.boot, err = readBoot("/" + layout.InitramfsBoot); err != nil {
		return fmt.Errorf("read what to boot: %w", err)
	}
	s.boot.System = s.cmdline.Or(layout.ParamSystem, s.boot.System)
	s.boot.State = s.cmdline.Or(layout.ParamState, s.boot.State)
	s.bare = bareRoot{s.cmdline.Or(layout.ParamRoot, ""), s.cmdline.Or(layout.ParamModules, "")}
	if s.boot.DiskWait <= 0 {
		s.boot.DiskWait = 30
	}
	s.hand = Handover{Boot: s.boot, Generation: s.cmdline.Or(layout.ParamGeneration, ""), State: stateVolatile}
	s.con.Say("starting %s", s.boot.Name)
	return os.MkdirAll(layout.RunDir, 0o755)
}

// problem notes what went wrong and does not stop the boot.
func (s *stage1) problem(err error) {
	if err != nil {
		s.con.Say("%v", err)
		s.hand.Problems = append(s.hand.Problems, err.Error())
	}
}

func (s *stage1) loadModules() error {
	n, err := module.LoadList("/", "/"+layout.InitramfsOrder, s.cmdline.ModuleParams)
	s.problem(err) // whether one was needed shows when the disk does not come
	s.con.Say("%d modules loaded", n)
	return nil
}

func (s *stage1) wait(text string, most time.Duration) (block.Device, error) {
	spec, err := block.ParseSpec(text)
	if err != nil {
		return block.Device{}, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), most)
	defer cancel()
	return block.Wait(ctx, spec)
}

func (s *stage1) mountSystem() error {
	if s.bare.given() {
		return nil
	}
	device, err := s.wait(s.boot.System, time.Duration(s.boot.DiskWait)*time.Second)
	if err != nil {
		return fmt.Errorf("find system partition: %w", err)
	}
	s.con.Say("system on %s", device.Name)
	return mount.One(mount.Point{Source: device.Node(), Target: layout.SystemMount, Type: device.Super.Type,
		Flags: unix.MS_RDONLY | unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC})
}

// generation gives the directory of the generation to boot.
func (s *stage1) generation() (string, error) {
	all := filepath.Join(layout.SystemMount, layout.GenerationsDir)
	name := s.hand.Generation
	if name != "" && name == filepath.Base(name) && name != ".." && name != "." {
		return filepath.Join(all, name), nil
	}
	if name != "" {
		return "", fmt.Errorf("%s=%q: want the name of a directory", layout.ParamGeneration, name)
	}
	entries, err := os.ReadDir(all)
	if err != nil {
		return "", fmt.Errorf("list generations: %w", err)
	}
	if len(entries) != 1 {
		return "", fmt.Errorf("choose generation: the kernel command line has no %s, and the disk has %d", layout.ParamGeneration, len(entries))
	}
	s.hand.Generation = entries[0].Name()
	return filepath.Join(all, entries[0].Name()), nil
}

func (s *stage1) mountImage() error {
	if s.bare.given() {
		return s.mountBare(s.bare.root, layout.GenRoot, layout.ImageMount, unix.MS_NODEV)
	}
	dir, err := s.generation()
	if err != nil {
		return err
	}
	s.con.Say("generation %s", s.hand.Generation)
	return s.mountFile(filepath.Join(dir, layout.GenRoot), layout.ImageMount, unix.MS_NODEV)
}

// mountModules puts the kernel's modules where programs look for them. The
// machine runs without: what it needs to start is in the initramfs.
func (s *stage1) mountModules() error {
	if s.bare.given() {
		return s.mountBareModules()
	}
	dir, err := s.generation()
	if err != nil {
		return err
	}
	image := filepath.Join(dir, layout.GenModules)
	if _, err := os.Stat(image); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	target := newRoot + modulesDir
	err = os.MkdirAll(target, 0o755)
	if err == nil {
		err = s.mountFile(image, target, unix.MS_NODEV|unix.MS_NOSUID|unix.MS_NOEXEC)
	}
	if err != nil {
		s.problem(fmt.Errorf("mount kernel modules: %w", err))
	}
	return nil
}

func (s *stage1) mountRoot() error {
	if s.boot.RootMode != "" && s.boot.RootMode != machine.RootOverlay {
		return fmt.Errorf("build root: unknown mode %q", s.boot.RootMode)
	}
	if err := mount.Overlay(layout.ImageMount, scratchMount, newRoot); err != nil {
		return err
	}
	m, err := ReadMachine(newRoot)
	if err != nil && (s.boot.Init == "" || s.boot.Init == "ashlar") {
		return fmt.Errorf("read the image's machine description: %w", err)
	}
	s.machine = m
	return nil
}

// leave hands the machine over to its init program.
func (s *stage1) leave() error {
	argv, err := s.program()
	if err != nil {
		return err
	}
	if err := s.hand.write(); err != nil {
		return err
	}
	if err := mount.SwitchRoot(newRoot, []string{"/proc", "/sys", "/dev", "/run"}); err != nil {
		return err
	}
	path := argv[0]
	if path == initCopy {
		argv[0] = Stage2Name
	}
	s.con.Close(2 * time.Second)
	err = unix.Exec(path, argv, []string{"PATH=" + defaultPath, "TERM=linux", "HOME=/"})
	s.con = console.Open()
	return fmt.Errorf("start %s: %w", path, err)
}

// program gives the init program and its arguments.
func (s *stage1) program() ([]string, error) {
	switch init := s.cmdline.Or("init", s.boot.Init); init {
	case "", "ashlar":
		return []string{initCopy}, copyInit()
	case "systemd":
		return []string{"/usr/lib/systemd/systemd"}, nil
	default:
		if !strings.HasPrefix(init, "/") {
			return nil, fmt.Errorf("start init %q: want ashlar, systemd or an absolute path", init)
		}
		return []string{init}, nil
	}
}

// copyInit copies this program to where it stays when the root goes bad.
func copyInit() error {
	in, err := os.Open("/proc/self/exe")
	if err != nil {
		return fmt.Errorf("copy init: %w", err)
	}
	defer in.Close()
	out, err := os.OpenFile(initCopy, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o755)
	if err != nil {
		return fmt.Errorf("copy init: %w", err)
	}
	_, err = io.Copy(out, in)
	if err := errors.Join(err, out.Close()); err != nil {
		return fmt.Errorf("copy init: %w", err)
	}
	return nil
}

// giveUp ends a boot that cannot go on: with panic=… on the kernel command line
// the machine starts again after ten seconds, else it stays as it is. There is
// no shell: nobody has said who they are.
func giveUp(con *console.Console, cmdline Cmdline) {
	const pause = 10 * time.Second
	seconds, err := strconv.Atoi(cmdline.Or("panic", "0"))
	if err == nil && seconds != 0 {
		con.Say("starting again in %s", pause)
		time.Sleep(pause)
		con.Close(time.Second)
		unix.Sync()
		_ = unix.Reboot(unix.LINUX_REBOOT_CMD_RESTART) // when refused, stay
	}
	con.Say("stopped here; ctrl-alt-del starts again")
	for {
		time.Sleep(time.Hour)
	}
}
