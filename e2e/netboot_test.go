package e2e

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"ashlar/internal/machine/qemu"
)

// TestNetboot starts a machine without disks, whose images a server of this
// host gives it: the first answer breaks off, and is gone on with.
func TestNetboot(t *testing.T) {
	dir := example(t, "web")
	must(t, "build", dir, "--target", "netboot")
	out := filepath.Join(dir, "out")
	files := http.FileServer(http.Dir(out))
	var broken atomic.Bool
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		const enough = 1 << 20
		if r.URL.Path == "/root.img" && !broken.Swap(true) {
			w = &breaking{w, enough}
		}
		files.ServeHTTP(w, r)
	}))
	defer server.Close()
	line, err := os.ReadFile(filepath.Join(out, "netboot.cmdline"))
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := strings.Cut(strings.TrimPrefix(server.URL, "http://"), ":")
	cmdline := strings.Replace(strings.TrimSpace(string(line)), "http://SERVER/DIRECTORY/", "http://10.0.2.2:"+port+"/", 1)
	m := boot(t, emulator(t, dir), qemu.Config{
		Kernel: filepath.Join(out, "vmlinuz"), Initrd: filepath.Join(out, "netboot.img"), Cmdline: cmdline, MemoryMB: 384, NoReboot: true,
		Publish: []qemu.PortForward{{GuestPort: 80}},
	})
	pageFirst(t, dir, m)
	if log := string(m.SerialLog()); !strings.Contains(log, "unexpected EOF after ") {
		t.Errorf("no transfer was gone on with:\n%s", log)
	}
	m.powerOff()
	page.note(t, shown{"netboot", "amd64", "kernel and initramfs by the emulator, images from a web server", "answers HTTP"})
}

// breaking passes a number of bytes on and then breaks the connection.
type breaking struct {
	http.ResponseWriter
	left int
}

func (b *breaking) Write(p []byte) (int, error) {
	n, err := b.ResponseWriter.Write(p[:min(len(p), b.left)])
	if b.left -= n; b.left == 0 {
		panic(http.ErrAbortHandler)
	}
	return n, err
}

// TestServerInOneFile starts a whole server from one file.
func TestServerInOneFile(t *testing.T) {
	dir := example(t, "web")
	replace(t, filepath.Join(dir, "ashlar.toml"), "[base]\n", "targets = [\"uki\"]\n\n[base]\n")
	must(t, "lock", dir)
	want, err := os.ReadFile(filepath.Join(dir, "files/var/www/html/index.html"))
	if err != nil {
		t.Fatal(err)
	}
	if got := runTarget(t, dir, shown{"uki", "amd64", "a whole server, by UEFI", "answers HTTP"}); got != string(want) {
		t.Errorf("it answers %q", got)
	}
}
