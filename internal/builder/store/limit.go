package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"ashlar/internal/foundation/atomicfile"
	"ashlar/internal/foundation/digest"
)

// A store's size is guessed between the times it is measured: the file "size"
// has what was measured, the time of that, and a line for every build since with
// what it added.
//
//	1234567 1800000000
//	+4096
const sizeFile = "size"

// remeasure is how old a measurement may get: some that add to a store do not
// count it.
const remeasure = 24 * time.Hour

// DefaultLimit is how large a store may get when nobody says: a fifth of the
// file system that it is on, so that a store that nobody looks after does not
// fill it; but at least 8 GiB, which hold what a dozen servers are built from.
func (s *Store) DefaultLimit() (int64, error) {
	const share, least = 5, 8 << 30
	var st unix.Statfs_t
	if err := unix.Statfs(s.dir, &st); err != nil {
		return 0, s.explain("measure the file system of store", err)
	}
	return max(int64(st.Blocks)*st.Bsize/share, least), nil
}

// Work tells Trim that the store is in use, by another part of this process,
// until done is called.
func (s *Store) Work() (done func()) {
	s.working.RLock()
	return s.working.RUnlock
}

// Trim brings the store below a limit: what was used least recently goes, and a
// tenth more, so that not every build has to. What this Store has read or made
// stays, and what keep names. It does nothing while others use the store, for
// whom it is as well: they trim when they are done. The store is measured only
// when by what was added it may be over the limit, or once a day.
func (s *Store) Trim(limit int64, keep func(digest.Digest) bool, m Meaning) (removed Usage, err error) {
	if !s.working.TryLock() {
		return newUsage(), nil
	}
	defer s.working.Unlock()
	guess, ok, err := s.guess()
	if err != nil || ok && guess <= limit {
		return newUsage(), err
	}
	removed, left, err := s.trim(limit, keep, m)
	if errors.Is(err, errBusy) {
		return removed, nil
	}
	if err == nil {
		err = atomicfile.WriteBytes(filepath.Join(s.dir, sizeFile), atomicfile.Options{}, fmt.Appendf(nil, "%d %d\n", left, time.Now().Unix()))
	}
	return removed, s.explain("trim store", err)
}

// trim measures, and collects if it has to.
func (s *Store) trim(limit int64, keep func(digest.Digest) bool, m Meaning) (removed Usage, left int64, err error) {
	c, err := s.scan(Meaning{Part: func(string) string { return PartRecords }}) // sizes only
	if err != nil || c.bytes() <= limit {
		return newUsage(), c.bytes(), err
	}
	s.mu.Lock()
	used := make(map[string]bool, len(s.used))
	for path := range s.used {
		used[path] = true
	}
	s.mu.Unlock()
	return s.collect(GCOptions{Meaning: m, Keep: keep, MaxSize: limit - limit/10, used: used})
}

// guess notes what this Store has added and gives the size by that; ok tells
// whether there is a measurement that is young enough.
func (s *Store) guess() (size int64, ok bool, err error) {
	name := filepath.Join(s.dir, sizeFile)
	if err := appendTo(name, fmt.Sprintf("+%d\n", s.added.Swap(0))); err != nil {
		return 0, false, s.explain("note the size of store", err)
	}
	data, err := os.ReadFile(name)
	if errors.Is(err, os.ErrNotExist) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, s.explain("read the size of store", err)
	}
	first, rest, _ := strings.Cut(string(data), "\n")
	var measured int64
	if _, err := fmt.Sscanf(first, "%d %d", &size, &measured); err != nil || time.Since(time.Unix(measured, 0)) > remeasure {
		return 0, false, nil // damaged, or old: measured again
	}
	for line := range strings.Lines(rest) {
		n, err := strconv.ParseInt(strings.TrimSuffix(line, "\n"), 10, 64)
		if err != nil {
			return 0, false, nil
		}
		size += n
	}
	return size, true, nil
}

// appendTo adds a line to a file, if there is one.
func appendTo(name, line string) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_APPEND, 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	_, err = f.WriteString(line)
	return errors.Join(err, f.Close())
}
