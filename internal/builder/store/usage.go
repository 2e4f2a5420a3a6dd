package store

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"ashlar/internal/foundation/digest"
)

// The parts of a store's contents, in the order of Usage.
const (
	PartDownloads = "downloads"
	PartContents  = "unpacked contents"
	PartBlocks    = "blocks"
	PartImages    = "images"
	PartTools     = "tools"
	PartRecords   = "records"
	PartTemp      = "left by killed runs"
)

var partNames = []string{PartDownloads, PartContents, PartBlocks, PartImages, PartTools, PartRecords, PartTemp}

// Part is what a store holds of a kind.
type Part struct {
	Name   string `json:"name"`
	Number int    `json:"number"` // files; of tools the sets of programs
	Bytes  int64  `json:"bytes"`  // on a disk with blocks of 4 KiB
}

// Usage is what a store holds, all parts in their order.
type Usage []Part

func newUsage() Usage {
	u := make(Usage, len(partNames))
	for n, name := range partNames {
		u[n].Name = name
	}
	return u
}

func (u Usage) add(i *item) {
	for n := range u {
		if u[n].Name == i.part {
			u[n].Number++
			u[n].Bytes += i.size
		}
	}
}

// Bytes is the sum.
func (u Usage) Bytes() int64 {
	sum := int64(0)
	for _, p := range u {
		sum += p.Bytes
	}
	return sum
}

// Meaning says what the store cannot know of records. The zero value knows nothing.
type Meaning struct {
	// Part gives the part that records of a kind belong to; "" is PartRecords.
	Part func(kind string) string
	// Refs gives the blobs that a record needs, and the part that these belong
	// to. It is not asked about kinds with a part of their own.
	Refs func(kind, key string, data []byte) (part string, needs []digest.Digest)
}

// Usage measures the store.
func (s *Store) Usage(m Meaning) (Usage, error) {
	c, err := s.scan(m)
	if err != nil {
		return nil, s.explain("measure store", err)
	}
	return c.usage(), nil
}

// rank orders what was used last at the same time: who needs goes before what
// is needed.
type rank int

const (
	rankRecord rank = iota
	rankPool
	rankBlob
	rankTools
	rankTemp
)

// item is a file of the store, or a directory that goes as a whole.
type item struct {
	path  string
	rank  rank
	name  string // a record's key; a blob's digest; of the pool its content's digest; of tools the directory
	part  string
	size  int64     // bytes, in whole blocks of 4 KiB
	used  time.Time // last, as far as anybody knows
	found time.Time // the file's own time when it was looked at
	needs []string  // blobs that a record needs
}

// contents are all items of a store.
type contents struct {
	items []*item
	blobs map[string]*item // by digest
}

func (c *contents) usage() Usage {
	u := newUsage()
	for _, i := range c.items {
		u.add(i)
	}
	return u
}

// bytes is the size of what a limit is about: all but what runs are making, or
// have left behind.
func (c *contents) bytes() int64 {
	sum := int64(0)
	for _, i := range c.items {
		if i.rank != rankTemp {
			sum += i.size
		}
	}
	return sum
}

// onDisk rounds up to blocks of 4 KiB, which most file systems have.
func onDisk(size int64) int64 {
	const block = 4 << 10
	return (size + block - 1) &^ (block - 1)
}

// changed is when a file was made, written to, or linked: a sandbox that uses a
// blob links it. Blobs may have the times of the files in an image.
func changed(info fs.FileInfo) time.Time {
	t := info.ModTime()
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		t = time.Unix(st.Ctim.Sec, st.Ctim.Nsec)
	}
	return t
}

// scan looks at everything. Files that vanish meanwhile are passed over.
func (s *Store) scan(m Meaning) (*contents, error) {
	c := &contents{blobs: map[string]*item{}}
	add := func(i *item) *item {
		i.size = onDisk(i.size)
		c.items = append(c.items, i)
		return i
	}
	err := s.walk("blobs", func(path string, info fs.FileInfo) error {
		at := changed(info)
		name := filepath.Base(path)
		c.blobs[name] = add(&item{path: path, rank: rankBlob, name: name, part: PartDownloads, size: info.Size(), used: at, found: at})
		return nil
	})
	err = errors.Join(err, s.walk("pool", func(path string, info fs.FileInfo) error {
		at := changed(info)
		name, _, _ := strings.Cut(filepath.Base(path), "-")
		add(&item{path: path, rank: rankPool, name: name, part: PartContents, size: info.Size(), used: at, found: at})
		return nil
	}))
	err = errors.Join(err, s.walk("records", func(path string, info fs.FileInfo) error {
		i := add(&item{path: path, rank: rankRecord, name: filepath.Base(path), size: info.Size(), used: info.ModTime(), found: info.ModTime()})
		return s.understand(c, i, m)
	}))
	err = errors.Join(err, s.walk("tmp", func(path string, info fs.FileInfo) error {
		if st, ok := info.Sys().(*syscall.Stat_t); ok && st.Nlink > 1 {
			return nil // counted where it comes from
		}
		add(&item{path: path, rank: rankTemp, part: PartTemp, size: info.Size(), used: info.ModTime()})
		return nil
	}))
	err = errors.Join(err, s.scanTools(add))
	c.inherit()
	return c, err
}

// understand reads what a record needs.
func (s *Store) understand(c *contents, i *item, m Meaning) error {
	rel, err := filepath.Rel(filepath.Join(s.dir, "records"), i.path)
	if err != nil {
		return err
	}
	kind, _, _ := strings.Cut(rel, string(filepath.Separator))
	if m.Part != nil {
		i.part = m.Part(kind)
	}
	if i.part != "" {
		return nil
	}
	i.part = PartRecords
	if m.Refs == nil {
		return nil
	}
	data, err := os.ReadFile(i.path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	part, needs := m.Refs(kind, i.name, data)
	for _, d := range needs {
		name := d.String()
		i.needs = append(i.needs, name)
		if b := c.blobs[name]; b != nil {
			b.part = part
		}
	}
	return nil
}

// inherit gives blobs the times of the records that need them, or that are
// about them.
func (c *contents) inherit() {
	later := func(name string, at time.Time) {
		if b := c.blobs[name]; b != nil && at.After(b.used) {
			b.used = at
		}
	}
	for _, i := range c.items {
		if i.rank != rankRecord {
			continue
		}
		later(i.name, i.used)
		for _, name := range i.needs {
			later(name, i.used)
		}
	}
}

// scanTools counts each directory below tools as one.
func (s *Store) scanTools(add func(*item) *item) error {
	entries, err := os.ReadDir(filepath.Join(s.dir, "tools"))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	for _, e := range entries {
		info, infoErr := e.Info()
		if infoErr != nil {
			continue // gone
		}
		i := &item{path: filepath.Join(s.dir, "tools", e.Name()), rank: rankTools, name: e.Name(), part: PartTools, used: info.ModTime(), found: info.ModTime()}
		err = errors.Join(err, s.walk(filepath.Join("tools", e.Name()), func(_ string, info fs.FileInfo) error {
			i.size += onDisk(info.Size())
			return nil
		}))
		add(i)
	}
	return err
}

// walk visits the regular files below a directory of the store, which may be
// missing; files that vanish meanwhile are passed over.
func (s *Store) walk(sub string, visit func(path string, info fs.FileInfo) error) error {
	return filepath.WalkDir(filepath.Join(s.dir, sub), func(path string, e fs.DirEntry, err error) error {
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		if err != nil {
			if sub == "tmp" && errors.Is(err, os.ErrPermission) {
				return fs.SkipDir // removed all the same
			}
			return err
		}
		if !e.Type().IsRegular() {
			return nil
		}
		info, err := e.Info()
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		return visit(path, info)
	})
}
