package e2e

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ashlar/internal/testenv"
)

// TestMakeRun follows the README on a machine with Go, git and make: a clean
// clone, an empty store, `make run`, the page. Then the same without a network.
func TestMakeRun(t *testing.T) {
	testenv.RequireRoot(t)
	testenv.Mirror(t)
	clone := cleanClone(t)
	env := bareEnvironment(t)
	port := freePort(t)
	run := start(t, clone, env, "make", "run", fmt.Sprintf("PORT=%d", port))
	run.waitReady(t, port)
	if page, err := get(port); err != nil || !strings.Contains(page, "Cut from text") {
		t.Errorf("the page: %q, %v", page, err)
	}
	run.end(t)

	ip, unshare := testenv.RequireTool(t, "ip"), testenv.RequireTool(t, "unshare")
	run = start(t, clone, env, unshare, "-n", "sh", "-c", ip+` link set lo up && exec "$@"`, "sh",
		filepath.Join(clone, "bin", "ashlar"), "run", "examples/web", "--publish", fmt.Sprintf("%d:80", port))
	run.waitReady(t, port)
	if page, err := getIn(run.cmd.Process.Pid, port); err != nil || !strings.Contains(page, "Cut from text") {
		t.Errorf("the page without a network: %q, %v", page, err)
	}
	run.end(t)
}

// cleanClone clones the checkout, with the changes that are not committed yet.
func cleanClone(t *testing.T) string {
	t.Helper()
	clone := filepath.Join(t.TempDir(), "ashlar")
	if out, err := exec.Command("git", "clone", "-q", repository, clone).CombinedOutput(); err != nil {
		t.Fatalf("git clone: %v\n%s", err, out)
	}
	changed, err := exec.Command("git", "-C", repository, "ls-files", "-z", "-m", "-o", "--exclude-standard").Output()
	if err != nil {
		t.Fatalf("git ls-files: %v", err)
	}
	for name := range strings.SplitSeq(strings.TrimRight(string(changed), "\x00"), "\x00") {
		data, err := os.ReadFile(filepath.Join(repository, name))
		if name == "" || os.IsNotExist(err) {
			continue
		}
		if err == nil {
			err = os.MkdirAll(filepath.Dir(filepath.Join(clone, name)), 0o755)
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(clone, name), data, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return clone
}

// bareEnvironment has nothing on PATH but Go, git, make and the shell, and an
// empty home. Go's own caches stay.
func bareEnvironment(t *testing.T) []string {
	t.Helper()
	bin, home := t.TempDir(), t.TempDir()
	for _, name := range []string{"go", "git", "make", "sh"} {
		path, err := exec.LookPath(name)
		if err == nil {
			err = os.Symlink(path, filepath.Join(bin, name))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	env := []string{"PATH=" + bin, "HOME=" + home, "XDG_CACHE_HOME=" + filepath.Join(home, "cache"), "ASHLAR_STORE="}
	for _, name := range []string{"GOCACHE", "GOMODCACHE"} {
		value, err := exec.Command("go", "env", name).Output()
		if err != nil {
			t.Fatal(err)
		}
		env = append(env, name+"="+strings.TrimSpace(string(value)))
	}
	return append(os.Environ(), env...)
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// running is a program that stays, and what it has printed.
type running struct {
	cmd   *exec.Cmd
	ready chan string // the line that says so
	ended chan error

	mu  sync.Mutex
	log bytes.Buffer
}

var readyLine = regexp.MustCompile(`\S+ is ready; port \d+ answers at (http://\S+)`)

// start runs a program in a process group of its own, so that all that it
// starts can be ended with it.
func start(t *testing.T, dir string, env []string, args ...string) *running {
	t.Helper()
	r := &running{cmd: exec.Command(args[0], args[1:]...), ready: make(chan string, 1), ended: make(chan error, 1)}
	r.cmd.Dir, r.cmd.Env = dir, env
	r.cmd.SysProcAttr = &unix.SysProcAttr{Setpgid: true, Pdeathsig: unix.SIGTERM}
	out, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r.cmd.Stdout, r.cmd.Stderr = in, in
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	in.Close()
	t.Cleanup(func() { _ = unix.Kill(-r.cmd.Process.Pid, unix.SIGKILL) }) // gone already unless the test failed
	go func() {
		defer out.Close()
		lines := bufio.NewScanner(out)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			r.mu.Lock()
			r.log.Write(append(lines.Bytes(), '\n'))
			r.mu.Unlock()
			if m := readyLine.FindStringSubmatch(lines.Text()); m != nil {
				r.ready <- m[1]
			}
		}
		r.ended <- r.cmd.Wait()
	}()
	return r
}

func (r *running) printed() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.log.String()
}

func (r *running) waitReady(t *testing.T, port int) {
	t.Helper()
	if got, want := r.ready80(t), fmt.Sprintf("http://127.0.0.1:%d/", port); got != want {
		t.Errorf("it says %s, want %s", got, want)
	}
}

// ready80 waits until the machine is ready and gives the URL that it names.
func (r *running) ready80(t *testing.T) string {
	t.Helper()
	const patience = 15 * time.Minute
	select {
	case url := <-r.ready:
		return url
	case err := <-r.ended:
		t.Fatalf("it ended: %v\n%s", err, r.printed())
	case <-time.After(patience):
		t.Fatalf("not ready in %s:\n%s", patience, r.printed())
	}
	return ""
}

// end sends what Ctrl-C sends, and wants nothing left of the group.
func (r *running) end(t *testing.T) {
	t.Helper()
	group := -r.cmd.Process.Pid
	if err := unix.Kill(group, unix.SIGINT); err != nil {
		t.Fatal(err)
	}
	select {
	case <-r.ended:
	case <-time.After(time.Minute):
		t.Fatalf("it goes on after an interrupt:\n%s", r.printed())
	}
	if err := unix.Kill(group, 0); err != unix.ESRCH {
		t.Errorf("a process is left of it: %v", err)
	}
}

// get asks for the page at a port of loopback, on one connection.
func get(port int) (string, error) {
	conn, err := net.DialTimeout("tcp4", fmt.Sprintf("127.0.0.1:%d", port), 10*time.Second)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		return "", err
	}
	if _, err := io.WriteString(conn, "GET / HTTP/1.0\r\nHost: guest\r\n\r\n"); err != nil {
		return "", err
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("status %s", resp.Status)
	}
	return string(body), err
}

// getIn is get in the network namespace of a process. A connection to one
// numeric address is made on the thread that asks for it.
func getIn(pid, port int) (page string, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		var ns *os.File
		if ns, err = os.Open(fmt.Sprintf("/proc/%d/ns/net", pid)); err != nil {
			return
		}
		defer ns.Close()
		if err = unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err == nil {
			page, err = get(port)
		}
	}()
	<-done
	return page, err
}
