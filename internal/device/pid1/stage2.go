package pid1

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"ashlar/internal/contract/control"
	"ashlar/internal/contract/layout"
	"ashlar/internal/contract/machine"
	"ashlar/internal/device/account"
	"ashlar/internal/device/agent"
	"ashlar/internal/device/console"
	"ashlar/internal/device/mount"
	"ashlar/internal/device/power"
	"ashlar/internal/device/state"
	"ashlar/internal/device/supervise"
)

// Bounds of this program's own memory: it serves where 64 MB are all there is.
const (
	memoryLimit = 20 << 20
	gcPercent   = 40
)

// milestoneNetwork is reached when addresses are configured, or when that has
// failed or takes too long: what listens on all addresses need not wait for ever.
const (
	milestoneNetwork = "network"
	networkLimit     = 60 * time.Second
)

// seedDelay is when after the boot a second seed is kept: one that has more in
// it than what the boot began with.
const seedDelay = 30 * time.Second

// stage2 is PID 1 of a running machine.
type stage2 struct {
	con      *console.Console
	begin    time.Duration // uptime of the kernel when this began; 0 on a machine
	cmdline  Cmdline
	hand     Handover
	machine  machine.Machine
	reaper   *supervise.Reaper
	sup      *supervise.Supervisor
	down     chan power.Action
	network  chan networkUp // holds the network once it is there
	problems atomic.Int32
	cancel   context.CancelFunc
}

// Stage2 runs the machine until it goes down. It does not return.
func Stage2() {
	stayLittle()
	s := &stage2{con: console.Open(), cmdline: readCmdline(), down: make(chan power.Action, 1), network: make(chan networkUp, 1)}
	ctx, cancel := context.WithCancel(context.Background())
	s.cancel = cancel
	if err := s.start(ctx); err != nil {
		s.con.Say("start failed: %v", err)
		giveUp(s.con, s.cmdline)
	}
	s.goDown(s.await())
}

func (s *stage2) start(ctx context.Context) error {
	s.reaper = supervise.NewReaper()
	s.problem(mount.All(mount.Early()))
	s.problem(mount.All(mount.Late()))
	var err error
	if s.hand, err = ReadHandover(); err != nil {
		return err
	}
	s.problems.Add(int32(len(s.hand.Problems)))
	if s.machine, err = ReadMachine("/"); err != nil {
		return err
	}
	s.problem(s.askNetwork())
	s.problem(prepareSystem(s.machine))
	s.catchSignals()
	network := make(chan struct{})
	if err := s.prepareServices(network, serviceGround{env: baseEnvironment(), cgroup: makeServicesGroup(), logDir: layout.LogDir}); err != nil {
		return err
	}
	s.problem(agent.ListenSocket(ctx, layout.ControlSocket, s))
	go agent.ServePort(ctx, layout.AgentPort, s)
	go s.bringNetworkUp(ctx, network)
	s.sup.Start()
	go s.reportReady(ctx)
	go s.renewSeed(ctx)
	power.WatchButton(func() { s.ask(power.Off, "power button") })
	return nil
}

// problem notes what went wrong and does not stop the machine.
func (s *stage2) problem(err error) {
	if err != nil {
		s.problems.Add(1)
		s.con.Say("%v", err)
	}
}

// serviceGround is what services stand on.
type serviceGround struct {
	env    []string // KEY=VALUE
	cgroup string   // directory of a control group that is ours; empty: none
	logDir string
}

func (s *stage2) prepareServices(network <-chan struct{}, ground serviceGround) error {
	line := func(service, text string) { s.con.Line(service + ": " + text) }
	if s.cmdline.Quiet() {
		line = nil
	}
	var err error
	s.sup, err = supervise.New(s.machine.Services, supervise.Options{
		Launcher:  s.reaper,
		Accounts:  resolveAccount,
		Env:       ground.env,
		LogDir:    ground.logDir,
		RunDir:    layout.RunDir + "/notify",
		Cgroup:    ground.cgroup,
		Line:      line,
		Say:       s.con.Say,
		Uptime:    console.Uptime,
		Milestone: map[string]<-chan struct{}{milestoneNetwork: network},
	})
	return err
}

// resolveAccount reads the files each time: a service may have added a user.
func resolveAccount(user, group string) (account.Identity, error) {
	table, err := account.Load("/")
	if err != nil {
		return account.Identity{}, err
	}
	return table.Resolve(user, group)
}

func (s *stage2) bringNetworkUp(ctx context.Context, reached chan<- struct{}) {
	done := make(chan error, 1)
	go func() {
		up, err := startNetwork(ctx, s.machine.Network, s.con.Say)
		if up != nil {
			s.network <- up
		}
		done <- err
	}()
	select {
	case err := <-done:
		s.problem(err)
	case <-time.After(networkLimit):
		s.con.Say("network not configured within %s: services start without it", networkLimit)
	case <-ctx.Done():
		return
	}
	close(reached)
}

func (s *stage2) reportReady(ctx context.Context) {
	if s.sup.Settled(ctx) != nil {
		return // going down
	}
	running, total := s.count()
	s.con.Mark("ready NAME=%s generation=%s services=%d/%d seconds=%.2f",
		s.hand.Boot.Name, s.hand.Generation, running, total, (console.Uptime() - s.begin).Seconds())
}

// count gives how many services are ready, of how many.
func (s *stage2) count() (running, total int) {
	list := s.sup.List()
	for _, sv := range list {
		if sv.State == control.StateRunning || sv.State == control.StateDone {
			running++
		}
	}
	return running, len(list)
}

func (s *stage2) renewSeed(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-time.After(seedDelay):
		s.problem(state.SaveSeed(layout.StateMount))
	}
}

// catchSignals takes the signals that ask PID 1 for an end: SIGTERM and SIGPWR
// to power off, SIGINT (ctrl-alt-del) to start again.
func (s *stage2) catchSignals() {
	_ = unix.Reboot(unix.LINUX_REBOOT_CMD_CAD_OFF) // then the kernel sends SIGINT; else it reboots by itself
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, unix.SIGTERM, unix.SIGINT, unix.SIGPWR)
	signal.Ignore(unix.SIGHUP, unix.SIGPIPE)
	go func() {
		for sig := range signals {
			action := power.Off
			if sig == unix.SIGINT {
				action = power.Reboot
			}
			s.ask(action, "signal "+sig.String())
		}
	}()
}

// ask makes the machine go down; the first who asks is heard.
func (s *stage2) ask(a power.Action, why string) {
	select {
	case s.down <- a:
		s.con.Say("%s asked for by %s", a, why)
	default:
	}
}

func (s *stage2) await() power.Action { return <-s.down }

// goDown ends everything, in order, and the machine. Each step is bounded.
func (s *stage2) goDown(a power.Action) {
	s.sup.Shutdown()
	s.cancel()
	select {
	case up := <-s.network:
		s.problem(closeNetwork(up))
	default:
	}
	power.KillAll(2 * time.Second)
	if s.hand.State == stateKept {
		s.problem(state.SaveSeed(layout.StateMount))
		s.problem(power.Unmount(layout.StateMount))
	}
	s.con.Mark("%s", a)
	s.con.Close(2 * time.Second)
	err := power.Down(a)
	s.con = console.Open()
	s.con.Say("%v", fmt.Errorf("the kernel refuses: %w", err))
	for {
		time.Sleep(time.Hour)
	}
}
