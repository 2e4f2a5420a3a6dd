package e2e

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ashlar/internal/builder/pipeline"
	"ashlar/internal/machine/qemu"
	"ashlar/internal/testenv"
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
	t.Run("read back", func(t *testing.T) { rootReadBack(t, dir) })
	t.Run("tar", func(t *testing.T) { tarRead(t, filepath.Join(dir, "out")) })
	t.Run("microvm", func(t *testing.T) { microFiles(t, filepath.Join(dir, "out")) })
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

// rootReadBack: targets made of the root that was assembled and of the one that
// is read back from its image have the same bytes.
func rootReadBack(t *testing.T, dir string) {
	want := sums(t, dir)
	names := []string{"rootfs.tar.zst", "rootfs.ext4", "oci.tar"}
	for _, name := range names {
		if err := os.Remove(filepath.Join(dir, "out", name)); err != nil {
			t.Fatal(err)
		}
	}
	var answer pipeline.Artefacts
	if err := json.Unmarshal([]byte(must(t, "--json", "build", dir, "--target", "all").stdout), &answer); err != nil {
		t.Fatal(err)
	}
	for _, s := range answer.Steps {
		if made := slices.Contains([]string{"target tar", "target microvm", "target oci"}, s.Name); s.Made != made {
			t.Errorf("step %s was made: %t", s.Name, s.Made)
		}
	}
	if got := sums(t, dir); got != want {
		t.Errorf("the sums were\n%s\nand are\n%s", want, got)
	}
	for _, l := range answer.LeftOut {
		if l.Target != "initramfs" && l.Target != "uki" {
			t.Errorf("%s is left out of all: %s", l.Target, l.Reason)
		}
	}
}

// tarRead asks two programs what the archive holds.
func tarRead(t *testing.T, out string) {
	archive := filepath.Join(out, "rootfs.tar.zst")
	testenv.RequireTool(t, "zstd")
	var lists [2]string
	for n, command := range [][]string{{testenv.RequireTool(t, "tar"), "--zstd", "-tf", archive}, {testenv.RequireTool(t, "bsdtar"), "-tf", archive}} {
		text, err := exec.Command(command[0], command[1:]...).Output()
		if err != nil {
			t.Fatalf("%v: %v", command, err)
		}
		lists[n] = string(text)
	}
	if lists[0] != lists[1] || !strings.Contains(lists[0], "usr/sbin/nginx\n") {
		t.Errorf("tar and bsdtar list %d and %d bytes", len(lists[0]), len(lists[1]))
	}
	page.note(t, shown{"tar", "amd64", "read by GNU tar and bsdtar", "the whole root"})
}

// microFiles reads what no monitor here is asked: what Firecracker is told, the
// file system, the kernel, the script.
func microFiles(t *testing.T, out string) {
	for _, command := range [][]string{
		{testenv.RequireTool(t, "e2fsck"), "-fn", filepath.Join(out, "rootfs.ext4")},
		{testenv.RequireTool(t, "readelf"), "-hln", filepath.Join(out, "vmlinux")},
		{testenv.RequireTool(t, "sh"), "-n", filepath.Join(out, "qemu-microvm.sh")},
	} {
		if text, err := exec.Command(command[0], command[1:]...).CombinedOutput(); err != nil {
			t.Errorf("%v: %v\n%s", command, err, text)
		}
	}
	jq := testenv.RequireTool(t, "jq")
	const query = `[."boot-source".kernel_image_path, ."boot-source".initrd_path, .drives[].path_on_host] | .[]`
	for name, want := range map[string]string{"firecracker.json": "vmlinux initrd rootfs.ext4", "firecracker-images.json": "vmlinux initrd root.img modules.img"} {
		text, err := exec.Command(jq, "-r", query, filepath.Join(out, name)).Output()
		if got := strings.Join(strings.Fields(string(text)), " "); err != nil || got != want {
			t.Errorf("%s names %q, %v; want %q", name, got, err, want)
		}
		for file := range strings.FieldsSeq(want) {
			if _, err := os.Stat(filepath.Join(out, file)); err != nil {
				t.Error(err)
			}
		}
	}
	page.note(t, shown{"microvm", "amd64", "Firecracker's configuration read by jq, as there is no KVM here", "names files that are there"})
}
