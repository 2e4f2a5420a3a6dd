package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"ashlar/internal/machine/qemu"
)

// handInit is /init of the initramfs made by hand.
const handInit = `#!/bin/busybox sh
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sysfs /sys
/bin/busybox mount -t devtmpfs devtmpfs /dev
for m in failover net_failover virtio_net; do /bin/busybox insmod /$m.ko; done
/bin/busybox ifconfig lo 127.0.0.1
/bin/busybox ifconfig eth0 10.0.2.15 netmask 255.255.255.0
/bin/busybox route add default gw 10.0.2.2
exec /usr/bin/app
`

// makeByHand does what one does without ashlar.
func makeByHand(ctx context.Context, dir, to string) (string, error) {
	busybox, err := run(ctx, "", "sh", "-c", "command -v busybox")
	if err != nil {
		return "", fmt.Errorf("find busybox: %w", err)
	}
	script := `set -e
mkdir -p "$3/bin" "$3/usr/bin" "$3/proc" "$3/sys" "$3/dev"
cp "$2" "$3/bin/busybox"
cp "$1/app" "$3/usr/bin/app"
unsquashfs -q -n -f -d "$3.modules" "$1/out/modules.img" >/dev/null
for m in failover net_failover virtio_net; do
  xz -dc "$(find "$3.modules" -name "$m.ko.xz")" > "$3/$m.ko"
done
cp "$4" "$3/init"
chmod 755 "$3/init"
cd "$3"
find . | LC_ALL=C sort | cpio -o -H newc -R 0:0 --quiet | zstd -q -19 -o "$3.img"
`
	initFile := to + ".init"
	if err := os.WriteFile(initFile, []byte(handInit), 0o755); err != nil {
		return "", err
	}
	_, err = run(ctx, "", "sh", "-c", script, "sh", dir, strings.TrimSpace(busybox), to, initFile)
	return filepath.Clean(to + ".img"), err
}

// answer starts a machine and gives what its kernel's clock says, in seconds,
// when it answers for the first time.
func answer(ctx context.Context, emulator *qemu.Emulator, kernel, initrd string, wall bool) (seconds float64, err error) {
	const patience = 3 * time.Minute
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	clock := []string{"-icount", "shift=4"}
	if wall {
		clock = nil
	}
	vm, err := emulator.Start(ctx, qemu.Config{
		Args:   clock,
		Kernel: kernel, Initrd: initrd, Cmdline: cmdline, MemoryMB: 256, NoReboot: true, Publish: []qemu.PortForward{{GuestPort: 80}},
	})
	if err != nil {
		return 0, err
	}
	defer func() {
		if closeErr := vm.Close(); err == nil {
			err = closeErr
		}
	}()
	// The emulator takes a connection before the guest does; a new one is
	// asked for soon, so that none is waited for that came too early.
	const try, pause = 250 * time.Millisecond, 10 * time.Millisecond
	client := http.Client{Timeout: try, Transport: &http.Transport{DisableKeepAlives: true, DialContext: (&net.Dialer{Timeout: try}).DialContext}}
	for {
		if text, err := get(client, "http://"+vm.ForwardedAddr(80)+"/"); err == nil {
			return strconv.ParseFloat(strings.TrimSpace(text), 64)
		}
		select {
		case <-time.After(pause):
		case <-vm.Done():
			return 0, fmt.Errorf("the machine has stopped\n%s", vm.SerialLog())
		case <-ctx.Done():
			return 0, fmt.Errorf("no answer: %w\n%s", ctx.Err(), vm.SerialLog())
		}
	}
}

func get(client http.Client, url string) (string, error) {
	resp, err := client.Get(url)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, 100))
	return string(data), err
}
