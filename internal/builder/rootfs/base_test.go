package rootfs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"ashlar/internal/builder/store"
	"ashlar/internal/foundation/progress"
	"ashlar/internal/foundation/tree"
	"ashlar/internal/testenv"
)

// base is a configured Debian with dpkg in it, on which each case installs its
// packages twice: by Assemble's way, and by that dpkg.
type base struct {
	input Input
	tree  *tree.Tree
	dir   string // the same as files
	store *store.Store
}

// openBase makes one base for all cases; t is the test around them.
func openBase(t *testing.T) *base {
	t.Helper()
	testenv.RequireRoot(t)
	testenv.RequireTool(t, "unshare")
	a := requireArchive(t)
	b := &base{input: a.input(t, []string{"libcap2-bin"}), store: a.store}
	b.input.NoCache = false
	var first int
	b.input, first = inStages(b.input)
	configured, _, err := configure(t.Context(), b.input, first, newPackages(b.input.Packages))
	if err != nil {
		t.Fatal(err)
	}
	b.tree = configured
	b.trim()
	b.dir, err = os.MkdirTemp(fastDir(t), "ashlar-base-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(b.dir); err != nil {
			t.Error(err)
		}
	})
	if err := b.write(filepath.Join(b.dir, "lower")); err != nil {
		t.Fatal(err)
	}
	return b
}

// trim leaves out what no case needs, since each makes the base's files anew.
func (b *base) trim() {
	removePaths(b.tree, func(name string) bool {
		under := func(dirs ...string) bool {
			return slices.ContainsFunc(dirs, func(dir string) bool { return strings.HasPrefix(name, dir+"/") })
		}
		return under("usr/share", "usr/lib/x86_64-linux-gnu/gconv", "usr/lib/x86_64-linux-gnu/perl-base", "usr/lib/x86_64-linux-gnu/security") &&
			!under("usr/share/base-passwd", "usr/share/dpkg") && name != "usr/share/doc"
	})
}

// write makes files of the base's tree.
func (b *base) write(dir string) error {
	return b.tree.Walk(func(e *tree.Entry) error {
		name := filepath.Join(dir, e.Path)
		switch e.Kind {
		case tree.Dir:
			if err := os.MkdirAll(name, 0o755); err != nil {
				return err
			}
		case tree.Symlink:
			return errors.Join(os.Symlink(e.Target, name), os.Lchown(name, int(e.UID), int(e.GID)))
		case tree.HardLink:
			return os.Link(filepath.Join(dir, e.Target), name)
		case tree.File:
			data, err := e.ReadAll(1 << 30)
			if err == nil {
				err = os.WriteFile(name, data, 0o600)
			}
			if err != nil {
				return err
			}
		default:
			return fmt.Errorf("%s is a %s", e.Path, e.Kind)
		}
		times := []unix.Timeval{{Sec: e.MTime}, {Sec: e.MTime}}
		return errors.Join(os.Lchown(name, int(e.UID), int(e.GID)), unix.Chmod(name, e.Mode), unix.Utimes(name, times))
	})
}

// ours installs packages over the base by our own rules, in their order.
func (b *base) ours(t *testing.T, debs []testDeb) (*tree.Tree, string, error) {
	t.Helper()
	var said bytes.Buffer
	in := b.input
	in.Log, in.Progress = &said, progress.Discard{}
	m, err := newMerger(0)
	if err != nil {
		t.Fatal(err)
	}
	installed := newPackages(in.Packages)
	for _, p := range installed {
		if err := m.add(p); err != nil {
			t.Fatal(err)
		}
	}
	m.tree = b.tree.Clone()
	all := installed
	for _, d := range debs {
		u, sum := d.unpack(t, b.store)
		p := newPackage(u)
		in.Digests = append(slices.Clip(in.Digests), sum)
		all = append(all, p)
		if err := m.add(p); err != nil {
			return nil, "", err
		}
	}
	if err := m.finish(0); err != nil {
		return nil, "", err
	}
	c, err := newConfigurer(in, all, m)
	if err != nil {
		return nil, "", err
	}
	for _, p := range installed {
		c.db.state[p] = stateInstalled
	}
	if err := m.tree.Put(*b.tree.Get(adminDir + "/diversions")); err != nil {
		t.Fatal(err)
	}
	c.order = all[len(installed):]
	lower, added := m.tree, c.order
	if first := firstStage(added); len(first) == 0 { // as the second stage of a build takes them
		c.order = all
		if err := c.resume(snapshot{tree: b.tree}); err != nil {
			t.Fatal(err)
		}
		if lower, err = c.unpackOver(b.tree, arch, added, m); err != nil {
			return nil, "", err
		}
	}
	result, err := c.inSandbox(t.Context(), in, lower, func(ctx context.Context) error { return c.complete(ctx, added) })
	return result, said.String(), err
}

// enterRoot is run apart from the host's mounts, network and names: $1 is the
// directory of the case.
const enterRoot = `
set -e
mount --make-rprivate /
mount -t overlay -o lowerdir=$1/../lower,upperdir=$1/upper,workdir=$1/work,index=off,metacopy=off,redirect_dir=off overlay $1/root
for name in tmp run dev; do mount -t tmpfs -o mode=0755 tmpfs $1/root/$name; done
chmod 1777 $1/root/tmp
mount -t proc proc $1/root/proc
for name in null zero full random urandom tty; do : > $1/root/dev/$name; mount --bind /dev/$name $1/root/dev/$name; done
hostname localhost
cp $1/debs/* $1/root/tmp
exec chroot $1/root /usr/bin/env -i DEBIAN_FRONTEND=noninteractive HOME=/root LANG=C.UTF-8 LC_ALL=C.UTF-8 \
  PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin SHELL=/bin/sh TERM=dumb TZ=UTC sh -c "$2" </dev/null`

// dpkgCommand is how dpkg is called.
const dpkgCommand = "dpkg --log=/dev/null --no-triggers"

// theirs installs packages over the base with dpkg: one by one, or all at once.
// It gives what changed, and the paths that are gone.
func (b *base) theirs(t *testing.T, debs []testDeb, together bool, foreign string) (map[string]item, []string, string, error) {
	t.Helper()
	dir, err := os.MkdirTemp(b.dir, "case-")
	if err != nil {
		t.Fatal(err)
	}
	for _, sub := range []string{"upper", "work", "root", "debs"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	defer os.RemoveAll(dir)
	var files []string
	for n, d := range debs {
		file := fmt.Sprintf("%02d-%s.deb", n, d.name)
		files = append(files, "/tmp/"+file)
		if err := os.WriteFile(filepath.Join(dir, "debs", file), d.build(t), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	steps := []string{"set -e"}
	if foreign != "" {
		steps = append(steps, "dpkg --add-architecture "+foreign)
	}
	if together {
		files = []string{strings.Join(files, " ")}
	}
	for _, f := range files {
		steps = append(steps, dpkgCommand+" -i "+f)
	}
	steps = append(steps, "dpkg --log=/dev/null --triggers-only -a", "dpkg --log=/dev/null --configure -a")
	cmd := exec.CommandContext(t.Context(), "sh", "-c", enterRoot, "sh", dir, strings.Join(steps, "\n"))
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWUTS | unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWIPC, Setsid: true,
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		return nil, nil, string(out), err
	}
	items, gone, err := readUpper(filepath.Join(dir, "upper"))
	if err != nil {
		t.Fatal(err)
	}
	return items, gone, string(out), nil
}
