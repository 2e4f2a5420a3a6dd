package pid1

import (
	"context"
	"fmt"
	"net"
	"os"
	"runtime/debug"

	"ashlar/internal/device/units"
)

// UnderSystemd gives the agent's handler for a machine that the first stage
// handed over to systemd.
func UnderSystemd() (*units.Machine, error) {
	stayLittle()
	hand, err := ReadHandover()
	if err != nil {
		return nil, fmt.Errorf("read how the machine was started: %w", err)
	}
	return &units.Machine{
		Name:       hand.Boot.Name,
		Generation: hand.Generation,
		RootMode:   hand.Boot.RootMode,
		Lost:       hand.State == stateLost,
	}, nil
}

// NetworkUnderSystemd configures the machine's interfaces until the context
// ends. It tells systemd that it is ready (sd_notify(3)) when addresses are
// there or their time is over: the services then start without.
func NetworkUnderSystemd(ctx context.Context, say func(string, ...any)) error {
	stayLittle()
	m, err := ReadMachine("/")
	if err != nil {
		return err
	}
	config, _, err := askedNetwork(m.Network, readCmdline())
	if err != nil {
		say("%v", err)
	}
	up, err := startNetwork(ctx, config, say)
	if up == nil {
		return err
	}
	if err != nil {
		say("%v", err)
	}
	if err := notifyReady(os.Getenv("NOTIFY_SOCKET")); err != nil {
		return err
	}
	<-ctx.Done()
	return closeNetwork(up)
}

// stayLittle bounds the memory of the programs that live as long as the machine.
func stayLittle() {
	debug.SetMemoryLimit(memoryLimit)
	debug.SetGCPercent(gcPercent)
}

// notifyReady says on the socket that the service is ready; without a socket
// nobody asked.
func notifyReady(socket string) error {
	if socket == "" {
		return nil
	}
	conn, err := net.Dial("unixgram", socket)
	if err != nil {
		return fmt.Errorf("tell systemd: %w", err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("READY=1")); err != nil {
		return fmt.Errorf("tell systemd: %w", err)
	}
	return nil
}
