package block

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// uevents is a socket on which the kernel announces devices. A nil *uevents
// works too and only lets time pass.
type uevents struct{ fd int }

// kernelGroup is the multicast group of the kernel's own messages.
const kernelGroup = 1

func listen() (*uevents, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_KOBJECT_UEVENT)
	if err != nil {
		return nil, fmt.Errorf("open uevent socket: %w", err)
	}
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: kernelGroup}); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("bind uevent socket: %w", err)
	}
	return &uevents{fd: fd}, nil
}

func (u *uevents) close() { unix.Close(u.fd) }

// wait returns when something was announced, after most, or when ctx ends.
// What was announced does not matter: the caller looks at everything again.
func (u *uevents) wait(ctx context.Context, most time.Duration) {
	if deadline, ok := ctx.Deadline(); ok {
		most = max(0, min(most, time.Until(deadline)))
	}
	if u == nil {
		time.Sleep(most)
		return
	}
	fds := []unix.PollFd{{Fd: int32(u.fd), Events: unix.POLLIN}}
	if n, err := unix.Poll(fds, int(most.Milliseconds())+1); err != nil || n == 0 {
		return
	}
	buf := make([]byte, 8192)
	for {
		if _, _, err := unix.Recvfrom(u.fd, buf, 0); err != nil {
			return // drained, or overrun: the caller looks again anyway
		}
	}
}
