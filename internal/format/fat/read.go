package fat

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
	"unicode/utf16"

	"ashlar/internal/foundation/tree"
)

// Bounds of what the reader takes from a file system it does not trust.
const (
	maxEntries  = 100_000
	maxDirBytes = 2 << 20 // the format's own: 65536 entries
	maxDepth    = 64
)

// FS is an open file system.
type FS struct {
	Kind   Kind
	Label  string
	Serial uint32

	g geometry
	r io.ReaderAt
}

// Open reads the boot sector of the file system that r holds in size bytes.
func Open(r io.ReaderAt, size int64) (*FS, error) {
	b := make([]byte, sectorSize)
	if _, err := r.ReadAt(b, 0); err != nil {
		return nil, fmt.Errorf("open FAT file system: %w", err)
	}
	g, err := parse(b, size)
	if err != nil {
		return nil, fmt.Errorf("open FAT file system: %w", err)
	}
	tail := 36
	if g.kind == FAT32 {
		tail = 64
	}
	fs := &FS{Kind: g.kind, g: *g, r: r}
	if b[tail+2] == 0x29 {
		fs.Serial = binary.LittleEndian.Uint32(b[tail+3:])
		if text := strings.TrimRight(string(b[tail+7:tail+18]), " "); text != "NO NAME" {
			fs.Label = strings.ToValidUTF8(text, "\uFFFD")
		}
	}
	return fs, nil
}

// Tree lists the file system. Contents are read when they are opened, so r must
// stay open. Directories get mode 0755 and files 0644, all owned by root.
func (fs *FS) Tree() (*tree.Tree, error) {
	l := lister{fs: fs, t: &tree.Tree{}, seen: map[uint32]bool{}}
	if err := l.t.Put(tree.NewDir(".", 0o755)); err != nil {
		return nil, err
	}
	if err := l.list(".", fs.g.rootCluster, 0); err != nil {
		return nil, fmt.Errorf("list FAT file system: %w", err)
	}
	return l.t, nil
}

type lister struct {
	fs   *FS
	t    *tree.Tree
	seen map[uint32]bool // first clusters of directories, against loops
}

func (l *lister) list(dir string, cluster uint32, depth int) error {
	if l.seen[cluster] || depth > maxDepth {
		return fmt.Errorf("%s: directories form a loop or lie deeper than %d", dir, maxDepth)
	}
	l.seen[cluster] = true
	data, err := l.fs.directory(cluster)
	if err != nil {
		return fmt.Errorf("%s: %w", dir, err)
	}
	var long longName
	for ; len(data) >= dirEntry && data[0] != 0; data = data[dirEntry:] {
		b := data[:dirEntry]
		switch {
		case b[0] == 0xe5:
			long = longName{}
			continue
		case b[11]&0x3f == attrLong:
			long.add(b)
			continue
		case b[11]&attrVolume != 0 || b[0] == '.':
			long = longName{}
			continue
		}
		name := long.take([11]byte(b[:11]))
		if err := l.entry(path.Join(dir, name), name, b, depth); err != nil {
			return err
		}
	}
	return nil
}

func (l *lister) entry(full, name string, b []byte, depth int) error {
	if strings.ContainsAny(name, "/\x00") || name == "" || name == "." || name == ".." {
		return fmt.Errorf("%s: name %q is not usable", full, name)
	}
	if l.t.Len() >= maxEntries {
		return fmt.Errorf("more than %d entries", maxEntries)
	}
	if l.t.Get(full) != nil {
		return fmt.Errorf("%s: the name is there twice", full)
	}
	le := binary.LittleEndian
	first := uint32(le.Uint16(b[20:]))<<16 | uint32(le.Uint16(b[26:]))
	mtime := seconds(le.Uint16(b[24:]), le.Uint16(b[22:]))
	if b[11]&attrDir != 0 {
		d := tree.NewDir(full, 0o755)
		d.MTime = mtime
		if err := l.t.Put(d); err != nil {
			return err
		}
		return l.list(full, first, depth+1)
	}
	e := tree.Entry{Path: full, Kind: tree.File, Mode: 0o644, MTime: mtime, Size: int64(le.Uint32(b[28:]))}
	e.Source = &content{fs: l.fs, first: first, size: e.Size}
	return l.t.Put(e)
}

// directory gives the bytes of a directory; cluster 0 is FAT16's root.
func (fs *FS) directory(cluster uint32) ([]byte, error) {
	if cluster == 0 && fs.g.kind == FAT16 {
		data := make([]byte, fs.g.rootSectors()*sectorSize)
		_, err := fs.r.ReadAt(data, int64(fs.g.rootStart())*sectorSize)
		return data, err
	}
	var data []byte
	chain := chain{fs: fs, cluster: cluster}
	for len(data) < maxDirBytes {
		part := make([]byte, fs.g.clusterSize())
		if err := chain.check(); err != nil {
			return nil, err
		}
		if _, err := fs.r.ReadAt(part, fs.g.offset(chain.cluster)); err != nil {
			return nil, err
		}
		data = append(data, part...)
		if last, err := chain.next(); err != nil || last {
			return data, err
		}
	}
	return nil, fmt.Errorf("directory is longer than %d bytes", maxDirBytes)
}

// chain follows the clusters of a file through the first FAT.
type chain struct {
	fs      *FS
	cluster uint32
	sector  int64 // of the FAT, in buf; 0 when none is
	buf     [sectorSize]byte
}

func (c *chain) check() error {
	if c.cluster < 2 || c.cluster-2 >= c.fs.g.clusters {
		return fmt.Errorf("cluster %d does not exist", c.cluster)
	}
	return nil
}

// next moves on and reports whether the cluster was the last.
func (c *chain) next() (bool, error) {
	width := int64(c.fs.g.kind) / 8
	at := int64(c.cluster) * width
	if sector := int64(c.fs.g.reserved) + at/sectorSize; sector != c.sector {
		if _, err := c.fs.r.ReadAt(c.buf[:], sector*sectorSize); err != nil {
			return false, err
		}
		c.sector = sector
	}
	if c.fs.g.kind == FAT16 {
		c.cluster = uint32(binary.LittleEndian.Uint16(c.buf[at%sectorSize:]))
		return c.cluster >= 0xfff8, nil
	}
	c.cluster = binary.LittleEndian.Uint32(c.buf[at%sectorSize:]) & 0x0fffffff
	return c.cluster >= 0x0ffffff8, nil
}

// content is a file in the file system.
type content struct {
	fs    *FS
	first uint32
	size  int64
}

// Open implements tree.Content.
func (c *content) Open() (io.ReadCloser, error) {
	return &reader{chain: chain{fs: c.fs, cluster: c.first}, left: c.size}, nil
}

type reader struct {
	chain chain
	at    int64 // in the cluster
	left  int64 // bytes of the file
	ended bool  // the chain has no more clusters
}

// Close implements io.Closer.
func (r *reader) Close() error { return nil }

// Read implements io.Reader.
func (r *reader) Read(p []byte) (int, error) {
	if r.left == 0 {
		return 0, io.EOF
	}
	g := &r.chain.fs.g
	if r.at == g.clusterSize() {
		last, err := r.chain.next()
		if err != nil {
			return 0, err
		}
		r.ended, r.at = last, 0
	}
	if r.ended {
		return 0, fmt.Errorf("%w: clusters end before the file", io.ErrUnexpectedEOF)
	}
	if err := r.chain.check(); err != nil {
		return 0, err
	}
	n := min(int64(len(p)), r.left, g.clusterSize()-r.at)
	got, err := r.chain.fs.r.ReadAt(p[:n], g.offset(r.chain.cluster)+r.at)
	r.at, r.left = r.at+int64(got), r.left-int64(got)
	if int64(got) == n || errors.Is(err, io.EOF) && got > 0 {
		err = nil
	}
	return got, err
}

// longName collects long-name entries until the short entry they belong to.
type longName struct {
	units []uint16
	sum   byte
	next  int // number of the part that must come now; 0 when complete
	valid bool
}

func (l *longName) add(b []byte) {
	number := int(b[0] & 0x1f)
	switch {
	case b[0]&0x40 != 0:
		*l = longName{units: make([]uint16, unitsPerLong*number), sum: b[13], next: number, valid: number > 0}
	case !l.valid || number != l.next || b[13] != l.sum:
		*l = longName{}
	}
	if !l.valid || number == 0 {
		*l = longName{}
		return
	}
	for i, slot := range longSlots {
		l.units[(number-1)*unitsPerLong+i] = binary.LittleEndian.Uint16(b[slot:])
	}
	l.next = number - 1
}

// take gives the long name if a whole one for this short name was collected,
// else the short name.
func (l *longName) take(short [11]byte) string {
	found := *l
	*l = longName{}
	if found.valid && found.next == 0 && found.sum == checksum(short) {
		for i, unit := range found.units {
			if unit == 0 {
				found.units = found.units[:i]
				break
			}
		}
		return strings.ToValidUTF8(string(utf16.Decode(found.units)), "\uFFFD")
	}
	base, ext := strings.TrimRight(string(short[:8]), " "), strings.TrimRight(string(short[8:]), " ")
	if ext != "" {
		base += "." + ext
	}
	return strings.ToValidUTF8(base, "\uFFFD")
}
