package pid1_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"ashlar/internal/contract/layout"
	"ashlar/internal/contract/machine"
	"ashlar/internal/device/pid1"
	"ashlar/internal/foundation/tree"
	"ashlar/internal/testenv"
)

// bundle is a container for a runtime of the Open Container Initiative.
type bundle struct {
	dir      string
	readOnly bool
	caps     []string
	mounts   []bundleMount // besides /proc, /dev and /sys
	env      []string
}

type bundleMount struct {
	Destination string   `json:"destination"`
	Type        string   `json:"type"`
	Source      string   `json:"source"`
	Options     []string `json:"options,omitempty"`
}

// usualCaps are what Docker and Podman leave a container.
func usualCaps(more ...string) []string {
	return append([]string{"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_MKNOD", "CAP_NET_RAW", "CAP_SETGID", "CAP_SETUID",
		"CAP_SETFCAP", "CAP_SETPCAP", "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT", "CAP_KILL", "CAP_AUDIT_WRITE"}, more...)
}

func tmpfs(path string) bundleMount {
	return bundleMount{path, "tmpfs", "tmpfs", []string{"nosuid", "nodev", "mode=755"}}
}

func volume(path, source string) bundleMount {
	return bundleMount{path, "bind", source, []string{"bind", "rw"}}
}

// write makes config.json in the bundle's directory (runtime-spec 1.0.2).
func (b *bundle) write(t *testing.T) {
	t.Helper()
	var spaces []map[string]string
	for _, name := range []string{"pid", "network", "ipc", "uts", "mount"} {
		spaces = append(spaces, map[string]string{"type": name})
	}
	caps := map[string][]string{}
	for _, set := range []string{"bounding", "effective", "permitted"} {
		caps[set] = b.caps
	}
	config := map[string]any{
		"ociVersion": "1.0.2", "hostname": "from-outside",
		"root": map[string]any{"path": "rootfs", "readonly": b.readOnly},
		"process": map[string]any{"cwd": "/", "env": append([]string{"PATH=/usr/bin"}, b.env...), "noNewPrivileges": false,
			"args": []string{"/" + layout.InitBinary, pid1.ContainerCommand}, "capabilities": caps},
		"mounts": append([]bundleMount{{"/proc", "proc", "proc", nil}, {"/dev", "tmpfs", "tmpfs", []string{"nosuid", "mode=755"}},
			{"/sys", "sysfs", "sysfs", []string{"nosuid", "noexec", "nodev", "ro"}}}, b.mounts...),
		"linux": map[string]any{"namespaces": spaces},
	}
	writeFile(t, filepath.Join(b.dir, "config.json"), toJSON(t, config), 0o600)
}

// running is a started container.
type running struct {
	runtime, id string
	cmd         *exec.Cmd
	mu          sync.Mutex
	out         bytes.Buffer
	done        chan struct{}
	code        int
}

// Write implements io.Writer.
func (r *running) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.out.Write(p)
}

func (r *running) log() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.out.String()
}

// command runs a runtime where it finds one tree of control groups: crun 1.8
// knows no others beside it.
func command(t *testing.T, runtime string, args ...string) *exec.Cmd {
	t.Helper()
	const prepare = `umount -l -R /sys/fs/cgroup; mount -t cgroup2 cgroup2 /sys/fs/cgroup && exec "$@"`
	tool := testenv.RequireTool(t, runtime)
	if runtime == "crun" {
		args = append([]string{"--cgroup-manager=disabled"}, args...)
	}
	return exec.Command(testenv.RequireTool(t, "unshare"), append([]string{"-m", "sh", "-c", prepare, "sh", tool}, args...)...)
}

func (b *bundle) start(t *testing.T, runtime string) *running {
	t.Helper()
	testenv.RequireRoot(t)
	b.write(t)
	r := &running{runtime: runtime, id: fmt.Sprintf("ashlar-%d-%s", os.Getpid(), filepath.Base(b.dir)), done: make(chan struct{})}
	r.cmd = command(t, runtime, "run", "--bundle", b.dir, r.id)
	r.cmd.Stdout, r.cmd.Stderr = r, r
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(r.done)
		var ended *exec.ExitError
		if err := r.cmd.Wait(); errors.As(err, &ended) {
			r.code = ended.ExitCode()
		} else if err != nil {
			r.code = -1
		}
	}()
	t.Cleanup(func() {
		select {
		case <-r.done:
		default:
			_ = command(t, runtime, "kill", r.id, "KILL").Run()
			<-r.done
		}
		_ = command(t, runtime, "delete", "--force", r.id).Run()
		if t.Failed() {
			t.Logf("%s said:\n%s", runtime, r.log())
		}
	})
	return r
}

// says waits until the container has said it.
func (r *running) says(t *testing.T, text string) {
	t.Helper()
	const patience = time.Minute
	for end := time.Now().Add(patience); !strings.Contains(r.log(), text); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("has not said %q", text)
		}
		select {
		case <-r.done:
			if !strings.Contains(r.log(), text) {
				t.Fatalf("ended with %d and has not said %q", r.code, text)
			}
		default:
		}
	}
}

// ends sends a signal, if any, and wants the exit code.
func (r *running) ends(t *testing.T, signal string, code int) {
	t.Helper()
	if signal != "" {
		if out, err := command(t, r.runtime, "kill", r.id, signal).CombinedOutput(); err != nil {
			t.Fatalf("kill: %v: %s", err, out)
		}
	}
	select {
	case <-r.done:
	case <-time.After(time.Minute):
		t.Fatalf("does not end after %q", signal)
	}
	if r.code != code {
		t.Errorf("after %q: exit code %d, want %d", signal, r.code, code)
	}
}

// makeBundle writes the root of the boot test, with some machine, as a bundle.
func makeBundle(t *testing.T, init, guest string, m machine.Machine) *bundle {
	t.Helper()
	root := makeRoot(t, guest)
	program, err := os.ReadFile(init)
	if err != nil {
		t.Fatal(err)
	}
	b := &builder{t: t, tree: *root}
	b.put(tree.NewFile(layout.InitBinary, 0o755, program))
	b.put(tree.NewFile(layout.MachineFile, 0o644, toJSON(t, m)))
	b.put(tree.NewFile("etc/machine-id", 0o444, nil)) // as every image has it
	out := &bundle{dir: t.TempDir(), caps: usualCaps()}
	err = b.tree.Walk(func(e *tree.Entry) error {
		path := filepath.Join(out.dir, "rootfs", e.Path)
		if e.Kind == tree.Dir {
			return errors.Join(os.MkdirAll(path, 0o755), os.Chmod(path, os.FileMode(e.Mode)), os.Lchown(path, int(e.UID), int(e.GID)))
		}
		data, err := e.ReadAll(1 << 26)
		return errors.Join(err, os.WriteFile(path, data, os.FileMode(e.Mode)), os.Lchown(path, int(e.UID), int(e.GID)))
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestContainer starts the boot test's root under real runtimes.
func TestContainer(t *testing.T) {
	testenv.RequireRoot(t)
	dir := t.TempDir()
	init, guest := compile(t, dir, "ashlar/cmd/ashlar-init"), compile(t, dir, "ashlar/internal/device/pid1/testguest")
	const ready = "ashlar: ready NAME=boottest generation= services=2/4 seconds="
	const counted = "seeded=from-image uid=1000 gid=1000 groups=[1000 1001]"

	for _, runtime := range []string{"runc", "crun"} {
		t.Run(runtime, func(t *testing.T) {
			b := makeBundle(t, init, guest, testMachine())
			for boot := 1; boot <= 2; boot++ { // the second time over what the first has left
				r := b.start(t, runtime)
				r.says(t, ready)
				r.says(t, fmt.Sprintf("count: boots=%d %s", boot, counted))
				r.says(t, "container: state is lost with the container, no volume is mounted at /var/lib/app, /var/log")
				r.says(t, "container: the host name is from-outside, set from outside, not boothost")
				if out, err := command(t, runtime, "exec", r.id, "/"+layout.InitBinary, "--json", "status").CombinedOutput(); err != nil || !bytes.Contains(out, []byte(`"root_mode":"container"`)) {
					t.Errorf("status: %v: %s", err, out)
				}
				r.ends(t, "TERM", 0)
				if !strings.Contains(r.log(), "ashlar: container ends, power off") {
					t.Errorf("has not said that it ends")
				}
			}
		})
	}
	t.Run("volumes", func(t *testing.T) {
		b := makeBundle(t, init, guest, testMachine())
		app, logs := t.TempDir(), t.TempDir()
		writeFile(t, filepath.Join(app, "seeded"), []byte("from-volume\n"), 0o644)
		if err := errors.Join(os.Chown(app, 1000, 1000), os.Chmod(logs, 0o700)); err != nil {
			t.Fatal(err)
		}
		b.readOnly = true
		b.mounts = []bundleMount{tmpfs("/run"), tmpfs("/tmp"), volume("/var/lib/app", app), volume("/var/log", logs)}
		for boot := 1; boot <= 2; boot++ {
			r := b.start(t, "runc")
			r.says(t, ready)
			r.says(t, fmt.Sprintf("count: boots=%d seeded=from-volume", boot))
			r.ends(t, "37", 0) // SIGRTMIN+3
			if strings.Contains(r.log(), "state is lost") {
				t.Error("state is said to be lost")
			}
		}
		info, err := os.Stat(logs)
		if err != nil || info.Mode().Perm() != 0o755 {
			t.Errorf("the new volume has mode %v, %v; declared is 0755", info.Mode(), err)
		}
		if log, err := os.ReadFile(filepath.Join(logs, "ashlar/count.log")); err != nil || !bytes.Contains(log, []byte("boots=2")) {
			t.Errorf("the log on the volume: %q, %v", log, err)
		}
	})
	t.Run("read-only", func(t *testing.T) {
		b := makeBundle(t, init, guest, testMachine())
		b.readOnly, b.caps = true, usualCaps("CAP_SYS_ADMIN")
		b.env = []string{"container_uuid=01234567-89ab-cdef-0123-456789abcdef"}
		r := b.start(t, "runc")
		r.says(t, ready)
		r.says(t, "count: boots=1 "+counted)
		if out, err := command(t, "runc", "exec", r.id, "/"+layout.InitBinary, "status").CombinedOutput(); err != nil || !bytes.Contains(out, []byte("0123456789abcdef0123456789abcdef")) {
			t.Errorf("the given machine-id is not in the status: %v: %s", err, out)
		}
		r.ends(t, "PWR", 0)
	})
	t.Run("no place", func(t *testing.T) {
		b := makeBundle(t, init, guest, testMachine())
		b.readOnly = true
		r := b.start(t, "runc")
		r.ends(t, "", 1)
		if !strings.Contains(r.log(), "start failed: make /run: it is read-only") {
			t.Error("does not say what it lacks")
		}
	})
	for name, code := range map[string]int{"done": 0, "fail": 1} {
		t.Run("all "+name, func(t *testing.T) {
			m := testMachine()
			m.Services = []machine.Service{{Name: name, Type: machine.TypeOneshot, Exec: []string{"testguest", name}, Restart: machine.RestartNever,
				StartLimit: 60, StopLimit: 5, LogBytes: 65536}}
			makeBundle(t, init, guest, m).start(t, "runc").ends(t, "", code)
		})
	}
}
