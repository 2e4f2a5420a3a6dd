// Init is the whole user space of a test machine: it says its command line on
// the console, answers on the agent port and on TCP port 80, and powers off.
//
// The command line says what it does: "guest.poweroff" at once,
// "guest.agent" after the agent port asked for it.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"ashlar/internal/contract/control"
	"ashlar/internal/contract/layout"
)

func main() {
	if err := run(); err != nil {
		fmt.Println("guest: error:", err)
	}
	unix.Sync()
	if err := unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF); err != nil {
		fmt.Println("guest: power off:", err)
	}
	select {}
}

func run() error {
	for _, m := range []struct{ kind, at string }{{"proc", "/proc"}, {"sysfs", "/sys"}, {"devtmpfs", "/dev"}} {
		if err := os.MkdirAll(m.at, 0o755); err != nil {
			return err
		}
		if err := unix.Mount(m.kind, m.at, m.kind, 0, ""); err != nil {
			return fmt.Errorf("mount %s: %w", m.at, err)
		}
	}
	cmdline, err := os.ReadFile("/proc/cmdline")
	if err != nil {
		return err
	}
	_, uefi := os.Stat("/sys/firmware/efi")
	fmt.Printf("guest: cmdline %s uefi=%t secure=%t disk=%s\n", strings.TrimSpace(string(cmdline)), uefi == nil, secureBoot(), diskSize())
	if !strings.Contains(string(cmdline), "guest.agent") {
		return nil
	}
	if err := network(); err != nil {
		return err
	}
	return agent()
}

// secureBoot reads the EFI variable: 4 bytes of attributes, then 1.
func secureBoot() bool {
	modules("efivarfs")
	if unix.Mount("efivarfs", "/sys/firmware/efi/efivars", "efivarfs", 0, "") != nil {
		return false
	}
	value, err := os.ReadFile("/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c")
	return err == nil && len(value) == 5 && value[4] == 1
}

func diskSize() string {
	modules("virtio_blk")
	sectors, err := os.ReadFile("/sys/block/vda/size")
	if err != nil {
		return "none"
	}
	return strings.TrimSpace(string(sectors))
}

// modules loads /modules/NAME.ko.xz; the kernel unpacks them.
func modules(names ...string) {
	const compressed = 4 // MODULE_INIT_COMPRESSED_FILE
	for _, name := range names {
		file, err := os.Open("/modules/" + name + ".ko.xz")
		if err != nil {
			fmt.Println("guest:", err)
			continue
		}
		if err := unix.FinitModule(int(file.Fd()), "", compressed); err != nil {
			fmt.Println("guest: load", name, err)
		}
		file.Close()
	}
}

func network() error {
	modules("failover", "net_failover", "virtio_net")
	link, err := netlink.LinkByName("eth0")
	if err != nil {
		return err
	}
	address, err := netlink.ParseAddr("10.0.2.15/24")
	if err != nil {
		return err
	}
	if err := netlink.AddrAdd(link, address); err != nil {
		return err
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return err
	}
	listener, err := net.Listen("tcp", ":80")
	if err != nil {
		return err
	}
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			fmt.Fprint(conn, "hello from the guest\n")
			conn.Close()
		}
	}()
	return nil
}

func agent() error {
	names, err := filepath.Glob("/sys/class/virtio-ports/*/name")
	if err != nil {
		return err
	}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err == nil && strings.TrimSpace(string(text)) == layout.AgentPort {
			return serve("/dev/" + filepath.Base(filepath.Dir(name)))
		}
	}
	return fmt.Errorf("no port %s among %q", layout.AgentPort, names)
}

func serve(device string) error {
	port, err := os.OpenFile(device, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer port.Close()
	lines := bufio.NewScanner(port)
	for lines.Scan() {
		var request control.Request
		response := control.Response{}
		if err := json.Unmarshal(lines.Bytes(), &request); err != nil {
			return err
		}
		switch request.Op {
		case control.OpStatus:
			response.Status = &control.Status{Name: "guest"}
		case control.OpPS, control.OpReady:
			response.Services = []control.Service{{Name: "one", State: control.StateRunning}}
		case control.OpLogs:
			response.Text = "log of " + request.Service
		case control.OpPowerOff:
		case control.OpRestart: // so late that tests give it up
			time.Sleep(2 * time.Second)
			response.Error = "too late"
		default:
			response.Error = "cannot " + request.Op
		}
		line, err := json.Marshal(response)
		if err != nil {
			return err
		}
		if _, err := port.Write(append(line, '\n')); err != nil {
			return err
		}
		if request.Op == control.OpPowerOff {
			return nil
		}
	}
	return lines.Err()
}
