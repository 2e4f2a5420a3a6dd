package rootfs

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/sys/unix"

	"ashlar/internal/foundation/atomicfile"
	"ashlar/internal/foundation/digest"
	"ashlar/internal/foundation/tree"
	"ashlar/internal/testenv"
)

// packageSets are compared with mmdebstrap; all have the essential packages.
var packageSets = []struct {
	name     string
	packages []string
	short    bool // also under go test -short
}{
	{"essential", nil, true},
	{"nginx", []string{"nginx"}, true},
	{"ssh", []string{"openssh-server"}, false},
	{"git", []string{"git", "openssh-server"}, false},
	{"systemd", []string{"systemd", "dbus", "nginx"}, false},
	// Diversions (molly-guard, of systemd-sysv's), ucf, debconf, statoverrides,
	// setgid programs, users and groups, alternatives, byte-compiling.
	{"server", []string{
		"python3-minimal", "cron", "rsyslog", "exim4-daemon-light", "ca-certificates", "logrotate", "sudo", "locales", "man-db",
		"systemd-sysv", "molly-guard", "ssl-cert", "bsd-mailx",
	}, false},
	// File capabilities, modules enabled by scripts, time zones, many users.
	{"mixed", []string{
		"apache2", "php-fpm", "redis-server", "chrony", "tzdata", "postfix", "iptables", "iputils-ping", "nano", "less", "apt", "perl",
	}, false},
}

// TestSameAsMmdebstrap compares the configured tree with the one that dpkg
// makes of the same packages. What may differ is in allowedDifferences.
func TestSameAsMmdebstrap(t *testing.T) {
	tool := testenv.RequireTool(t, "mmdebstrap")
	testenv.RequireRoot(t)
	a := requireArchive(t)
	used := make([]atomic.Bool, len(allowedDifferences))
	t.Run("sets", func(t *testing.T) {
		for _, set := range packageSets {
			if testing.Short() && !set.short {
				continue
			}
			t.Run(set.name, func(t *testing.T) {
				t.Parallel()
				in := a.input(t, set.packages)
				theirs := a.mmdebstrap(t, tool, in)
				for _, d := range compareItems(configuredItems(t, in), theirs) {
					if n := allowed(d); n >= 0 {
						used[n].Store(true)
						continue
					}
					t.Error(d)
				}
			})
		}
	})
	if testing.Short() || t.Failed() {
		return
	}
	for n, row := range allowedDifferences {
		if !used[n].Load() {
			t.Errorf("allowed difference %s (%s): no set has it; remove the row", row.pattern, row.fields)
		}
	}
}

// item is one path in a form that can be compared.
type item struct {
	kind    tree.Kind
	mode    uint32
	owner   string
	byName  string // the owner by its names in the tree's own tables
	target  string // of a link
	names   string // of the inode, if it has several
	xattrs  string
	content []byte
	mtime   int64
}

// configuredItems merges and configures packages as Assemble does.
func configuredItems(t *testing.T, in Input) map[string]item {
	t.Helper()
	in, first := inStages(in)
	packages := newPackages(in.Packages)
	configured, _, err := configure(t.Context(), in, first, packages)
	if err != nil {
		t.Fatal(err)
	}
	items := map[string]item{}
	links := map[string][]string{}
	err = configured.Walk(func(e *tree.Entry) error {
		inode := e
		if e.Kind == tree.HardLink {
			inode = configured.Get(e.Target)
		}
		links[inode.Path] = append(links[inode.Path], e.Path)
		it := item{kind: inode.Kind, mode: inode.Mode, owner: fmt.Sprintf("%d:%d", inode.UID, inode.GID), target: inode.Target, mtime: inode.MTime}
		if it.mtime <= 0 { // made by a script
			it.mtime = scriptEpoch(packages)
		}
		for _, x := range inode.Xattrs {
			it.xattrs += fmt.Sprintf("%s=%x ", x.Name, x.Value)
		}
		if inode.Kind == tree.File {
			var err error
			if it.content, err = inode.ReadAll(1 << 30); err != nil {
				return err
			}
		}
		items[e.Path] = it
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	nameLinks(items, links)
	nameOwners(items)
	return items
}

// nameOwners looks the owners' names up.
func nameOwners(items map[string]item) {
	names := func(table string) map[string]string {
		found := map[string]string{}
		for _, line := range strings.Split(string(items[table].content), "\n") {
			if fields := strings.Split(line, ":"); len(fields) > 2 {
				found[fields[2]] = fields[0]
			}
		}
		return found
	}
	users, groups := names("etc/passwd"), names("etc/group")
	for p, it := range items {
		uid, gid, _ := strings.Cut(it.owner, ":")
		it.byName = users[uid] + ":" + groups[gid]
		items[p] = it
	}
}

// nameLinks notes on each name of an inode all the names that it has.
func nameLinks(items map[string]item, links map[string][]string) {
	for _, names := range links {
		if len(names) < 2 {
			continue
		}
		slices.Sort(names)
		for _, name := range names {
			it := items[name]
			it.names = strings.Join(names, " ")
			items[name] = it
		}
	}
}

// mmdebstrap gives the tree that dpkg makes. It is kept in the user's cache by
// all that it depends on, since making it takes a minute.
func (a *archive) mmdebstrap(t *testing.T, tool string, in Input) map[string]item {
	t.Helper()
	version, err := exec.Command(tool, "--version").Output()
	if err != nil {
		t.Fatal(err)
	}
	args := []string{
		"--variant=essential", "--mode=root", "--quiet", "--dpkgopt=force-unsafe-io", "--include=" + strings.Join(names(in), ","), suite, "-",
	}
	key := digest.Of([]byte(fmt.Sprint("2 ", string(version), in.Digests, args)))
	cached := filepath.Join(filepath.Dir(a.store.Dir()), "mmdebstrap-"+key.String()+".tar.zst")
	if _, err := os.Stat(cached); err != nil {
		a.runMmdebstrap(t, tool, append(args, "deb "+a.serve(t)+" "+suite+" main"), cached, scriptEpoch(newPackages(in.Packages)))
	}
	f, err := os.Open(cached)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	unpacked, err := zstd.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	defer unpacked.Close()
	items, err := readTar(unpacked)
	if err != nil {
		t.Fatalf("read %s: %v", cached, err)
	}
	return items
}

func (a *archive) runMmdebstrap(t *testing.T, tool string, args []string, cached string, epoch int64) {
	t.Helper()
	err := atomicfile.Write(cached, atomicfile.Options{}, func(f *os.File) error {
		packed, err := zstd.NewWriter(f, zstd.WithEncoderLevel(zstd.SpeedFastest))
		if err != nil {
			return err
		}
		var said bytes.Buffer
		// Scripts write the host's name down: it shall be the sandbox's.
		script := "echo localhost > /proc/sys/kernel/hostname && exec \"$@\""
		cmd := exec.CommandContext(t.Context(), "sh", append([]string{"-c", script, "sh", tool}, args...)...)
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUTS}
		cmd.Stdout, cmd.Stderr = packed, &said
		cmd.Env = append(os.Environ(), fmt.Sprintf("SOURCE_DATE_EPOCH=%d", epoch), "TMPDIR="+fastDir(t))
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("mmdebstrap: %w\n%s", err, &said)
		}
		return packed.Close()
	})
	if err != nil {
		t.Fatal(err)
	}
}

// fastDir is a directory in memory if the machine has one with room for a root.
func fastDir(t *testing.T) string {
	const dir, need = "/dev/shm", 2 << 30
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil || st.Flags&(unix.ST_NOEXEC|unix.ST_NODEV) != 0 || st.Bavail*uint64(st.Bsize) < need {
		return t.TempDir()
	}
	return dir
}

var tarKinds = map[byte]tree.Kind{
	tar.TypeReg: tree.File, tar.TypeDir: tree.Dir, tar.TypeSymlink: tree.Symlink, tar.TypeChar: tree.CharDevice,
	tar.TypeBlock: tree.BlockDevice, tar.TypeFifo: tree.Fifo,
}

func readTar(r io.Reader) (map[string]item, error) {
	items := map[string]item{}
	links := map[string][]string{}
	for in := tar.NewReader(r); ; {
		h, err := in.Next()
		if err == io.EOF {
			nameLinks(items, links)
			nameOwners(items)
			return items, nil
		}
		if err != nil {
			return nil, err
		}
		name, err := tree.Clean(strings.TrimPrefix(h.Name, "./"))
		if err != nil {
			return nil, err
		}
		if h.Typeflag == tar.TypeLink {
			first, err := tree.Clean(strings.TrimPrefix(h.Linkname, "./"))
			if err != nil {
				return nil, err
			}
			items[name] = items[first]
			links[first] = append(links[first], name)
			continue
		}
		links[name] = append(links[name], name)
		it := item{kind: tarKinds[h.Typeflag], mode: uint32(h.Mode & 0o7777), owner: fmt.Sprintf("%d:%d", h.Uid, h.Gid), target: h.Linkname, mtime: h.ModTime.Unix()}
		for _, k := range slices.Sorted(maps.Keys(h.PAXRecords)) {
			if x, ok := strings.CutPrefix(k, "SCHILY.xattr."); ok {
				it.xattrs += fmt.Sprintf("%s=%x ", x, h.PAXRecords[k])
			}
		}
		if it.kind == tree.File {
			if it.content, err = io.ReadAll(in); err != nil {
				return nil, err
			}
		}
		items[name] = it
	}
}

// difference is one field of one path.
type difference struct {
	path, field  string
	ours, theirs string
	a, b         item
}

func (d difference) String() string {
	return fmt.Sprintf("/%s: %s: ours %s, dpkg's %s", d.path, d.field, d.ours, d.theirs)
}

// compareItems gives the differences sorted by path.
func compareItems(ours, theirs map[string]item) []difference {
	all := map[string]bool{}
	for p := range ours {
		all[p] = true
	}
	for p := range theirs {
		all[p] = true
	}
	var list []difference
	for _, p := range slices.Sorted(maps.Keys(all)) {
		a, inOurs := ours[p]
		b, inTheirs := theirs[p]
		add := func(field, x, y string) {
			if x != y {
				list = append(list, difference{p, field, x, y, a, b})
			}
		}
		switch {
		case !inOurs:
			add("missing", "nothing", b.kind.String())
		case !inTheirs:
			add("extra", a.kind.String(), "nothing")
		default:
			add("kind", a.kind.String(), b.kind.String())
			add("mode", fmt.Sprintf("%04o", a.mode), fmt.Sprintf("%04o", b.mode))
			add("owner", a.owner, b.owner)
			add("target", a.target, b.target)
			add("names", a.names, b.names)
			add("xattrs", a.xattrs, b.xattrs)
			if a.kind == tree.File || a.kind == tree.Symlink { // those of directories tell when dpkg was there
				add("mtime", fmt.Sprint(a.mtime), fmt.Sprint(b.mtime))
			}
			if !bytes.Equal(a.content, b.content) {
				add("content", contentHint(a.content, b.content), contentHint(b.content, a.content))
			}
		}
	}
	return list
}

// contentHint shows the first line that the other lacks.
func contentHint(data, other []byte) string {
	lines, others := strings.Split(string(data), "\n"), strings.Split(string(other), "\n")
	for n, l := range lines {
		if n >= len(others) || others[n] != l {
			return fmt.Sprintf("%d bytes, line %d %.160q", len(data), n+1, l)
		}
	}
	return fmt.Sprintf("%d bytes", len(data))
}
