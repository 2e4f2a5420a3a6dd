package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ashlar/internal/builder/pipeline"
	"ashlar/internal/machine/qemu"
)

// machines are the targets that `ashlar run` starts here, but for disks, which
// TestExamples starts. Each answers with the example's page.
var machines = []struct {
	row   shown
	flags []string
}{
	{shown{"kernel", "amd64", "kernel and initrd by the emulator, images as disks", "answers HTTP"}, []string{"-m", "128"}},
}

// TestTargets starts the targets of one definition.
func TestTargets(t *testing.T) {
	dir := example(t, "web")
	want, err := os.ReadFile(filepath.Join(dir, "files/var/www/html/index.html"))
	if err != nil {
		t.Fatal(err)
	}
	must(t, "build", dir, "--target", "all")
	for _, m := range machines {
		t.Run(m.row.target+" "+m.row.how, func(t *testing.T) {
			if got := runTarget(t, dir, m.row, m.flags...); got != string(want) {
				t.Errorf("it answers %q", got)
			}
		})
	}
}

// built is what `ashlar build --json` says of a target: its directory, and how
// a machine is started from it.
func built(t *testing.T, dir, target string) (out string, start pipeline.Start) {
	t.Helper()
	var answer pipeline.Artefacts
	if err := json.Unmarshal([]byte(must(t, "--json", "build", dir, "--target", target).stdout), &answer); err != nil {
		t.Fatal(err)
	}
	start, ok := answer.Starts[target]
	if !ok {
		t.Fatalf("the build does not say how %s is started: %+v", target, answer)
	}
	return answer.Dir, start
}

// TestMicroVM starts a machine without PCI and firmware settings, by the plain
// ELF kernel, at an address that only its command line says.
func TestMicroVM(t *testing.T) {
	dir := example(t, "web")
	out, start := built(t, dir, "microvm")
	const address = "10.0.2.77" // DHCP would give 10.0.2.15
	m := boot(t, emulator(t, dir), qemu.Config{
		MicroVM: start.MicroVM, Kernel: filepath.Join(out, start.Kernel), Initrd: filepath.Join(out, start.Initrd), Disk: filepath.Join(out, start.Disk),
		Cmdline:  start.Cmdline + " ip=" + address + "::10.0.2.2:255.255.255.0:little:eth0:off:10.0.2.3",
		Snapshot: true, MemoryMB: 128, NoReboot: true, Publish: []qemu.PortForward{{GuestAddr: address, GuestPort: 80}},
	})
	if status := m.status(); status.Hostname != "little" {
		t.Errorf("the host name is %q", status.Hostname)
	}
	if got := m.get(80, "/"); !strings.Contains(got, "Cut from text") {
		t.Errorf("it answers %q", got)
	}
	m.powerOff()
	page.note(t, shown{"microvm", "amd64", "`-M microvm`: no PCI, no firmware settings, `vmlinux` and `rootfs.ext4`, address by `ip=`", "answers HTTP"})
}
