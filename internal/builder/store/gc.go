package store

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"ashlar/internal/foundation/digest"
)

// GCOptions says what stays.
type GCOptions struct {
	Meaning
	// Keep names blobs that stay, and with them the records whose key is such a
	// digest, and tools of that name. Nil keeps none.
	Keep func(digest.Digest) bool
	// MaxSize has what was used least recently go until the store takes no more
	// bytes. Zero: the size does not matter.
	MaxSize int64
	// MaxAge has all go that was not used for so long. It is not looked at when
	// there is a MaxSize and it is zero; else zero is no time at all.
	MaxAge time.Duration
	Now    time.Time // for MaxAge; zero is the clock's
	DryRun bool      // count only

	used map[string]bool // paths of records and blobs that stay, too
}

// errBusy says that others use the store.
var errBusy = errors.New("another process uses it; try again when it is done")

// GC removes what is not kept and returns what was removed. What kept records
// need is kept. It fails when another process, or another Store of this one,
// has the store open.
func (s *Store) GC(opt GCOptions) (removed Usage, err error) {
	removed, _, err = s.collect(opt)
	return removed, s.explain("collect garbage in store", err)
}

func (s *Store) collect(opt GCOptions) (removed Usage, left int64, err error) {
	removed = newUsage()
	release, err := s.collector()
	if err != nil {
		return removed, 0, err
	}
	defer func() { err = errors.Join(err, release()) }()
	c, err := s.scan(opt.Meaning)
	if err != nil {
		return removed, 0, err
	}
	victims := c.plan(opt)
	if opt.DryRun {
		for _, i := range victims {
			removed.add(i)
		}
	} else {
		err = s.removeAlone(victims, opt.used == nil, removed)
	}
	return removed, c.bytes() - removed.Bytes(), err
}

// plan chooses what goes, the first first.
func (c *contents) plan(opt GCOptions) []*item {
	if opt.Now.IsZero() {
		opt.Now = time.Now()
	}
	kept := c.kept(opt)
	var victims, rest []*item
	for _, i := range c.items {
		switch {
		case i.rank == rankTemp:
			if opt.used == nil { // whoever made it would hold the lock; at the end of a build, others may
				victims = append(victims, i)
			}
		case kept[i]:
		case opt.MaxSize > 0 && opt.MaxAge == 0, opt.MaxAge > 0 && opt.Now.Sub(i.used) < opt.MaxAge:
			rest = append(rest, i)
		default:
			victims = append(victims, i)
		}
	}
	order := func(a, b *item) int {
		return cmp.Or(a.used.Compare(b.used), int(a.rank-b.rank), cmp.Compare(a.path, b.path))
	}
	slices.SortFunc(victims, order)
	slices.SortFunc(rest, order)
	left := c.bytes()
	for _, i := range victims {
		if i.rank != rankTemp {
			left -= i.size
		}
	}
	for _, i := range rest {
		if opt.MaxSize == 0 || left <= opt.MaxSize {
			break
		}
		victims = append(victims, i)
		left -= i.size
	}
	return victims
}

// kept gives what stays whatever its age.
func (c *contents) kept(opt GCOptions) map[*item]bool {
	kept := map[*item]bool{}
	for _, i := range c.items {
		d, err := digest.Parse(i.name)
		if opt.used[i.path] || err == nil && i.rank != rankPool && opt.Keep != nil && opt.Keep(d) {
			kept[i] = true
		}
	}
	for _, i := range c.items {
		if i.rank != rankRecord || !kept[i] {
			continue
		}
		for _, name := range i.needs {
			if b := c.blobs[name]; b != nil {
				kept[b] = true
			}
		}
	}
	return kept
}

// collector makes this the only one that collects garbage.
func (s *Store) collector() (release func() error, err error) {
	f, err := os.OpenFile(filepath.Join(s.dir, "collector"), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("%w (%w)", errBusy, err), f.Close())
	}
	return f.Close, nil
}

// Others that want to open the store wait for this long at most; then they are
// let in, and what is left stays for another time.
const (
	turn  = 250 * time.Millisecond
	pause = 4 * recheck
)

// removeAlone removes items while nobody else has the store open. Sweep: also
// what killed runs have left.
func (s *Store) removeAlone(victims []*item, sweep bool, removed Usage) error {
	for first := true; first || len(victims) > 0; first = false {
		if !first {
			time.Sleep(pause)
		}
		if err := s.alone(); err != nil {
			return err
		}
		var err error
		if first && sweep {
			err = s.sweepTemp()
		}
		end := time.Now().Add(turn)
		for err == nil && len(victims) > 0 && time.Now().Before(end) {
			err = s.removeItem(victims[0], removed)
			victims = victims[1:]
		}
		if err := errors.Join(err, s.share()); err != nil {
			return err
		}
	}
	return nil
}

// alone takes the lock for this Store only, or fails at once.
func (s *Store) alone() error {
	err := s.flock(unix.LOCK_EX | unix.LOCK_NB)
	if err == nil {
		return nil
	}
	// A failed conversion may have dropped the shared lock. Nobody else collects.
	return errors.Join(fmt.Errorf("%w (%w)", errBusy, err), s.share())
}

// removeItem removes one item unless it was used since it was looked at.
func (s *Store) removeItem(i *item, removed Usage) error {
	if i.rank == rankTemp {
		removed.add(i) // swept already
		return nil
	}
	info, err := os.Lstat(i.path)
	if err != nil {
		return nil // somebody was faster
	}
	at := info.ModTime()
	if i.rank == rankBlob || i.rank == rankPool {
		at = changed(info)
	}
	if !at.Equal(i.found) {
		return nil
	}
	if i.rank == rankTools {
		// Nobody sees a part of it: it goes under another name.
		gone := filepath.Join(s.dir, "tmp", "tools-"+i.name)
		err = errors.Join(os.Rename(i.path, gone), removeAll(gone))
	} else {
		err = os.Remove(i.path)
	}
	if err == nil {
		removed.add(i)
	}
	return err
}

// sweepTemp takes all: whoever made it would hold the lock.
func (s *Store) sweepTemp() error {
	entries, err := os.ReadDir(filepath.Join(s.dir, "tmp"))
	for _, e := range entries {
		err = errors.Join(err, removeAll(filepath.Join(s.dir, "tmp", e.Name())))
	}
	return err
}
