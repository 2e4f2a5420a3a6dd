package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ashlar/internal/testenv"
)

// containerFiles are what the targets of containers make of examples/web.
var containerFiles = []string{"oci.tar", "lxc-rootfs.tar.xz", "lxc-meta.tar.xz", "debian-trixie-x86_64-web.tar.gz", "nspawn.tar.gz", "machine.nspawn"}

// TestContainers starts the web server by the programs that run containers in
// Debian, from what was built without them.
func TestContainers(t *testing.T) {
	testenv.RequireRoot(t)
	dir := example(t, "web")
	want, err := os.ReadFile(filepath.Join(dir, "files/var/www/html/index.html"))
	if err != nil {
		t.Fatal(err)
	}
	const targets = "oci,lxc,openvz,nspawn"
	out, other := filepath.Join(dir, "out"), filepath.Join(t.TempDir(), "other")
	must(t, "build", dir, "--target", targets)
	command{args: []string{"build", "--no-cache", "-o", other, dir, "--target", targets}, env: []string{"GOMAXPROCS=1", "TZ=Asia/Kolkata"}}.must(t)
	for _, name := range containerFiles {
		sameFile(t, filepath.Join(out, name), filepath.Join(other, name))
	}

	for _, program := range []string{"runc", "crun"} {
		t.Run(program, func(t *testing.T) {
			page.note(t, shown{"oci", "amd64", "unpacked by umoci, started by " + program, "answers HTTP"})
			privateNetwork(t)
			bundle := makeBundle(t, filepath.Join(out, "oci.tar"))
			c := startContainer(t, container(t, program, "run", "--bundle", bundle, "ashlar-e2e-"+program))
			c.answers(t, string(want))
			tool(t, container(t, program, "kill", "ashlar-e2e-"+program, "TERM"))
			c.ends(t)
		})
	}
	t.Run("skopeo", func(t *testing.T) {
		page.note(t, shown{"oci", "amd64", "read and copied by skopeo", "its digests and its description"})
		var seen struct {
			Labels map[string]string
			Layers []string
		}
		text := tool(t, exec.Command(testenv.RequireTool(t, "skopeo"), "inspect", "oci-archive:"+filepath.Join(out, "oci.tar")))
		if err := json.Unmarshal([]byte(text), &seen); err != nil || seen.Labels["org.opencontainers.image.title"] != "web" || len(seen.Layers) < 10 || len(seen.Layers) > 40 {
			t.Errorf("%v: %s", err, text)
		}
		tool(t, exec.Command(testenv.RequireTool(t, "skopeo"), "--insecure-policy", "copy", "oci-archive:"+filepath.Join(out, "oci.tar"), "oci:"+t.TempDir()+"/copy:web"))
	})
	t.Run("lxc", func(t *testing.T) {
		page.note(t, shown{"lxc", "amd64", "made by lxc-create, started by lxc-start", "answers HTTP"})
		privateNetwork(t)
		testLXC(t, out, string(want))
	})
	for target, file := range map[string]string{"nspawn": "nspawn.tar.gz", "openvz": "debian-trixie-x86_64-web.tar.gz"} {
		t.Run(target, func(t *testing.T) {
			page.note(t, shown{target, "amd64", "unpacked by tar, started by systemd-nspawn", "answers HTTP"})
			privateNetwork(t)
			testNspawn(t, filepath.Join(out, file), filepath.Join(out, "machine.nspawn"), string(want))
		})
	}
}

func sameFile(t *testing.T, a, b string) {
	t.Helper()
	x, err := os.ReadFile(a)
	if err != nil {
		t.Fatal(err)
	}
	y, err := os.ReadFile(b)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(x, y) {
		t.Errorf("%s is another in a second build", filepath.Base(a))
	}
}

// privateNetwork gives the test, and all that it starts, a network of its own:
// every web server has port 80. The thread ends with the test.
func privateNetwork(t *testing.T) {
	t.Helper()
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Fatal(err)
	}
	tool(t, exec.Command(testenv.RequireTool(t, "ip"), "link", "set", "lo", "up"))
}

func tool(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%q: %v: %s", cmd.Args, err, out)
	}
	return string(out)
}

// container runs a runtime where it finds one tree of control groups: crun 1.8
// knows no others beside it.
func container(t *testing.T, program string, args ...string) *exec.Cmd {
	t.Helper()
	const prepare = `umount -l -R /sys/fs/cgroup; mount -t cgroup2 cgroup2 /sys/fs/cgroup && exec "$@"`
	words := []string{"-m", "sh", "-c", prepare, "sh", testenv.RequireTool(t, program)}
	if program == "crun" {
		words = append(words, "--cgroup-manager=disabled")
	}
	return exec.Command(testenv.RequireTool(t, "unshare"), append(words, args...)...)
}

// makeBundle has umoci unpack an image, and gives its container what Docker would.
func makeBundle(t *testing.T, archive string) string {
	t.Helper()
	layout, bundle := t.TempDir(), filepath.Join(t.TempDir(), "bundle")
	tool(t, exec.Command(testenv.RequireTool(t, "tar"), "-xf", archive, "-C", layout))
	tool(t, exec.Command(testenv.RequireTool(t, "umoci"), "unpack", "--image", layout+":web:latest", bundle))
	file := filepath.Join(bundle, "config.json")
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var config map[string]any
	if err := json.Unmarshal(data, &config); err != nil {
		t.Fatal(err)
	}
	process := config["process"].(map[string]any)
	process["terminal"] = false
	usual := []string{"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_MKNOD", "CAP_NET_RAW", "CAP_SETGID", "CAP_SETUID",
		"CAP_SETFCAP", "CAP_SETPCAP", "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT", "CAP_KILL", "CAP_AUDIT_WRITE"}
	process["capabilities"] = map[string][]string{"bounding": usual, "effective": usual, "permitted": usual}
	linux := config["linux"].(map[string]any)
	linux["namespaces"] = slices.DeleteFunc(linux["namespaces"].([]any), func(n any) bool { return n.(map[string]any)["type"] == "network" })
	config["mounts"] = slices.DeleteFunc(config["mounts"].([]any), func(m any) bool { return m.(map[string]any)["type"] == "cgroup" })
	if data, err = json.Marshal(config); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return bundle
}

// started is a container's program on this host.
type started struct {
	cmd  *exec.Cmd
	log  *os.File
	done chan struct{}
	err  error
}

func startContainer(t *testing.T, cmd *exec.Cmd) *started {
	t.Helper()
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s := &started{cmd: cmd, log: log, done: make(chan struct{})}
	go func() {
		s.err = cmd.Wait()
		close(s.done)
	}()
	t.Cleanup(func() {
		select {
		case <-s.done:
		default: // the test has failed; asked well, managers take their containers along
			_ = cmd.Process.Signal(unix.SIGTERM)
			select {
			case <-s.done:
			case <-time.After(20 * time.Second):
				_ = cmd.Process.Kill()
				<-s.done
			}
		}
		if t.Failed() {
			text, _ := os.ReadFile(log.Name())
			t.Logf("%q said:\n%s", cmd.Args, text)
		}
		log.Close()
	})
	return s
}

// answers asks until the page comes.
func (s *started) answers(t *testing.T, want string) {
	t.Helper()
	last := ""
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		select {
		case <-s.done:
			t.Fatalf("it has ended: %v", s.err)
		default:
		}
		var err error
		if last, err = askPage("127.0.0.1:80"); err != nil {
			last = err.Error()
			continue
		}
		if head, body, _ := strings.Cut(last, "\r\n\r\n"); strings.Contains(head, " 200 ") && body == want {
			return
		}
	}
	t.Fatalf("no answer: %s", last)
}

// askPage asks from this thread: an HTTP client would from another, in another network.
func askPage(address string) (string, error) {
	conn, err := net.DialTimeout("tcp", address, time.Second)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return "", err
	}
	if _, err := fmt.Fprintf(conn, "GET / HTTP/1.0\r\nHost: %s\r\n\r\n", address); err != nil {
		return "", err
	}
	text, err := io.ReadAll(conn)
	return string(text), err
}

// ends waits for an end with exit code 0.
func (s *started) ends(t *testing.T) {
	t.Helper()
	select {
	case <-s.done:
		if s.err != nil {
			t.Errorf("it ended with %v", s.err)
		}
	case <-time.After(time.Minute):
		t.Error("it does not end")
	}
}

func testLXC(t *testing.T, out, want string) {
	dir := t.TempDir()
	config := filepath.Join(dir, "config")
	if err := os.WriteFile(config, []byte("lxc.net.0.type = none\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	message := tool(t, exec.Command(testenv.RequireTool(t, "lxc-create"), "-P", dir, "-n", "web", "-f", config, "-t", "local", "--",
		"--metadata", filepath.Join(out, "lxc-meta.tar.xz"), "--fstree", filepath.Join(out, "lxc-rootfs.tar.xz")))
	if !strings.Contains(message, "You have made a container of web") {
		t.Errorf("lxc-create says: %s", message)
	}
	c := startContainer(t, exec.Command(testenv.RequireTool(t, "lxc-start"), "-P", dir, "-n", "web", "-F"))
	c.answers(t, want)
	if ps := tool(t, exec.Command(testenv.RequireTool(t, "lxc-attach"), "-P", dir, "-n", "web", "--", "/usr/sbin/ashlar", "ps")); !strings.Contains(ps, "nginx  running") {
		t.Errorf("services are\n%s", ps)
	}
	tool(t, exec.Command(testenv.RequireTool(t, "lxc-stop"), "-P", dir, "-n", "web", "--timeout=30"))
	c.ends(t)
}

func testNspawn(t *testing.T, archive, settings, want string) {
	root := filepath.Join(t.TempDir(), "web")
	if err := os.Mkdir(root, 0o755); err != nil {
		t.Fatal(err)
	}
	tool(t, exec.Command(testenv.RequireTool(t, "tar"), "--numeric-owner", "--xattrs", "--xattrs-include=*", "-xpzf", archive, "-C", root))
	if err := os.Symlink(settings, root+".nspawn"); err != nil {
		t.Fatal(err)
	}
	c := startContainer(t, exec.Command(testenv.RequireTool(t, "systemd-nspawn"), "--settings=yes", "--register=no", "--keep-unit", "-D", root))
	c.answers(t, want)
	if err := c.cmd.Process.Signal(unix.SIGTERM); err != nil {
		t.Fatal(err)
	}
	c.ends(t)
}
