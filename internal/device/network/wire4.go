package network

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"golang.org/x/sys/unix"
)

// wire4 carries DHCPv4 messages on one interface.
type wire4 interface {
	broadcast(*dhcpv4.DHCPv4) error
	unicast(m *dhcpv4.DHCPv4, from, to netip.Addr) error
	inbox() <-chan *dhcpv4.DHCPv4 // what comes, whomever it is for
	close()
}

// maxPacket4 bounds what is read of a packet: an Ethernet frame's content.
const maxPacket4 = 1500

// packetWire hears on a packet socket: it needs no address, and neither routes
// nor packet filters are in its way.
type packetWire struct {
	file    *os.File
	raw     syscall.RawConn
	iface   *net.Interface
	in      chan *dhcpv4.DHCPv4
	done    chan struct{}
	renewal *net.UDPConn // from the leased address; nil: not used yet
}

func openWire4(iface *net.Interface) (*packetWire, error) {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	err = errors.Join(
		unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, filter4()),
		unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_AUXDATA, 1),
		unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: htons(unix.ETH_P_IP), Ifindex: iface.Index}),
	)
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	w := &packetWire{file: os.NewFile(uintptr(fd), "dhcp"), iface: iface, in: make(chan *dhcpv4.DHCPv4, 8), done: make(chan struct{})}
	if w.raw, err = w.file.SyscallConn(); err != nil {
		w.file.Close()
		return nil, err
	}
	go w.read()
	return w, nil
}

// filter4 passes UDP to the client's port only, and no fragments but the first:
// the code that `tcpdump -dd "udp dst port 68"` makes for packets without an
// Ethernet header.
func filter4() *unix.SockFprog {
	code := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_B | unix.BPF_ABS, K: 9},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: protoUDP, Jf: 6},
		{Code: unix.BPF_LD | unix.BPF_H | unix.BPF_ABS, K: 6},
		{Code: unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K, K: 0x1fff, Jt: 4},
		{Code: unix.BPF_LDX | unix.BPF_B | unix.BPF_MSH, K: 0},
		{Code: unix.BPF_LD | unix.BPF_H | unix.BPF_IND, K: 2},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: clientPort4, Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: maxPacket4},
		{Code: unix.BPF_RET | unix.BPF_K, K: 0},
	}
	return &unix.SockFprog{Len: uint16(len(code)), Filter: &code[0]}
}

// htons gives a number in the order of the net, as the kernel wants it there.
func htons(n uint16) uint16 { return n<<8 | n>>8 }

func (w *packetWire) inbox() <-chan *dhcpv4.DHCPv4 { return w.in }

func (w *packetWire) close() {
	w.file.Close()
	if w.renewal != nil {
		w.renewal.Close()
	}
	<-w.done
}

// read takes packets until the socket is closed. What nobody fetches is lost,
// as on the net.
func (w *packetWire) read() {
	defer close(w.done)
	buf, control := make([]byte, maxPacket4), make([]byte, 128)
	for {
		var n, oob int
		var err error
		wait := w.raw.Read(func(fd uintptr) bool {
			n, oob, _, _, err = unix.Recvmsg(int(fd), buf, control, 0)
			return !errors.Is(err, unix.EAGAIN)
		})
		if wait != nil {
			return // closed
		}
		if err != nil {
			continue // the interface went down (ENETDOWN): said once
		}
		payload, ok := decodeUDP4(buf[:n], unsummed(control[:oob]))
		if !ok {
			continue
		}
		if m, err := dhcpv4.FromBytes(payload); err == nil {
			select {
			case w.in <- m:
			default:
			}
		}
	}
}

// unsummed reads struct tpacket_auxdata (linux/if_packet.h): a sender on this
// machine has left the checksum to hardware that is not there.
func unsummed(control []byte) bool {
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		return false
	}
	for _, m := range messages {
		if m.Header.Level == unix.SOL_PACKET && m.Header.Type == unix.PACKET_AUXDATA && len(m.Data) >= 4 {
			return binary.NativeEndian.Uint32(m.Data)&unix.TP_STATUS_CSUMNOTREADY != 0 // tp_status comes first
		}
	}
	return false
}

func (w *packetWire) broadcast(m *dhcpv4.DHCPv4) error {
	packet := encodeUDP4([4]byte{}, [4]byte{255, 255, 255, 255}, m.ToBytes())
	if from, ok := netip.AddrFromSlice(m.ClientIPAddr); ok {
		packet = encodeUDP4(from.Unmap().As4(), [4]byte{255, 255, 255, 255}, m.ToBytes())
	}
	to := &unix.SockaddrLinklayer{
		Protocol: htons(unix.ETH_P_IP), Ifindex: w.iface.Index,
		Halen: 6, Addr: [8]byte{255, 255, 255, 255, 255, 255},
	}
	var err error
	wait := w.raw.Write(func(fd uintptr) bool {
		err = unix.Sendto(int(fd), packet, 0, to)
		return !errors.Is(err, unix.EAGAIN)
	})
	if err := errors.Join(wait, err); err != nil {
		return fmt.Errorf("send %s: %w", m.MessageType(), err)
	}
	return nil
}

// unicast sends by an ordinary socket, so that the kernel finds the way to the
// server. The answer comes by the packet socket, too.
func (w *packetWire) unicast(m *dhcpv4.DHCPv4, from, to netip.Addr) error {
	if w.renewal == nil {
		config := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
			var err error
			return errors.Join(c.Control(func(fd uintptr) { err = unix.BindToDevice(int(fd), w.iface.Name) }), err)
		}}
		conn, err := config.ListenPacket(context.Background(), "udp4", netip.AddrPortFrom(from, clientPort4).String())
		if err != nil {
			return fmt.Errorf("send %s: %w", m.MessageType(), err)
		}
		w.renewal = conn.(*net.UDPConn)
	}
	if _, err := w.renewal.WriteToUDPAddrPort(m.ToBytes(), netip.AddrPortFrom(to, serverPort4)); err != nil {
		return fmt.Errorf("send %s: %w", m.MessageType(), err)
	}
	return nil
}
