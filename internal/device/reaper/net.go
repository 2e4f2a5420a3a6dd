package reaper

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// cardWait bounds how long a network card may take to appear.
const cardWait = 10 * time.Second

// findCard gives the card of the name, or the first by name below dir that is
// Ethernet, as soon as there is one.
func findCard(dir, name string, most time.Duration) (string, error) {
	const step = 10 * time.Millisecond
	for waited := time.Duration(0); ; waited += step {
		entries, err := os.ReadDir(dir) // sorted
		if err != nil {
			return "", fmt.Errorf("find network card: %w", err)
		}
		for _, e := range entries {
			const ethernet = "1" // ARPHRD_ETHER
			kind, err := os.ReadFile(filepath.Join(dir, e.Name(), "type"))
			if e.Name() == name || name == "" && err == nil && strings.TrimSpace(string(kind)) == ethernet {
				return e.Name(), nil
			}
		}
		if waited >= most {
			return "", fmt.Errorf("find network card %s: there is none", name)
		}
		time.Sleep(step)
	}
}

// withSocket calls do with a socket for requests about interfaces.
func withSocket(do func(fd int) error) (err error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open socket: %w", err)
	}
	defer func() { err = errors.Join(err, unix.Close(fd)) }()
	return do(fd)
}

func loopbackUp() error {
	return withSocket(func(fd int) error { return setUp(fd, "lo") })
}

// setUp brings an interface up.
func setUp(fd int, name string) error {
	req, err := unix.NewIfreq(name)
	if err != nil {
		return err
	}
	if err := unix.IoctlIfreq(fd, unix.SIOCGIFFLAGS, req); err != nil {
		return fmt.Errorf("ask for flags of %s: %w", name, err)
	}
	req.SetUint16(req.Uint16() | unix.IFF_UP)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, req); err != nil {
		return fmt.Errorf("bring %s up: %w", name, err)
	}
	return nil
}

// setAddress gives a card its one IPv4 address and, if the gateway is valid,
// the default route.
func setAddress(card string, address netip.Prefix, gateway netip.Addr) error {
	if !address.Addr().Is4() || gateway.IsValid() && !gateway.Is4() {
		return fmt.Errorf("set address %s: the reaper sets IPv4 addresses only", address)
	}
	return withSocket(func(fd int) error {
		mask := netip.AddrFrom4(maskOf(address.Bits()))
		for _, row := range []struct {
			what    string
			request uint
			address netip.Addr
		}{{"address", unix.SIOCSIFADDR, address.Addr()}, {"netmask", unix.SIOCSIFNETMASK, mask}} {
			req, err := unix.NewIfreq(card)
			if err != nil {
				return err
			}
			bytes := row.address.As4()
			if err := errors.Join(req.SetInet4Addr(bytes[:]), unix.IoctlIfreq(fd, row.request, req)); err != nil {
				return fmt.Errorf("set %s of %s to %s: %w", row.what, card, row.address, err)
			}
		}
		if err := setUp(fd, card); err != nil || !gateway.IsValid() {
			return err
		}
		return addDefaultRoute(fd, gateway)
	})
}

func maskOf(bits int) [4]byte {
	word := ^uint32(0) << (32 - bits)
	if bits == 0 {
		word = 0
	}
	return [4]byte{byte(word >> 24), byte(word >> 16), byte(word >> 8), byte(word)}
}

// rtentry is the kernel's struct of that name (linux/route.h).
type rtentry struct {
	_              uintptr
	dst, gate, net unix.RawSockaddrInet4
	flags          uint16
	_              int16
	_, _           uintptr
	metric         int16
	device         *byte
	mtu, window    uintptr
	irtt           uint16
}

func addDefaultRoute(fd int, gateway netip.Addr) error {
	const up, viaGateway = 1, 2 // RTF_UP, RTF_GATEWAY
	any4 := unix.RawSockaddrInet4{Family: unix.AF_INET}
	route := rtentry{dst: any4, net: any4, flags: up | viaGateway}
	route.gate = unix.RawSockaddrInet4{Family: unix.AF_INET, Addr: gateway.As4()}
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCADDRT, uintptr(unsafe.Pointer(&route)))
	if errno != 0 && errno != unix.EEXIST {
		return fmt.Errorf("add route by %s: %w", gateway, errno)
	}
	return nil
}

// writeResolver writes the name servers where the image's /etc/resolv.conf
// points, or that file itself where there is none.
func writeResolver(path string, servers []netip.Addr) error {
	if len(servers) == 0 {
		return nil
	}
	var text strings.Builder
	for _, s := range servers {
		fmt.Fprintf(&text, "nameserver %s\n", s)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, []byte(text.String()), 0o644)
}
