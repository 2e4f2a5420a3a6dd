package network

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"ashlar/internal/testenv"
)

// childVariable tells a process that it is the one in the namespaces.
const childVariable = "ASHLAR_NETWORK_TEST_CHILD"

// TestMain lets more tests wait at once than there are processors.
func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", "8"); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	os.Exit(m.Run())
}

// inNamespaces runs the test once more in a process with namespaces of its own
// for network, mounts and processes (servers die with it), and gives false
// there. Tests of this kind wait most of the time, so they run side by side.
func inNamespaces(t *testing.T) (parent bool) {
	t.Helper()
	if os.Getenv(childVariable) != "" {
		prepareChild(t)
		return false
	}
	t.Parallel()
	cmd := exec.Command("/proc/self/exe", "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=55s")
	cmd.Env = append(os.Environ(), childVariable+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET | unix.CLONE_NEWNS | unix.CLONE_NEWPID, Pdeathsig: syscall.SIGKILL}
	if os.Geteuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= unix.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		testenv.Lack(t, "needs namespaces: %v", err)
	}
	switch err := cmd.Wait(); {
	case err != nil:
		t.Errorf("in namespaces: %v\n%s", err, out.String())
	case strings.Contains(out.String(), "--- SKIP"):
		testenv.Lack(t, "in namespaces: %s", out.String())
	case !strings.Contains(out.String(), "--- PASS: "+t.Name()):
		t.Errorf("in namespaces nothing ran:\n%s", out.String())
	}
	return true
}

func prepareChild(t *testing.T) {
	t.Helper()
	err := errors.Join(
		unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""),
		unix.Mount("proc", "/proc", "proc", 0, ""),
		unix.Mount("sysfs", "/sys", "sysfs", 0, ""),
	)
	if err != nil {
		testenv.Lack(t, "needs mounts in a namespace: %v", err)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// far is a network namespace where servers are: a thread that never leaves it.
type far struct {
	t   *testing.T
	do  chan func()
	fd  int
	dir string
}

func newFar(t *testing.T) *far {
	t.Helper()
	f := &far{t: t, do: make(chan func()), dir: t.TempDir()}
	ready := make(chan error)
	go func() {
		runtime.LockOSThread() // for ever: the thread ends with the goroutine
		err := unix.Unshare(unix.CLONE_NEWNET)
		if err == nil {
			f.fd, err = unix.Open(fmt.Sprintf("/proc/self/task/%d/ns/net", unix.Gettid()), unix.O_RDONLY|unix.O_CLOEXEC, 0)
		}
		ready <- err
		for do := range f.do {
			do()
		}
	}()
	must(t, <-ready)
	f.run(func() error {
		lo, err := netlink.LinkByName("lo")
		if err != nil {
			return err
		}
		return netlink.LinkSetUp(lo)
	})
	return f
}

// run calls what is to be done over there.
func (f *far) run(do func() error) {
	f.t.Helper()
	done := make(chan error)
	f.do <- func() { done <- do() }
	must(f.t, <-done)
}

// plug makes a pair of interfaces: near here, peer over there, with addresses.
func (f *far) plug(near, peer string, addrs ...string) {
	f.t.Helper()
	attrs := netlink.NewLinkAttrs()
	attrs.Name = near
	must(f.t, netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: peer}))
	link, err := netlink.LinkByName(peer)
	must(f.t, err)
	must(f.t, netlink.LinkSetNsFd(link, f.fd))
	f.run(func() error { return setConf6(peer, "accept_dad", "0") }) // servers want their addresses at once
	f.address(peer, addrs...)
	f.cable(peer, true)
}

func (f *far) address(peer string, addrs ...string) {
	f.t.Helper()
	f.run(func() error {
		link, err := netlink.LinkByName(peer)
		if err != nil {
			return err
		}
		old, err := netlink.AddrList(link, netlink.FAMILY_V4)
		for _, a := range old {
			err = netlink.AddrDel(link, &a)
		}
		for _, text := range addrs {
			addr, parseErr := netlink.ParseAddr(text)
			if parseErr != nil {
				return parseErr
			}
			err = netlink.AddrReplace(link, addr)
		}
		return err
	})
}

// pull takes the cable out and waits until that is known here: the kernel tells
// of no more than one change a second, and of none that is undone by then.
func (f *far) pull(near, peer string) {
	f.t.Helper()
	f.cable(peer, false)
	eventually(f.t, func() error {
		link, err := netlink.LinkByName(near)
		if err == nil && link.Attrs().OperState == netlink.OperUp {
			err = fmt.Errorf("%s is up", near)
		}
		return err
	})
}

func (f *far) cable(peer string, in bool) {
	f.t.Helper()
	f.run(func() error {
		link, err := netlink.LinkByName(peer)
		if err != nil {
			return err
		}
		if in {
			return netlink.LinkSetUp(link)
		}
		return netlink.LinkSetDown(link)
	})
}

// server is a foreign program over there, with what it has said.
type server struct {
	t   *testing.T
	cmd *exec.Cmd
	mu  sync.Mutex
	out bytes.Buffer
}

func (s *server) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.out.Write(b)
}

func (s *server) log() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.out.String()
}

func (f *far) start(path string, args ...string) *server {
	f.t.Helper()
	s := &server{t: f.t, cmd: exec.Command(path, args...)}
	s.cmd.Stdout, s.cmd.Stderr = s, s
	f.run(s.cmd.Start)
	f.t.Cleanup(s.kill)
	return s
}

func (s *server) kill() {
	if s.cmd.ProcessState == nil {
		s.cmd.Process.Kill()
		s.cmd.Wait()
	}
	if s.t.Failed() {
		s.t.Logf("%s said:\n%s", filepath.Base(s.cmd.Path), s.log())
		s.out.Reset()
	}
}

// dnsmasq serves on the interface.
func (f *far) dnsmasq(peer string, args ...string) *server {
	f.t.Helper()
	path := testenv.RequireTool(f.t, "dnsmasq")
	s := f.start(path, append([]string{
		"--no-daemon", "--conf-file=/dev/null", "--user=root", "--group=root", "--port=0", "--interface=" + peer,
		"--bind-interfaces", "--log-dhcp", "--log-facility=-", "--no-ping", "--pid-file=",
		"--dhcp-leasefile=" + filepath.Join(f.dir, peer+".leases"),
	}, args...)...)
	s.await("started", 1)
	return s
}

// await waits until the server has said something so often.
func (s *server) await(what string, times int) {
	s.t.Helper()
	eventually(s.t, func() error {
		if n := strings.Count(s.log(), what); n < times {
			return fmt.Errorf("the server has said %q %d times, want %d", what, n, times)
		}
		return nil
	})
}

// eventually asks until there is no error.
func eventually(t testing.TB, check func() error) {
	t.Helper()
	const limit, pause = 25 * time.Second, 20 * time.Millisecond
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	for {
		err := check()
		if err == nil {
			return
		}
		if !sleep(ctx, pause) {
			t.Fatalf("within %s: %v", limit, err)
		}
	}
}

// addresses gives those of an interface that are there for use, without
// link-local ones.
func addresses(t testing.TB, name string) (list []netip.Prefix) {
	t.Helper()
	link, err := netlink.LinkByName(name)
	must(t, err)
	addrs, err := netlink.AddrList(link, netlink.FAMILY_ALL)
	must(t, err)
	for _, a := range addrs {
		ip, _ := netip.AddrFromSlice(a.IP)
		ones, _ := a.Mask.Size()
		if !ip.IsLinkLocalUnicast() && a.Flags&unix.IFA_F_TENTATIVE == 0 {
			list = append(list, netip.PrefixFrom(ip.Unmap(), ones))
		}
	}
	return list
}

// address4 waits for an address in the range.
func addressIn(t testing.TB, name, within string) (got netip.Prefix) {
	t.Helper()
	want := netip.MustParsePrefix(within)
	eventually(t, func() error {
		list := addresses(t, name)
		for _, got = range list {
			if want.Contains(got.Addr()) {
				return nil
			}
		}
		return fmt.Errorf("%s has %v, want one in %s", name, list, within)
	})
	return got
}

func noAddressIn(t testing.TB, name, within string) {
	t.Helper()
	eventually(t, func() error {
		for _, a := range addresses(t, name) {
			if netip.MustParsePrefix(within).Contains(a.Addr()) {
				return fmt.Errorf("%s still has %s", name, a)
			}
		}
		return nil
	})
}

// routes gives the routes of a family as "DESTINATION via GATEWAY dev NAME",
// without those that come with addresses.
func routes(t testing.TB, family int) (list []string) {
	t.Helper()
	all, err := netlink.RouteList(nil, family)
	must(t, err)
	for _, r := range all {
		iface, err := net.InterfaceByIndex(r.LinkIndex)
		if err != nil || r.Protocol == unix.RTPROT_KERNEL || iface.Name == "lo" {
			continue
		}
		to := "default"
		if ones, _ := r.Dst.Mask.Size(); ones > 0 {
			to = r.Dst.String()
		}
		if r.Gw != nil {
			to += " via " + r.Gw.String()
		}
		list = append(list, to+" dev "+iface.Name)
	}
	return list
}

// routesAre waits until these are all the routes of a family, sorted.
func routesAre(t testing.TB, family int, want ...string) {
	t.Helper()
	eventually(t, func() error {
		got := routes(t, family)
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			return fmt.Errorf("routes are %q, want %q", got, want)
		}
		return nil
	})
}

// fileSays waits until a file is as it should be.
func fileSays(t testing.TB, path, want string) {
	t.Helper()
	eventually(t, func() error {
		got, err := os.ReadFile(path)
		if err != nil || string(got) != want {
			return fmt.Errorf("%s: got %q (%v), want %q", path, got, err, want)
		}
		return nil
	})
}
