package e2e

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ashlar/internal/builder/target"
	"ashlar/internal/contract/control"
	"ashlar/internal/contract/layout"
	"ashlar/internal/foundation/tree"
	"ashlar/internal/machine/qemu"
	"ashlar/internal/testenv"
)

// bootPatience bounds a boot under software emulation on a busy machine.
const bootPatience = 5 * time.Minute

// machineUnderTest is a booted example.
type machineUnderTest struct {
	*qemu.VM
	t     *testing.T
	agent *qemu.AgentClient
}

// boot starts a machine and waits until every service is ready.
func boot(t *testing.T, e *qemu.Emulator, c qemu.Config) *machineUnderTest {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), bootPatience)
	defer cancel()
	vm, err := e.Start(t.Context(), c) // its end is the machine's
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := vm.Close(); err != nil {
			t.Error(err)
		}
	})
	agent, err := vm.Agent(ctx)
	if err != nil {
		t.Fatal(err)
	}
	services, err := agent.Ready(ctx, bootPatience)
	if err != nil {
		t.Fatalf("%v\n%s", err, vm.SerialLog())
	}
	for _, s := range services {
		if s.State != control.StateRunning && s.State != control.StateDone {
			log, _ := agent.Logs(ctx, s.Name)
			t.Fatalf("service %s is %s %s\n%s\n%s", s.Name, s.State, s.Exit, log, vm.SerialLog())
		}
	}
	return &machineUnderTest{vm, t, agent}
}

// powerOff ends the machine in order.
func (m *machineUnderTest) powerOff() {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(m.t.Context(), bootPatience)
	defer cancel()
	if err := m.agent.PowerOff(ctx); err != nil {
		m.t.Fatal(err)
	}
	if err := m.Wait(ctx); err != nil {
		m.t.Fatalf("%v\n%s", err, m.SerialLog())
	}
}

func (m *machineUnderTest) status() *control.Status {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(m.t.Context(), bootPatience)
	defer cancel()
	s, err := m.agent.Status(ctx)
	if err != nil {
		m.t.Fatalf("%v\n%s", err, m.SerialLog())
	}
	return s
}

func (m *machineUnderTest) service(name string) control.Service {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(m.t.Context(), bootPatience)
	defer cancel()
	services, err := m.agent.PS(ctx)
	if err != nil {
		m.t.Fatal(err)
	}
	for _, s := range services {
		if s.Name == name {
			return s
		}
	}
	m.t.Fatalf("no service %s in %v", name, services)
	return control.Service{}
}

// eventually tries until it succeeds or a minute is over.
func eventually(t *testing.T, what string, try func() error) {
	t.Helper()
	var err error
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		if err = try(); err == nil {
			return
		}
	}
	t.Fatalf("%s: %v", what, err)
}

// get fetches a page of the machine's port.
func (m *machineUnderTest) get(port int, path string) string {
	m.t.Helper()
	var body string
	eventually(m.t, "get "+path, func() error {
		client := http.Client{Timeout: 20 * time.Second}
		resp, err := client.Get("http://" + m.ForwardedAddr(port) + path)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		data, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
		if err == nil && resp.StatusCode != http.StatusOK {
			err = fmt.Errorf("answers %s", resp.Status)
		}
		body = string(data)
		return err
	})
	return body
}

// uefiMemory is the least memory, in MiB, of machines that start by OVMF.
const uefiMemory = 256

// firmwares are the two ways in which every example must boot.
var firmwares = []qemu.Firmware{qemu.BIOS, qemu.UEFI}

// exampleTest says what is asked of a booted example, and what of the same
// machine after it was powered off and started again.
type exampleTest struct {
	name   string
	ports  []int
	memory int
	adapt  func(t *testing.T, dir string) // changes the copy before it is built
	first  func(t *testing.T, dir string, m *machineUnderTest) (memory string)
	second func(t *testing.T, dir string, m *machineUnderTest, memory string)
	kept   func(t *testing.T, state *tree.Tree) // what both boots left on the state partition
}

var exampleTests = []exampleTest{
	{name: "web", ports: []int{80}, memory: 128, first: webFirst, second: pageAgain, kept: logKept},
	{name: "ssh", ports: []int{22}, memory: 256, adapt: declareKey, first: sshFirst, second: sshSecond},
	{name: "git", ports: []int{22}, memory: 256, adapt: declareKey, first: gitFirst, second: gitSecond},
	{name: "app", ports: []int{8080}, memory: 128, first: appFirst, second: appAgain},
	{name: "systemd", ports: []int{80}, memory: 512, first: pageFirst, second: pageAgain, kept: logKept},
}

// TestExamples boots every example on BIOS and on UEFI, and the BIOS machine a
// second time with the disk it left.
func TestExamples(t *testing.T) {
	for _, x := range exampleTests {
		t.Run(x.name, func(t *testing.T) {
			dir := example(t, x.name)
			if x.adapt != nil {
				x.adapt(t, dir)
			}
			must(t, "build", dir)
			e := emulator(t, dir)
			for _, firmware := range firmwares {
				t.Run(string(firmware), func(t *testing.T) { bootTwice(t, e, x, dir, firmware) })
			}
		})
	}
}

func bootTwice(t *testing.T, e *qemu.Emulator, x exampleTest, dir string, firmware qemu.Firmware) {
	disk := filepath.Join(t.TempDir(), "disk.img")
	copySparse(t, filepath.Join(dir, "out", "disk.img"), disk)
	const grown = 2 << 30
	config := qemu.Config{Disk: disk, DiskSize: grown, Firmware: firmware, MemoryMB: x.memory, NoReboot: true}
	if firmware == qemu.UEFI {
		// OVMF itself keeps so much of 128 MB that GRUB cannot load Debian's kernel.
		config.MemoryMB = max(config.MemoryMB, uefiMemory)
	}
	for _, port := range x.ports {
		config.Publish = append(config.Publish, qemu.PortForward{GuestPort: port})
	}
	m := boot(t, e, config)
	before := m.status()
	const leastState = 1 << 30
	if before.StateBytes < leastState {
		t.Errorf("the state file system has %d bytes: it did not grow to the disk of %d", before.StateBytes, grown)
	}
	memory := x.first(t, dir, m)
	m.powerOff()
	if x.name == "web" {
		page.note(t, shown{"disk", "amd64", "by " + strings.ToUpper(string(firmware)), "answers HTTP"})
	}
	if firmware != qemu.BIOS {
		return // the second boot is the same one: once is enough
	}
	m = boot(t, e, config)
	after := m.status()
	if after.MachineID == "" || after.MachineID != before.MachineID {
		t.Errorf("machine-id %q became %q", before.MachineID, after.MachineID)
	}
	if after.BootID == before.BootID {
		t.Errorf("boot id %q twice", after.BootID)
	}
	x.second(t, dir, m, memory)
	m.powerOff()
	state := leftState(t, disk)
	if x.kept != nil {
		x.kept(t, state)
	}
}

// leftState opens the state file system of a disk that a machine has left, and
// asks e2fsck about it.
func leftState(t *testing.T, disk string) *tree.Tree {
	t.Helper()
	f, err := os.Open(disk)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	d, err := target.OpenDisk(f, info.Size())
	if err != nil {
		t.Fatal(err)
	}
	part := d.Find(layout.PartState)
	if part == nil || part.Tree == nil {
		t.Fatalf("the disk has no readable %s", layout.PartState)
	}
	fsck := testenv.RequireTool(t, "e2fsck")
	if out, err := exec.Command(fsck, "-fn", fmt.Sprintf("%s?offset=%d", disk, part.Offset)).CombinedOutput(); err != nil {
		t.Errorf("e2fsck of the state after power-off: %v\n%s", err, out)
	}
	return part.Tree
}

func webFirst(t *testing.T, dir string, m *machineUnderTest) string {
	pageFirst(t, dir, m)
	// A killed service comes back.
	before := m.service("nginx")
	ctx, cancel := context.WithTimeout(t.Context(), bootPatience)
	defer cancel()
	if _, err := m.agent.Do(ctx, control.Request{Op: control.OpSignal, Service: "nginx", Signal: "SIGKILL"}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "nginx started again", func() error {
		s := m.service("nginx")
		if s.PID == before.PID || s.State != control.StateRunning || s.Restarts != before.Restarts+1 {
			return fmt.Errorf("nginx is %+v, was %+v", s, before)
		}
		return nil
	})
	pageFirst(t, dir, m)
	return ""
}

// logKept finds the requests of both boots in the access log.
func logKept(t *testing.T, state *tree.Tree) {
	t.Helper()
	e := state.Lookup("tree/var/log/nginx/access.log")
	if e == nil {
		t.Fatal("the state has no access log of nginx")
	}
	const limit = 1 << 20
	text, err := e.ReadAll(limit)
	if err != nil {
		t.Fatal(err)
	}
	for _, request := range []string{"GET /?boot=1 ", "GET /?boot=2 "} {
		if !strings.Contains(string(text), request) {
			t.Errorf("the access log has no %q:\n%s", request, text)
		}
	}
}

func pageAgain(t *testing.T, dir string, m *machineUnderTest, _ string) {
	t.Helper()
	m.get(80, "/?boot=2")
}

func appAgain(t *testing.T, dir string, m *machineUnderTest, _ string) {
	t.Helper()
	appFirst(t, dir, m)
}

func pageFirst(t *testing.T, dir string, m *machineUnderTest) string {
	t.Helper()
	want, err := os.ReadFile(filepath.Join(dir, "files/var/www/html/index.html"))
	if err != nil {
		t.Fatal(err)
	}
	if got := m.get(80, "/"); got != string(want) {
		t.Errorf("the page is %q, want %q", got, want)
	}
	m.get(80, "/?boot=1")
	return ""
}

func appFirst(t *testing.T, _ string, m *machineUnderTest) string {
	t.Helper()
	if got := m.get(8080, "/"); !strings.HasPrefix(got, "hello from app, up for ") {
		t.Errorf("the app answers %q", got)
	}
	return ""
}

// declareKey makes a key pair and declares its public half.
func declareKey(t *testing.T, dir string) {
	t.Helper()
	keygen := testenv.RequireTool(t, "ssh-keygen")
	key := filepath.Join(dir, "key")
	if out, err := exec.Command(keygen, "-q", "-t", "ed25519", "-N", "", "-C", "test", "-f", key).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	public, err := os.ReadFile(key + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	const placeholder = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f replace@me"
	replace(t, filepath.Join(dir, "ashlar.toml"), placeholder, strings.TrimSpace(string(public)))
}

// sshOptions lead to the machine with the key, keeping host keys in a file.
func sshOptions(dir string, m *machineUnderTest, hosts string) []string {
	_, port, _ := strings.Cut(m.ForwardedAddr(22), ":")
	return []string{
		"-i", filepath.Join(dir, "key"), "-p", port, "-F", "none", "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes",
		"-o", "StrictHostKeyChecking=accept-new", "-o", "UserKnownHostsFile=" + hosts, "-o", "ConnectTimeout=60", "-o", "HostKeyAlias=machine",
	}
}

func sshRun(t *testing.T, dir string, m *machineUnderTest, hosts, user, script string) (string, error) {
	t.Helper()
	ssh := testenv.RequireTool(t, "ssh")
	args := append(sshOptions(dir, m, hosts), user+"@127.0.0.1", script)
	out, err := exec.CommandContext(t.Context(), ssh, args...).CombinedOutput()
	return string(out), err
}

// sshFirst logs in, is refused as root, leaves a file and gives the file that
// keeps the host's key.
func sshFirst(t *testing.T, dir string, m *machineUnderTest) string {
	t.Helper()
	hosts := filepath.Join(t.TempDir(), "known_hosts")
	eventually(t, "log in", func() error {
		out, err := sshRun(t, dir, m, hosts, "admin", "id -un && echo kept > ~/note")
		if err != nil || !strings.HasPrefix(out, "admin") && !strings.Contains(out, "\nadmin") {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	})
	if out, err := sshRun(t, dir, m, hosts, "root", "true"); err == nil {
		t.Errorf("root could log in: %s", out)
	}
	data, err := os.ReadFile(hosts)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// sshSecond finds the file and the host key of the first boot.
func sshSecond(t *testing.T, dir string, m *machineUnderTest, known string) {
	t.Helper()
	hosts := filepath.Join(t.TempDir(), "known_hosts")
	if err := os.WriteFile(hosts, []byte(known), 0o600); err != nil {
		t.Fatal(err)
	}
	eventually(t, "log in after the second boot", func() error {
		out, err := sshRun(t, dir, m, hosts, "admin", "cat ~/note")
		if err != nil || strings.TrimSpace(out) != "kept" {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	})
}

// gitFirst pushes a commit.
func gitFirst(t *testing.T, dir string, m *machineUnderTest) string {
	t.Helper()
	hosts := filepath.Join(t.TempDir(), "known_hosts")
	work := t.TempDir()
	eventually(t, "reach the git server", func() error { return gitRun(t, dir, m, hosts, work, "ls-remote", gitURL) })
	script := [][]string{
		{"init", "-q", "-b", "main", "."},
		{"-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "-q", "--allow-empty", "-m", "kept over a boot"},
		{"push", "-q", gitURL, "main"},
	}
	for _, args := range script {
		if err := gitRun(t, dir, m, hosts, work, args...); err != nil {
			t.Fatal(err)
		}
	}
	known, err := os.ReadFile(hosts)
	if err != nil {
		t.Fatal(err)
	}
	return string(known)
}

const gitURL = "git@127.0.0.1:project.git"

// gitSecond clones what was pushed before the power went off.
func gitSecond(t *testing.T, dir string, m *machineUnderTest, known string) {
	t.Helper()
	hosts := filepath.Join(t.TempDir(), "known_hosts")
	if err := os.WriteFile(hosts, []byte(known), 0o600); err != nil {
		t.Fatal(err)
	}
	work := t.TempDir()
	eventually(t, "clone", func() error {
		return gitRun(t, dir, m, hosts, work, "clone", "-q", gitURL, fmt.Sprintf("c%d", time.Now().UnixNano()))
	})
	clones, err := filepath.Glob(filepath.Join(work, "c*"))
	if err != nil || len(clones) == 0 {
		t.Fatalf("no clone in %s: %v", work, err)
	}
	out, err := exec.Command("git", "-C", clones[len(clones)-1], "log", "--format=%s").Output()
	if err != nil || strings.TrimSpace(string(out)) != "kept over a boot" {
		t.Errorf("the clone has %q, %v", out, err)
	}
}

func gitRun(t *testing.T, dir string, m *machineUnderTest, hosts, work string, args ...string) error {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), testenv.RequireTool(t, "git"), args...)
	cmd.Dir = work
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_SSH_COMMAND=ssh "+strings.Join(sshOptions(dir, m, hosts), " "))
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("git %s: %w\n%s", strings.Join(args, " "), err, out.String())
	}
	return nil
}

// copySparse copies an image, holes and all.
func copySparse(t *testing.T, from, to string) {
	t.Helper()
	if out, err := exec.Command("cp", "--sparse=always", from, to).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}
