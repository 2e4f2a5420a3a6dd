package network

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// events is an rtnetlink socket that hears of interfaces, addresses, and the
// parts of router advertisements that the kernel leaves to user space.
type events struct {
	file *os.File
	raw  syscall.RawConn
	buf  []byte
}

func listen() (*events, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	const buffer = 1 << 20 // many interfaces may come at once
	errs := []error{unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, buffer), unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})}
	for _, group := range []int{
		unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR, unix.RTNLGRP_IPV6_IFINFO, unix.RTNLGRP_ND_USEROPT,
	} {
		errs = append(errs, unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_ADD_MEMBERSHIP, group))
	}
	if err := errors.Join(errs...); err != nil {
		unix.Close(fd)
		return nil, err
	}
	file := os.NewFile(uintptr(fd), "rtnetlink")
	raw, err := file.SyscallConn()
	if err != nil {
		file.Close()
		return nil, err
	}
	return &events{file: file, raw: raw, buf: make([]byte, 64<<10)}, nil
}

func (e *events) close() { e.file.Close() }

// read waits for messages of the kernel until the deadline; zero: for ever. It
// gives none for what somebody else has sent.
func (e *events) read(deadline time.Time) ([]syscall.NetlinkMessage, error) {
	if err := e.file.SetReadDeadline(deadline); err != nil {
		return nil, err
	}
	var n int
	var from unix.Sockaddr
	var err error
	wait := e.raw.Read(func(fd uintptr) bool {
		n, from, err = unix.Recvfrom(int(fd), e.buf, 0)
		return !errors.Is(err, unix.EAGAIN)
	})
	if err := errors.Join(wait, err); err != nil {
		return nil, err
	}
	if kernel, ok := from.(*unix.SockaddrNetlink); !ok || kernel.Pid != 0 {
		return nil, nil
	}
	messages, err := syscall.ParseNetlinkMessage(e.buf[:n])
	if err != nil {
		return nil, fmt.Errorf("read message: %w", err)
	}
	return messages, nil
}
