package rootfs

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"ashlar/internal/foundation/glob"
	"ashlar/internal/foundation/tree"
)

// lastTime bounds the times that are compared: what scripts make is younger.
const lastTime = fileTime + 100

// readUpper reads the upper layer of an overlay.
func readUpper(dir string) (map[string]item, []string, error) {
	items := map[string]item{}
	links := map[string][]string{}
	var gone []string
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || name == dir {
			return err
		}
		rel := strings.TrimPrefix(name, dir+"/")
		var st unix.Stat_t
		if err := unix.Lstat(name, &st); err != nil {
			return err
		}
		if st.Mode&unix.S_IFMT == unix.S_IFCHR && st.Rdev == 0 {
			gone = append(gone, rel)
			return nil
		}
		it, opaque, err := readItem(name, &st)
		if opaque {
			gone = append(gone, rel+"/")
		}
		items[rel] = it
		if it.kind != tree.Dir {
			inode := fmt.Sprint(st.Ino)
			links[inode] = append(links[inode], rel)
		}
		return err
	})
	nameLinks(items, links)
	return items, gone, err
}

var statKinds = map[uint32]tree.Kind{
	unix.S_IFREG: tree.File, unix.S_IFDIR: tree.Dir, unix.S_IFLNK: tree.Symlink, unix.S_IFCHR: tree.CharDevice,
	unix.S_IFBLK: tree.BlockDevice, unix.S_IFIFO: tree.Fifo, unix.S_IFSOCK: tree.Socket,
}

// readItem reads one path, and whether it is an opaque directory.
func readItem(name string, st *unix.Stat_t) (it item, opaque bool, err error) {
	it = item{kind: statKinds[st.Mode&unix.S_IFMT], mode: st.Mode & 0o7777, owner: fmt.Sprintf("%d:%d", st.Uid, st.Gid), mtime: min(st.Mtim.Sec, lastTime)}
	switch it.kind {
	case tree.File:
		it.content, err = os.ReadFile(name)
	case tree.Symlink:
		it.target, err = os.Readlink(name)
	case tree.CharDevice, tree.BlockDevice:
		it.target = fmt.Sprintf("%d:%d", unix.Major(st.Rdev), unix.Minor(st.Rdev))
	}
	if err != nil {
		return it, false, err
	}
	list := make([]byte, 4096)
	n, err := unix.Llistxattr(name, list)
	if err != nil {
		return it, false, err
	}
	for _, x := range strings.Split(strings.TrimRight(string(list[:n]), "\x00"), "\x00") {
		switch {
		case x == "trusted.overlay.opaque":
			opaque = true
		case x != "" && !strings.HasPrefix(x, "trusted.overlay."):
			value := make([]byte, 4096)
			n, err := unix.Lgetxattr(name, x, value)
			if err != nil {
				return it, false, err
			}
			it.xattrs += fmt.Sprintf("%s=%x ", x, value[:n])
		}
	}
	return it, opaque, nil
}

// entryItem is an entry of a tree in the form that is compared.
func entryItem(t *tree.Tree, e *tree.Entry) (item, error) {
	if e.Kind == tree.HardLink {
		e = t.Get(e.Target)
	}
	it := item{kind: e.Kind, mode: e.Mode, owner: fmt.Sprintf("%d:%d", e.UID, e.GID), target: e.Target, mtime: min(e.MTime, lastTime)}
	if e.MTime <= 0 { // made by a script
		it.mtime = lastTime
	}
	if e.Kind == tree.CharDevice || e.Kind == tree.BlockDevice {
		it.target = fmt.Sprintf("%d:%d", e.Major, e.Minor)
	}
	for _, x := range e.Xattrs {
		it.xattrs += fmt.Sprintf("%s=%x ", x.Name, x.Value)
	}
	var err error
	if e.Kind == tree.File {
		it.content, err = e.ReadAll(1 << 30)
	}
	return it, err
}

// changed gives the paths of a tree that are not as in the base, with the
// names of inodes that have several.
func (b *base) changed(t *tree.Tree) (map[string]bool, map[string][]string) {
	paths := map[string]bool{}
	links := map[string][]string{}
	for _, p := range t.Paths() {
		e, old := t.Get(p), b.tree.Get(p)
		inode := p
		if e.Kind == tree.HardLink {
			inode = e.Target
		}
		links[inode] = append(links[inode], p)
		if old == nil || fmt.Sprint(e.Kind, e.Mode, e.UID, e.GID, e.Digest, e.Target, e.Xattrs) != fmt.Sprint(old.Kind, old.Mode, old.UID, old.GID, old.Digest, old.Target, old.Xattrs) {
			paths[p] = true
		}
	}
	for _, p := range b.tree.Paths() {
		if t.Get(p) == nil {
			paths[p] = true
		}
	}
	return paths, links
}

// pair gives both sides of all paths that either side changed.
func (b *base) pair(t *testing.T, result *tree.Tree, upper map[string]item, gone []string) (ours, theirs map[string]item) {
	t.Helper()
	paths, links := b.changed(result)
	isGone := func(p string) bool {
		return slices.ContainsFunc(gone, func(g string) bool {
			return p == g || strings.HasPrefix(p, strings.TrimSuffix(g, "/")+"/")
		})
	}
	for p := range upper {
		paths[p] = true
	}
	for _, p := range b.tree.Paths() {
		if isGone(p) {
			paths[p] = true
		}
	}
	ours, theirs = map[string]item{}, map[string]item{}
	get := func(side map[string]item, from *tree.Tree, p string) {
		if e := from.Get(p); e != nil {
			it, err := entryItem(from, e)
			if err != nil {
				t.Fatal(err)
			}
			side[p] = it
		}
	}
	for p := range paths {
		get(ours, result, p)
		if it, ok := upper[p]; ok {
			theirs[p] = it
		} else if !isGone(p) {
			get(theirs, b.tree, p)
		}
	}
	for inode, names := range links {
		links[inode] = slices.DeleteFunc(names, func(p string) bool { return !paths[p] })
	}
	nameLinks(ours, links)
	return ours, theirs
}

// dpkgCase is a set of packages that dpkg and Assemble shall treat alike.
type dpkgCase struct {
	name     string
	debs     []testDeb // in the order of configuration
	together bool      // for dpkg: one call, not one a package
	foreign  string    // a second architecture that dpkg is told of
	differs  []allowedDifference
	// fails are parts of our error; dpkg must fail too, unless dpkgWorks.
	fails     []string
	dpkgWorks string            // the reason why we refuse what dpkg takes
	dpkgFails string            // the reason why we take what dpkg refuses
	has       map[string]string // content or link target of paths in our tree
}

// alwaysDiffers holds for every case.
var alwaysDiffers = []allowedDifference{
	{"var/lib/dpkg/**", "mtime", "the database is written, not unpacked", nil},
	{"var/lib/dpkg/*-old", "missing extra content", "back-up: one step behind", nil},
	{"var/lib/dpkg/lock*", "missing", "held while dpkg runs; no dpkg is run", nil},
	{"var/lib/dpkg/triggers/File", "content", "ours is sorted", sameLines},
	{"var/log/**", "content", "has times", nil},
	{"run/**", "missing extra", "in memory", nil},
	{"tmp", "mode", "in memory", nil},
}

func (c dpkgCase) run(t *testing.T, b *base) {
	result, said, err := b.ours(t, c.debs)
	upper, gone, out, dpkgErr := b.theirs(t, c.debs, c.together, c.foreign)
	if len(c.fails) > 0 {
		c.checkFailure(t, err, dpkgErr, out)
		return
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	if (dpkgErr != nil) != (c.dpkgFails != "") {
		t.Fatalf("dpkg: %v\n%s", dpkgErr, out)
	}
	c.checkHas(t, result)
	if dpkgErr != nil {
		return
	}
	ours, theirs := b.pair(t, result, upper, gone)
	if len(theirs) == 0 {
		t.Error("dpkg changed nothing")
	}
	met := make([]bool, len(c.differs))
	for _, d := range compareItems(ours, theirs) {
		if n := allowedBy(c.differs, d); n >= 0 {
			met[n] = true
		} else if allowedBy(alwaysDiffers, d) < 0 {
			t.Error(d)
		}
	}
	for n, row := range c.differs {
		if !met[n] {
			t.Errorf("allowed difference %s (%s): not met; remove the row", row.pattern, row.fields)
		}
	}
	if t.Failed() {
		t.Logf("ours:\n%s\ndpkg:\n%s", said, out)
	}
}

// checkHas looks for what our tree must have.
func (c dpkgCase) checkHas(t *testing.T, result *tree.Tree) {
	t.Helper()
	for name, want := range c.has {
		e := result.Get(name)
		if e == nil {
			t.Errorf("/%s: missing", name)
			continue
		}
		it, err := entryItem(result, e)
		if err != nil {
			t.Fatal(err)
		}
		if got := string(it.content) + it.target; got != want {
			t.Errorf("/%s: %q, want %q", name, got, want)
		}
	}
}

func (c dpkgCase) checkFailure(t *testing.T, err, dpkgErr error, out string) {
	t.Helper()
	if (dpkgErr == nil) != (c.dpkgWorks != "") {
		t.Errorf("dpkg: %v\n%s", dpkgErr, out)
	}
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range c.fails {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v\ndoes not say %q", err, want)
		}
	}
}

func allowedBy(rows []allowedDifference, d difference) int {
	return slices.IndexFunc(rows, func(row allowedDifference) bool {
		p, err := glob.Compile(row.pattern)
		return err == nil && p.Match(d.path) && slices.Contains(strings.Fields(row.fields), d.field) && (row.like == nil || row.like(d))
	})
}

// TestLikeDpkg installs the packages of each case by dpkg and by our own rules.
func TestLikeDpkg(t *testing.T) {
	b := openBase(t)
	t.Run("cases", func(t *testing.T) {
		for _, c := range slices.Concat(fileCases, scriptCases, triggerCases) {
			t.Run(c.name, func(t *testing.T) {
				t.Parallel()
				c.run(t, b)
			})
		}
		for _, set := range orderSets {
			t.Run("order of "+set.name, func(t *testing.T) {
				t.Parallel()
				set.run(t, b)
			})
		}
	})
}
