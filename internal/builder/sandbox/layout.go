package sandbox

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"ashlar/internal/foundation/tree"
)

// A plan tells init what to do with the layers that lie in Dir.
type plan struct {
	Dir      string
	Hostname string
	// Xattrs are to be set on the lower layer: only root of the namespace can.
	Xattrs []pathXattr `json:",omitempty"`
	// Owners are of symbolic links and special files, which can have no
	// attribute to record them.
	Owners []pathOwner `json:",omitempty"`
	// Volatile are the directories below /run and /tmp of the lower tree.
	Volatile []pathMode `json:",omitempty"`
}

type pathXattr struct {
	Path, Name string
	Value      []byte
}

type pathOwner struct {
	Path  string
	Owner owner
}

type pathMode struct {
	Path string
	Mode uint32
}

// mountPoints are directories that init needs in the merged root.
var mountPoints = [...]string{"proc", "sys", "dev", "tmp", "run"}

// layOut writes the lower layer and makes the other directories of the overlay.
func layOut(ctx context.Context, dir, poolDir string, lower *tree.Tree) (*plan, error) {
	for _, name := range []string{lowerName, upperName, workName, rootName} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			return nil, err
		}
	}
	if err := checkXattrs(filepath.Join(dir, upperName)); err != nil {
		return nil, err
	}
	l := &layer{base: filepath.Join(dir, lowerName), lower: lower, plan: &plan{Dir: dir}}
	if poolDir != "" {
		if err := os.MkdirAll(poolDir, 0o700); err != nil {
			return nil, err
		}
		l.pool = &pool{dir: poolDir, uid: uint32(os.Geteuid()), gid: uint32(os.Getegid())}
	}
	if err := l.write(ctx); err != nil {
		return nil, fmt.Errorf("lay out the lower layer: %w", err)
	}
	return l.plan, setRootMode(dir, lower)
}

// setRootMode gives the upper layer's root the mode of the tree's: the merged
// root shows the upper one's.
func setRootMode(dir string, lower *tree.Tree) error {
	root := lower.Get(".")
	if root == nil {
		r := tree.NewDir(".", 0o755)
		root = &r
	}
	return finishDir(filepath.Join(dir, upperName), root)
}

// checkXattrs says early what else fails at the first chown.
func checkXattrs(dir string) error {
	err := unix.Setxattr(dir, ownPrefix+"test", []byte("x"), 0)
	if err == nil {
		return unix.Removexattr(dir, ownPrefix+"test")
	}
	return fmt.Errorf("set extended attribute on %s: %w; put the cache on a file system with user extended attributes: ext4, xfs, btrfs, or tmpfs from Linux 6.6 on", dir, err)
}

type layer struct {
	base  string
	lower *tree.Tree
	plan  *plan
	pool  *pool
}

// write makes directories first, then files in parallel, then links, and gives
// directories their modes and times last, from the deepest up.
func (l *layer) write(ctx context.Context) error {
	var files, links, dirs []*tree.Entry
	err := l.lower.Walk(func(e *tree.Entry) error {
		if err := l.checkParent(e); err != nil {
			return err
		}
		l.note(e)
		switch e.Kind {
		case tree.Dir:
			dirs = append(dirs, e)
			if e.Path == "." {
				return nil
			}
			return os.Mkdir(l.host(e.Path), 0o700)
		case tree.HardLink:
			links = append(links, e)
			return nil
		default:
			files = append(files, e)
			return nil
		}
	})
	if err == nil {
		err = l.makeMountPoints()
	}
	if err == nil {
		err = l.writeFiles(ctx, files)
	}
	for i := 0; err == nil && i < len(links); i++ {
		err = l.writeLink(links[i])
	}
	for i := len(dirs) - 1; err == nil && i >= 0; i-- {
		err = finishDir(l.host(dirs[i].Path), dirs[i])
	}
	return err
}

func (l *layer) host(name string) string { return filepath.Join(l.base, filepath.FromSlash(name)) }

// checkParent refuses an entry that would be written through a symbolic link.
func (l *layer) checkParent(e *tree.Entry) error {
	if e.Path == "." {
		if e.Kind != tree.Dir {
			return fmt.Errorf("root is a %s, not a directory", e.Kind)
		}
		return nil
	}
	parent := path.Dir(e.Path)
	if p := l.lower.Get(parent); parent != "." && (p == nil || p.Kind != tree.Dir) {
		return fmt.Errorf("write %s: the tree has no directory %s", e.Path, parent)
	}
	return nil
}

// note puts into the plan what only init can do.
func (l *layer) note(e *tree.Entry) {
	if e.Kind == tree.Dir && (strings.HasPrefix(e.Path, "run/") || strings.HasPrefix(e.Path, "tmp/")) {
		l.plan.Volatile = append(l.plan.Volatile, pathMode{e.Path, e.Mode})
	}
	if o := (owner{e.UID, e.GID}); o != (owner{}) {
		switch e.Kind {
		case tree.Symlink, tree.Fifo, tree.Socket:
			l.plan.Owners = append(l.plan.Owners, pathOwner{e.Path, o})
		}
	}
	if e.Kind != tree.File && e.Kind != tree.Dir {
		return
	}
	for _, x := range e.Xattrs {
		if settable(x.Name) {
			l.plan.Xattrs = append(l.plan.Xattrs, pathXattr{e.Path, x.Name, x.Value})
		}
	}
}

// settable reports whether a namespace's root may set the attribute. Others
// (access lists with ids that are not mapped, labels) stay data of the tree.
func settable(name string) bool {
	return name == capabilityXattr || strings.HasPrefix(name, "user.") && !internalXattr(name)
}

// internalXattr reports whether the attribute is the overlay's or ours.
func internalXattr(name string) bool {
	return strings.HasPrefix(name, ownPrefix) || strings.HasPrefix(name, "user.overlay.")
}

func (l *layer) makeMountPoints() error {
	for _, name := range mountPoints {
		e := l.lower.Get(name)
		if e == nil {
			if err := os.Mkdir(l.host(name), 0o755); err != nil {
				return err
			}
		} else if e.Kind != tree.Dir {
			return fmt.Errorf("/%s is a %s; it must be a directory to be mounted on", name, e.Kind)
		}
	}
	return nil
}

func (l *layer) writeFiles(ctx context.Context, files []*tree.Entry) error {
	// Two entries never share a pool file: programs would take them for hard
	// links of one another (cp -a does).
	slots := make([]int, len(files))
	seen := map[string]int{}
	for i, e := range files {
		if key := poolKey(e); e.Kind == tree.File && key != "" {
			slots[i] = seen[key]
			seen[key]++
		}
	}
	const workers = 4
	group, ctx := errgroup.WithContext(ctx)
	var next sync.Mutex
	at := 0
	for range workers {
		group.Go(func() error {
			for ctx.Err() == nil {
				next.Lock()
				i := at
				at++
				next.Unlock()
				if i >= len(files) {
					return nil
				}
				if err := l.writeEntry(files[i], slots[i]); err != nil {
					return fmt.Errorf("write %s: %w", files[i].Path, err)
				}
			}
			return ctx.Err()
		})
	}
	return group.Wait()
}

func (l *layer) writeEntry(e *tree.Entry, slot int) error {
	name := l.host(e.Path)
	switch e.Kind {
	case tree.File:
		if l.pool != nil && l.poolable(e) {
			return l.pool.link(e, slot, name)
		}
		return writeFile(e, name)
	case tree.Symlink:
		if err := os.Symlink(e.Target, name); err != nil {
			return err
		}
		return setTime(name, e.MTime)
	case tree.Fifo, tree.Socket:
		kind := uint32(unix.S_IFIFO)
		if e.Kind == tree.Socket {
			kind = unix.S_IFSOCK
		}
		err := unix.Mknod(name, kind|0o600, 0)
		return errors.Join(err, unix.Chmod(name, e.Mode&0o7777), setTime(name, e.MTime))
	case tree.CharDevice, tree.BlockDevice:
		return nil // nothing can make it here; it stays data of the tree
	}
	return fmt.Errorf("is a %s", e.Kind)
}

// poolable reports whether the entry's inode may be shared with other trees.
func (l *layer) poolable(e *tree.Entry) bool {
	if e.UID != 0 || e.GID != 0 || e.Size == 0 || poolKey(e) == "" {
		return false
	}
	for _, x := range e.Xattrs {
		if settable(x.Name) {
			return false
		}
	}
	return true
}

func (l *layer) writeLink(e *tree.Entry) error {
	t := l.lower.Get(e.Target)
	if t == nil || t.Kind == tree.HardLink || t.Kind == tree.Dir {
		return fmt.Errorf("write %s: hard link to %s, which is no file of the tree", e.Path, e.Target)
	}
	if t.Kind == tree.CharDevice || t.Kind == tree.BlockDevice {
		return nil
	}
	return os.Link(l.host(e.Target), l.host(e.Path))
}

// finishDir gives a directory its owner, mode and time.
func finishDir(name string, e *tree.Entry) error {
	if o := (owner{e.UID, e.GID}); o != (owner{}) {
		if err := unix.Setxattr(name, ownerXattr, []byte(o.String()), 0); err != nil {
			return fmt.Errorf("record owner of %s: %w", e.Path, err)
		}
	}
	if err := unix.Chmod(name, e.Mode&0o7777); err != nil {
		return fmt.Errorf("chmod %s: %w", e.Path, err)
	}
	return setTime(name, e.MTime)
}

func setTime(name string, mtime int64) error {
	ts := unix.NsecToTimespec(0)
	ts.Sec = mtime
	return unix.UtimesNanoAt(unix.AT_FDCWD, name, []unix.Timespec{ts, ts}, unix.AT_SYMLINK_NOFOLLOW)
}
