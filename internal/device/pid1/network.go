package pid1

import (
	"context"
	"fmt"

	"golang.org/x/sys/unix"

	"ashlar/internal/contract/machine"
)

// networkDown is what Stage2 needs of a network that is up.
type networkDown interface{ Close() error }

// startNetwork configures the machine's interfaces; it returns when addresses
// are there, or with an error. It is the one place that knows the network room.
func startNetwork(_ context.Context, _ machine.Network, _ func(string, ...any)) (networkDown, error) {
	return nil, loopbackUp()
}

// loopbackUp brings the loopback interface up; the kernel gives it its
// addresses.
func loopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("bring lo up: %w", err)
	}
	defer unix.Close(fd)
	req, err := unix.NewIfreq("lo")
	if err != nil {
		return fmt.Errorf("bring lo up: %w", err)
	}
	req.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, req); err != nil {
		return fmt.Errorf("bring lo up: %w", err)
	}
	return nil
}
