package sandbox

import (
	"context"
	"errors"
	"io/fs"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestCommandEnds(t *testing.T) {
	b := newBox(t, nil)
	if got := b.sh("echo hello; id -u; hostname; pwd; umask; cat"); got != "hello\n0\nlocalhost\n/\n0022\n" {
		t.Errorf("got %q", got)
	}
	for script, want := range map[string]ExitError{
		"exit 3":      {Name: "sh", Code: 3},
		"kill -9 $$":  {Name: "sh", Signal: 9},
		"kill -15 $$": {Name: "sh", Signal: 15},
	} {
		_, err := b.trySh(t.Context(), script)
		var got *ExitError
		if !errors.As(err, &got) || *got != want {
			t.Errorf("%s: got %v, want %v", script, err, &want)
		}
	}
	for _, args := range [][]string{{"no-such-program"}, {"/no/such"}} {
		if err := b.Run(t.Context(), Command{Args: args}); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%v: got %v", args, err)
		}
	}
	var both strings.Builder
	args := []string{"sh", "-c", "for n in $(seq 300); do echo o$n; echo e$n >&2; done"}
	if err := b.Run(t.Context(), Command{Args: args, Stdout: &both, Stderr: &both}); err != nil {
		t.Error(err)
	}
	for n, line := range strings.Fields(both.String()) {
		if want := "oe"[n%2:n%2+1] + strconv.Itoa(n/2+1); line != want {
			t.Fatalf("line %d of both streams is %s, want %s", n, line, want)
		}
	}
	var out strings.Builder
	err := b.Run(t.Context(), Command{Args: []string{"sh", "-c", "cat; pwd; echo $A $HOME; env | wc -l"}, Dir: "/etc", Env: []string{"A=b", "HOME=/x"},
		Stdin: strings.NewReader("in\n"), Stdout: &out})
	if want := "in\n/etc\nb /x\n"; err != nil || !strings.HasPrefix(out.String(), want) {
		t.Errorf("got %q, %v", out.String(), err)
	}
}

func TestApart(t *testing.T) {
	t.Setenv("ASHLAR_LEAK", "1")
	host := t.TempDir() // of the host, and not to be seen
	b := newBox(t, nil)
	for script, want := range map[string]string{
		"cat /proc/net/dev | tail -n +3 | cut -d: -f1 | tr -d ' '":                                               "lo\n",
		"cat /sys/class/net/lo/operstate 2>&1 || echo none":                                                      "cat: /sys/class/net/lo/operstate: No such file or directory\nnone\n",
		"busybox ip link show lo | grep -c UP || true":                                                           "0\n",
		"busybox ping -c1 -W1 127.0.0.1 >/dev/null 2>&1 || echo no":                                              "no\n",
		"ls -d " + host + " 2>/dev/null || true":                                                                 "",
		"awk '{print $5}' /proc/1/mountinfo 2>/dev/null | head -1; cut -d' ' -f5 /proc/self/mountinfo | head -1": "/\n",
		"env | grep LEAK || true":                                                                                "",
		"for f in /proc/1/fd/* /proc/1/root /proc/1/cwd /proc/1/exe; do readlink $f || true; done":               "",
		"mount -t tmpfs x /mnt 2>/dev/null || echo no":                                                           "no\n",
		"unshare -U true 2>/dev/null || echo no":                                                                 "no\n",
		"(echo 1 > /proc/sys/kernel/panic) 2>/dev/null || echo no":                                               "no\n",
		"date -s 2001-01-01 >/dev/null 2>&1 || echo no":                                                          "no\n",
		"grep -E '^(Seccomp|CapEff|CapInh)' /proc/self/status | tr -d '\\t\\n '":                                 "CapInh:0000000000000000CapEff:00000000a00401ffSeccomp:2Seccomp_filters:1",
	} {
		got := b.sh(script)
		if !strings.EqualFold(got, want) {
			t.Errorf("%s: got %q, want %q", script, got, want)
		}
	}
	// Only processes of the sandbox are seen: init and the shell's own.
	for _, pid := range strings.Fields(b.sh("cd /proc; echo [0-9]*")) {
		name := b.sh("cat /proc/" + pid + "/comm 2>/dev/null || true")
		if strings.TrimSpace(name) != "" && pid != "1" {
			t.Errorf("process %s %q is left or of the host", pid, name)
		}
	}
	if got := b.sh("cat /proc/1/comm"); got != "exe\n" && !strings.HasPrefix(got, childName[:10]) {
		t.Errorf("process 1 is %q", got)
	}
}

func TestNoProcessIsLeft(t *testing.T) {
	b := newBox(t, nil)
	start := time.Now()
	b.sh("setsid sh -c 'trap \"\" TERM HUP INT; sleep 1000 & sleep 1000; touch /woken' </dev/null >/dev/null 2>&1 & sleep 1000 & echo done")
	if got := b.sh("cat /proc/[0-9]*/comm | sort | uniq -c | grep -c sleep || true"); got != "0\n" {
		t.Errorf("%s processes left", got)
	}
	if d := time.Since(start); d > 20*time.Second {
		t.Errorf("took %v", d)
	}
	// Many that fork all the time.
	b.sh("f() { sh -c 'while :; do (sleep 0.001 &) ; done' & }; f; f; f; sleep 0.2; true")
	// Init, the shell, ls, wc.
	if n, err := strconv.Atoi(strings.TrimSpace(b.sh("ls -d /proc/[0-9]* | wc -l"))); err != nil || n > 4 {
		t.Errorf("%d processes, %v", n, err)
	}
}

func TestContextEndsCommand(t *testing.T) {
	b := newBox(t, nil)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	start := time.Now()
	_, err := b.trySh(ctx, "trap '' TERM; sleep 1000 & sleep 1000")
	if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) > 10*time.Second {
		t.Errorf("got %v after %v", err, time.Since(start))
	}
	// The next command is not touched.
	if got := b.sh("echo alive"); got != "alive\n" {
		t.Errorf("got %q", got)
	}
	for range 20 { // cancelled at about the time that it starts
		ctx, cancel := context.WithCancel(t.Context())
		go cancel()
		if _, err := b.trySh(ctx, "sleep 1000"); !errors.Is(err, context.Canceled) {
			t.Fatalf("got %v", err)
		}
	}
}

func TestOwners(t *testing.T) {
	b := newBox(t, nil)
	if got := b.sh("stat -c '%u:%g %a' /etc/shadow"); got != "0:42 640\n" {
		t.Errorf("lower file's owner: %q", got)
	}
	b.sh(`
		useradd --system --create-home --home-dir /var/lib/daemon daemon2 -u 123
		mkdir -p /srv/a /srv/setgid; cd /srv
		chown 7:8 a; touch a/f; chown man:man a/f; chown :50 a/f
		ln -s f a/link; chown -h 9:10 a/link; mv a/link a/moved; ln -s f a/plain
		chown 2:3 setgid; chmod 2775 setgid; touch setgid/new; mkdir setgid/dir; touch setgid/mine; chown 0:0 setgid/mine
		cp /bin/true suid; chmod 6755 suid; chown 4:5 suid; stat -c %a suid
		cp /bin/true suid2; chown 4:5 suid2; chmod 4755 suid2
		mkfifo fifo; chown 11:12 fifo
		echo x > moved; chown 33:33 moved; chmod 600 moved; cp -a moved copied; mv moved /etc/moved
		sed -i s/x/y/ copied
		install -o 5 -g 6 -m 4711 /bin/true installed
		touch ref; chown --reference=/etc/shadow ref
		mkdir chroot; mkdir chroot/d; cp /usr/bin/busybox chroot/; ln -s /d chroot/abs
		chroot /srv/chroot /busybox chown 21:22 /abs; rm chroot/busybox
		perl -e 'open F, ">", "/srv/fd"; chown 31, 32, \*F; unlink "/srv/gone"' 
		chown 5:5 /dev/null /tmp; touch /tmp/x; chown 1:1 /dev/fd/0 </tmp/x
		cd a; chown 77:78 ../fd2 2>/dev/null || touch ../fd2; chown 77:78 ../fd2
	`)
	if got := b.sh("stat -c '%u:%g' /srv/a/f /srv/a/moved /srv/fifo /srv/fd; stat -L -c %u /srv/a/f; find /srv -user 4 | sort"); got != "6:50\n9:10\n11:12\n31:32\n6\n/srv/suid\n/srv/suid2\n" {
		t.Errorf("stat shows %q", got)
	}
	r := b.result()
	for path, want := range map[string]string{
		"etc/shadow":      "file 0640 0:42",
		"etc/gshadow":     "file 0640 0:42",
		"etc/passwd":      "file 0644 0:0",
		"var/lib/daemon":  "dir 0700 123:123",
		"srv/a":           "dir 0755 7:8",
		"srv/a/f":         "file 0644 6:50",
		"srv/a/moved":     "symlink 0777 9:10 -> f",
		"srv/a/plain":     "symlink 0777 0:0 -> f",
		"srv/setgid/new":  "file 0644 0:3",
		"srv/setgid/dir":  "dir 2755 0:3",
		"srv/setgid/mine": "file 0644 0:0",
		"srv/suid":        "file 0755 4:5",
		"srv/suid2":       "file 4755 4:5",
		"srv/fifo":        "fifo 0644 11:12",
		"etc/moved":       "file 0600 33:33",
		"srv/copied":      "file 0600 33:33",
		"srv/installed":   "file 4711 5:6",
		"srv/ref":         "file 0644 0:42",
		"srv/chroot/d":    "dir 0755 21:22",
		"srv/fd":          "file 0644 31:32",
		"srv/fd2":         "file 0644 77:78",
		"usr/bin/passwd":  "file 4755 0:0",
	} {
		b.want(r, path, want)
	}
	if got, err := r.Get("etc/shadow").ReadAll(4096); err != nil || !strings.Contains(string(got), "\ndaemon2:!:") {
		t.Errorf("shadow: %q, %v", got, err)
	}
}

func TestDevicesAndCapabilities(t *testing.T) {
	b := newBox(t, nil)
	b.sh(`
		cd /srv; mknod -m 640 c c 1 3; chown 0:6 c; mknod b b 8 1; mknod p p
		[ -c c ] && [ -b b ] && [ ! -f c ]; [ "$(stat -c %t:%T b)" = 8:1 ]
		if mknod c c 1 3; then exit 1; fi
		cp /bin/true cap; setcap cap_net_bind_service=ep cap; getcap cap | grep -q net_bind
		perl -MSocket -e 'socket(S, PF_UNIX, SOCK_STREAM, 0); bind(S, sockaddr_un("/srv/sock")) or die'
		busybox sync; python3 -c 1 2>/dev/null || true; dd if=/bin/true of=synced conv=fsync,notrunc 2>/dev/null
		# fsync of what is not open succeeds only where the call is not made; -e sees both
		[ "$(uname -m)" != x86_64 ] || perl -e 'exit(syscall(74, 999) != 0)'
		[ "$(uname -m)" != x86_64 ] || perl -e 'exit(syscall(117, 5, 5, 5) != 0 || $< != 0)'
		[ "$(uname -m)" != x86_64 ] || perl -e '$r = syscall(425, 1, 0); exit !($r == -1 && $!{ENOSYS})'
		su man -s /bin/sh -c true || true
		setpriv --reuid 6 --regid 12 --clear-groups touch byman
	`)
	r := b.result()
	for path, want := range map[string]string{
		"srv/c":    "chardev 0640 0:6 1:3",
		"srv/b":    "blockdev 0644 0:0 8:1",
		"srv/p":    "fifo 0644 0:0",
		"srv/sock": "socket 0755 0:0",
	} {
		b.want(r, path, want)
	}
	// struct vfs_cap_data, revision 2, effective: bit 10 permitted.
	if x := r.Get("srv/cap").Xattrs; len(x) != 1 || x[0].Name != capabilityXattr || len(x[0].Value) != 20 ||
		string(x[0].Value[:8]) != "\x01\x00\x00\x02\x00\x04\x00\x00" {
		t.Errorf("capability: %x", x)
	}
}

func TestFilesOfTheRoot(t *testing.T) {
	b := newBox(t, nil)
	if err := b.WriteFile("/etc/new", []byte("data"), 0o4600); err != nil {
		t.Fatal(err)
	}
	if got := b.sh("cat /etc/new; stat -c %a /etc/new"); got != "data4600\n" {
		t.Errorf("got %q", got)
	}
	b.sh("ln -s /etc/hostname /etc/out; ln -s ../../../../../../etc/new /etc/up; ln -s /proc/1/root /etc/proc; ln -s /proc/self/fd /etc/fds; mkdir -m 0 /srv/closed; echo x > /srv/closed/f; chmod 0 /srv/closed/f; mkfifo /srv/fifo")
	if got, err := b.ReadFile("etc/up"); err != nil || string(got) != "data" {
		t.Errorf("up: %q, %v", got, err)
	}
	if got, err := b.ReadFile("/srv/closed/f"); err != nil || string(got) != "x\n" {
		t.Errorf("closed: %q, %v", got, err)
	}
	for _, name := range []string{"/etc/proc/etc/passwd", "/etc/fds/3", "/srv/fifo"} {
		if got, err := b.ReadFile(name); err == nil {
			t.Errorf("%s: read %q", name, got)
		}
	}
	if err := b.WriteFile("/etc/up", []byte("own"), 0o644); err != nil {
		t.Error(err)
	}
	info, err := b.Lstat("/etc/up")
	if err != nil || !info.Mode().IsRegular() || info.Size() != 3 {
		t.Errorf("%+v, %v", info, err)
	}
	if _, err := b.Lstat("/nowhere"); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	err = errors.Join(b.Mkdir("/srv/d", 0o1777), b.Symlink("a/b", "/srv/d/l"), b.Rename("/srv/d/l", "/srv/d/m"), b.Chown("/srv/d/m", 3, 4), b.Chown("/srv/d", 5, keep))
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Remove("/srv/d"); !errors.Is(err, unix.ENOTEMPTY) {
		t.Error(err)
	}
	list, err := b.ReadDir("/srv/d")
	if err != nil || len(list) != 1 || list[0].Name() != "m" || list[0].Target != "a/b" || list[0].GID != 4 {
		t.Errorf("%+v, %v", list, err)
	}
	if got := b.sh("stat -c %a:%u:%g /srv/d"); got != "1777:5:0\n" {
		t.Errorf("got %q", got)
	}
	if err := errors.Join(b.Remove("/srv/d/m"), b.Remove("/srv/d")); err != nil {
		t.Error(err)
	}
	if b.result().Get("srv/d") != nil {
		t.Error("srv/d is left")
	}
}
