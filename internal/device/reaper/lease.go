package reaper

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"ashlar/internal/contract/layout"
)

// startDHCP configures a card by DHCP, and renews the lease from then on.
func startDHCP(card string) error {
	text, err := os.ReadFile("/sys/class/net/" + card + "/address")
	if err != nil {
		return err
	}
	hardware, err := hardwareOf(string(text))
	if err != nil {
		return err
	}
	if err := withSocket(func(fd int) error { return setUp(fd, card) }); err != nil {
		return err
	}
	w, err := openWire(card)
	if err != nil {
		return fmt.Errorf("ask by DHCP on %s: %w", card, err)
	}
	c := client{wire: w, hardware: hardware, first: time.Second, tries: 5}
	lease, err := c.obtain()
	if err == nil {
		err = applyLease(card, lease)
	}
	if err != nil {
		err = fmt.Errorf("ask by DHCP on %s: %w", card, err)
	}
	go keepLease(c, card, lease)
	return err
}

func applyLease(card string, lease message) error {
	prefix, err := lease.prefix()
	if err != nil {
		return err
	}
	if err := setAddress(card, prefix, lease.router); err != nil {
		return err
	}
	say("%s has %s, by DHCP", card, prefix)
	return writeResolver(layout.RunDir+"/resolv.conf", lease.dns)
}

// keepLease renews the lease in the middle of its time. An address that no
// server goes on with is kept until another one is given: an application that
// knows nothing of leases is better off with it than with none.
func keepLease(c client, card string, lease message) {
	for {
		time.Sleep(pause(lease))
		next, err := c.renew(lease)
		if !lease.yours.IsValid() || err != nil {
			next, err = c.obtain()
		}
		if err == nil && !sameLease(lease, next) {
			err = applyLease(card, next)
		}
		if err == nil {
			lease = next
			continue
		}
		problem(fmt.Errorf("renew the lease of %s: %w", card, err))
	}
}

// pause is how long a lease is left alone.
func pause(lease message) time.Duration {
	const least, most = 10 * time.Second, 24 * time.Hour
	if !lease.yours.IsValid() {
		return least
	}
	return max(least, min(lease.lease/2, most))
}

// udpWire speaks on one card by broadcast: it needs no address and no route.
type udpWire struct{ fd int }

// openWire binds the client's port on a card.
func openWire(card string) (udpWire, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return udpWire{}, err
	}
	const clientPort = 68
	err = errors.Join(
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_BROADCAST, 1),
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1),
		unix.BindToDevice(fd, card),
		unix.Bind(fd, &unix.SockaddrInet4{Port: clientPort}),
	)
	if err != nil {
		return udpWire{}, errors.Join(err, unix.Close(fd))
	}
	return udpWire{fd}, nil
}

func (w udpWire) send(b []byte) error {
	const serverPort = 67
	return unix.Sendto(w.fd, b, 0, &unix.SockaddrInet4{Port: serverPort, Addr: [4]byte{255, 255, 255, 255}})
}

func (w udpWire) receive(within time.Duration) ([]byte, error) {
	limit := unix.NsecToTimeval(max(within, time.Millisecond).Nanoseconds())
	if err := unix.SetsockoptTimeval(w.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &limit); err != nil {
		return nil, err
	}
	const largest = 1500
	b := make([]byte, largest)
	n, _, err := unix.Recvfrom(w.fd, b, 0)
	if err != nil {
		return nil, err
	}
	return b[:n], nil
}
