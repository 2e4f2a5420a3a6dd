package mount

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"ashlar/internal/testenv"
)

// TestTables: what a mount stands on comes before it, nothing is mounted twice,
// and nothing but devices' own file system can bring a device or set-id program.
func TestTables(t *testing.T) {
	seen := map[string]bool{"/": true}
	for _, p := range append(Early(), Late()...) {
		if seen[p.Target] {
			t.Errorf("%s is mounted twice", p.Target)
		}
		seen[p.Target] = true
		for up := filepath.Dir(p.Target); up != "/"; up = filepath.Dir(up) {
			if top := "/" + strings.Split(p.Target, "/")[1]; up == top && !seen[up] {
				t.Errorf("%s comes before %s", p.Target, up)
			}
		}
		if p.Flags&unix.MS_NOSUID == 0 {
			t.Errorf("%s allows set-id programs", p.Target)
		}
		if p.Flags&unix.MS_NODEV == 0 && p.Type != "devtmpfs" && p.Type != "devpts" {
			t.Errorf("%s allows devices", p.Target)
		}
		if p.Type == "tmpfs" && !strings.Contains(p.Data, "mode=") {
			t.Errorf("%s has the mode that the kernel likes", p.Target)
		}
		if !filepath.IsAbs(p.Target) || p.Source == "" || p.Type == "" {
			t.Errorf("%+v", p)
		}
	}
	for _, dir := range []string{"/proc", "/sys", "/dev", "/run", "/tmp", "/dev/shm", "/dev/pts", "/sys/fs/cgroup"} {
		if !seen[dir] {
			t.Errorf("nothing is mounted at %s", dir)
		}
	}
}

// apartVariable says that this process has mounts of its own, and where.
const apartVariable = "MOUNT_TEST_APART"

// TestMounts runs itself in a mount namespace of its own: what fails in it
// leaves nothing on the host.
func TestMounts(t *testing.T) {
	if base := os.Getenv(apartVariable); base != "" {
		t.Run("points", func(t *testing.T) { points(t, filepath.Join(base, "points")) })
		t.Run("overlay", func(t *testing.T) { overlay(t, filepath.Join(base, "overlay")) })
		t.Run("empty", func(t *testing.T) { emptied(t, filepath.Join(base, "empty")) })
		t.Run("switch", func(t *testing.T) { switched(t, filepath.Join(base, "switch")) }) // last: the root is another
		return
	}
	testenv.RequireRoot(t)
	unshare := testenv.RequireTool(t, "unshare")
	cmd := exec.Command(unshare, "--mount", "--propagation=private", os.Args[0], "-test.run=^TestMounts$", "-test.v")
	cmd.Env = append(os.Environ(), apartVariable+"="+t.TempDir())
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "--- PASS: TestMounts/switch") {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestRefusals(t *testing.T) {
	base := t.TempDir()
	file := filepath.Join(base, "file")
	write(t, file, "")
	bad := Point{Source: "x", Target: filepath.Join(file, "below"), Type: "tmpfs"}
	if err := One(bad); !errors.Is(err, unix.ENOTDIR) || !strings.Contains(err.Error(), bad.Target) {
		t.Errorf("below a file: %v", err)
	}
	if IsPoint(base) || IsPoint(filepath.Join(base, "none")) || !IsPoint("/proc") {
		t.Error("IsPoint is wrong")
	}
	if err := Bind(filepath.Join(base, "none"), base); err == nil {
		t.Error("nothing was bound")
	}
	if err := SwitchRoot(filepath.Join(file, "no"), []string{base}); err == nil {
		t.Error("a file is no root")
	}
}

// points: one that is there stays, one that fails does not keep the others
// from being made, and an optional one may fail.
func points(t *testing.T, base string) {
	a, b := filepath.Join(base, "a"), filepath.Join(base, "b", "deep")
	list := []Point{
		{Source: "tmpfs", Target: a, Type: "tmpfs", Data: "mode=0700"},
		{Source: "x", Target: filepath.Join(base, "c"), Type: "no-such-fs"},
		{Source: "x", Target: filepath.Join(base, "d"), Type: "nor-this", Optional: true},
		{Source: "tmpfs", Target: b, Type: "tmpfs", Data: "mode=1777"},
	}
	err := All(list)
	if err == nil || !strings.Contains(err.Error(), "no-such-fs") || strings.Contains(err.Error(), "nor-this") {
		t.Errorf("the error is %v", err)
	}
	for dir, mode := range map[string]fs.FileMode{a: 0o700, b: 0o777 | fs.ModeSticky} {
		if info, err := os.Stat(dir); err != nil || !IsPoint(dir) || info.Mode() != mode|fs.ModeDir {
			t.Errorf("%s: %v, %v", dir, info.Mode(), err)
		}
	}
	write(t, filepath.Join(a, "kept"), "x")
	if err := One(list[0]); err != nil || read(t, filepath.Join(a, "kept")) != "x" {
		t.Errorf("mounted over a mount: %v", err)
	}
	if err := Bind(filepath.Join(a, "kept"), filepath.Join(a, "kept")); err != nil || !IsPoint(filepath.Join(a, "kept")) {
		t.Errorf("a file bound to itself: %v", err)
	}
}

func overlay(t *testing.T, base string) {
	lower, scratch, target := filepath.Join(base, "lower"), filepath.Join(base, "scratch"), filepath.Join(base, "target")
	write(t, filepath.Join(lower, "etc", "f"), "lower")
	if err := Overlay(lower, scratch, target); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(target, "etc", "f"), "written")
	if read(t, filepath.Join(target, "etc", "f")) != "written" || read(t, filepath.Join(lower, "etc", "f")) != "lower" {
		t.Error("what is written at the target reaches the lower directory")
	}
	if read(t, filepath.Join(scratch, "upper", "etc", "f")) != "written" {
		t.Error("what is written does not lie in the scratch file system")
	}
}

// emptied: empty deletes a file system in memory but for what is mounted in
// it, and follows no link; others it leaves alone.
func emptied(t *testing.T, base string) {
	outside := filepath.Join(base, "outside", "f") // behind a link
	write(t, outside, "kept")
	ram := filepath.Join(base, "ram")
	mounted := filepath.Join(ram, "holds", "mounted")
	for _, p := range []Point{{Source: "ram", Target: ram, Type: "ramfs"}, {Source: "other", Target: mounted, Type: "tmpfs"}} {
		if err := One(p); err != nil {
			t.Fatal(err)
		}
	}
	write(t, filepath.Join(mounted, "f"), "kept")
	write(t, filepath.Join(ram, "lib", "modules", "m.ko"), "freed")
	write(t, filepath.Join(ram, "init"), "freed")
	if err := os.Symlink(filepath.Dir(outside), filepath.Join(ram, "link")); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{ram, "/sys/kernel"} {
		d, err := os.Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		if err := empty(int(d.Fd())); err != nil {
			t.Error(err)
		}
		d.Close()
	}
	left, err := os.ReadDir(ram)
	if err != nil || len(left) != 1 || left[0].Name() != "holds" {
		t.Errorf("left are %v, %v", left, err)
	}
	if read(t, filepath.Join(mounted, "f")) != "kept" || read(t, outside) != "kept" {
		t.Error("more was deleted than the initramfs")
	}
}

// switched has an initramfs of its own: what SwitchRoot leaves it deletes.
func switched(t *testing.T, base string) {
	if err := One(Point{Source: "old", Target: base, Type: "tmpfs"}); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(unix.Chroot(base), unix.Chdir("/")); err != nil {
		t.Fatal(err)
	}
	write(t, "/init", "old")
	for _, dir := range []string{"/root", "/moved"} {
		if err := One(Point{Source: "new", Target: dir, Type: "tmpfs"}); err != nil {
			t.Fatal(err)
		}
	}
	write(t, "/root/marker", "new")
	write(t, "/moved/f", "along")
	old, err := os.Open("/")
	if err != nil {
		t.Fatal(err)
	}
	defer old.Close()
	if err := SwitchRoot("/root", []string{"/moved"}); err != nil {
		t.Fatal(err)
	}
	if read(t, "/marker") != "new" || read(t, "/moved/f") != "along" {
		t.Error("the root is not the new one with the mount that moved")
	}
	if _, err := os.Stat("/init"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the old root is seen: %v", err)
	}
	if names, err := old.Readdirnames(-1); err != nil || len(names) > 0 {
		t.Errorf("of the old root is left %q, %v", names, err)
	}
	if dir, err := unix.Getwd(); err != nil || dir != "/" {
		t.Errorf("the working directory is %s, %v", dir, err)
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o600)); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
