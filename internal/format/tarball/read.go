package tarball

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"sort"
	"strings"

	"ashlar/internal/foundation/digest"
	"ashlar/internal/foundation/tree"
)

// Limits of reading. The zero value works.
type Limits struct {
	Entries int   // members; 0 is 1 Mi
	Bytes   int64 // of contents, names and attributes together; 0 is 256 MiB
}

func (l Limits) orDefault() Limits {
	if l.Entries == 0 {
		l.Entries = 1 << 20
	}
	if l.Bytes == 0 {
		l.Bytes = 256 << 20
	}
	return l
}

const (
	maxPath    = 4 * 4096 // beyond PATH_MAX, as in imagetree
	maxDevice  = 1<<32 - 1
	maxOwner   = 1<<32 - 1
	memberCost = 512 // bytes in memory that a member counts besides its names and content
)

// Each gives the members of an archive in their order: content is that of a file and
// valid until visit returns; e has neither Source nor Digest. A hard link's Target is a clean path.
// Names are not checked against one another: a member may come twice or before its parent.
// Limits.Bytes bounds names, attributes and contents.
func Each(r io.Reader, limits Limits, visit func(e tree.Entry, content io.Reader) error) error {
	limits = limits.orDefault()
	left := limits.Bytes
	tr := tar.NewReader(r)
	for n := 0; ; n++ {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read tar: %w", err)
		}
		if h.Typeflag == tar.TypeXGlobalHeader {
			continue
		}
		if n >= limits.Entries {
			return fmt.Errorf("read tar: more than %d members", limits.Entries)
		}
		e, err := entry(h)
		if err != nil {
			return fmt.Errorf("read tar member %.200q: %w", h.Name, err)
		}
		if left -= cost(&e); left < 0 {
			return fmt.Errorf("read tar member %.200q: more than %d bytes in all", h.Name, limits.Bytes)
		}
		if err := visit(e, tr); err != nil {
			return fmt.Errorf("read tar member %.200q: %w", h.Name, err)
		}
	}
}

func cost(e *tree.Entry) int64 {
	n := memberCost + int64(len(e.Path)+len(e.Target)) + e.Size
	for _, x := range e.Xattrs {
		n += int64(len(x.Name) + len(x.Value))
	}
	return n
}

func entry(h *tar.Header) (tree.Entry, error) {
	var e tree.Entry
	name, err := tree.Clean(h.Name)
	if err != nil {
		return e, err
	}
	if len(name) > maxPath || h.Size < 0 {
		return e, errors.New("path too long or negative size")
	}
	if h.Uid < 0 || int64(h.Uid) > maxOwner || h.Gid < 0 || int64(h.Gid) > maxOwner {
		return e, fmt.Errorf("owner %d:%d is beyond 32 bits", h.Uid, h.Gid)
	}
	e = tree.Entry{Path: name, Mode: uint32(h.Mode & 0o7777), UID: uint32(h.Uid), GID: uint32(h.Gid), MTime: h.ModTime.Unix()}
	switch h.Typeflag {
	case tar.TypeReg, tar.TypeGNUSparse:
		e.Kind, e.Size = tree.File, h.Size
	case tar.TypeDir:
		e.Kind = tree.Dir
	case tar.TypeSymlink:
		e.Kind, e.Target = tree.Symlink, h.Linkname
	case tar.TypeLink:
		target, err := tree.Clean(h.Linkname)
		return tree.Entry{Path: name, Kind: tree.HardLink, Target: target}, err
	case tar.TypeChar, tar.TypeBlock:
		e.Kind = tree.BlockDevice
		if h.Typeflag == tar.TypeChar {
			e.Kind = tree.CharDevice
		}
		if h.Devmajor < 0 || h.Devmajor > maxDevice || h.Devminor < 0 || h.Devminor > maxDevice {
			return e, fmt.Errorf("device %d,%d is beyond 32 bits", h.Devmajor, h.Devminor)
		}
		e.Major, e.Minor = uint32(h.Devmajor), uint32(h.Devminor)
	case tar.TypeFifo:
		e.Kind = tree.Fifo
	default:
		return e, fmt.Errorf("members of type %q are not known", h.Typeflag)
	}
	for key, value := range h.PAXRecords {
		if attr, ok := strings.CutPrefix(key, xattrRecord); ok && attr != "" {
			e.Xattrs = append(e.Xattrs, tree.Xattr{Name: attr, Value: []byte(value)})
		}
	}
	sort.Slice(e.Xattrs, func(i, j int) bool { return e.Xattrs[i].Name < e.Xattrs[j].Name })
	return e, nil
}

// Read reads a whole archive into a tree, contents in memory. A later member
// replaces an earlier one; directories that no member names are root's.
func Read(r io.Reader, limits Limits) (*tree.Tree, error) {
	t := &tree.Tree{}
	err := Each(r, limits, func(e tree.Entry, content io.Reader) error {
		if e.Kind == tree.File {
			data, err := io.ReadAll(content)
			if err != nil {
				return err
			}
			e.Size, e.Digest, e.Source = int64(len(data)), digest.Of(data), tree.Bytes(data)
		}
		return Apply(t, e)
	})
	if err != nil {
		return nil, err
	}
	return t, nil
}

// Apply puts a member into a tree as unpacking it over the earlier ones would: what
// is not a directory replaces all at its path, a directory keeps what another holds.
func Apply(t *tree.Tree, e tree.Entry) error {
	const parentMode = 0o755
	if e.Path != "." {
		if err := t.AddParents(e.Path, parentMode, 0); err != nil {
			return err
		}
	} else if e.Kind != tree.Dir {
		return fmt.Errorf("the root is a %s, not a directory", e.Kind)
	}
	if e.Kind == tree.HardLink {
		owner := t.Get(e.Target)
		if owner != nil && owner.Kind == tree.HardLink {
			e.Target = owner.Target
			owner = t.Get(e.Target)
		}
		if owner == nil || owner.Kind == tree.Dir {
			return fmt.Errorf("hard link to %.200q, which is no earlier file", e.Target)
		}
		if e.Target == e.Path {
			return nil
		}
	}
	if old := t.Get(e.Path); old != nil && (old.Kind != tree.Dir || e.Kind != tree.Dir) {
		t.Remove(e.Path)
	}
	return t.Put(e)
}
