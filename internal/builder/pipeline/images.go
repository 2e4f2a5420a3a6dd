package pipeline

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"sort"
	"strings"

	"ashlar/internal/builder/lock"
	"ashlar/internal/builder/target"
	"ashlar/internal/contract/imageinfo"
	"ashlar/internal/contract/layout"
	"ashlar/internal/format/squashfs"
	"ashlar/internal/foundation/digest"
	"ashlar/internal/foundation/tree"
)

// Image is a file that Inspect and Diff look into: its parts as trees.
type Image struct {
	Kind     string               `json:"kind"` // "disk", "squashfs", "lock", "file"
	Size     int64                `json:"size"`
	Digest   digest.Digest        `json:"sha256"`
	Parts    []ImagePart          `json:"parts,omitempty"`
	Manifest []imageinfo.Manifest `json:"manifests,omitempty"` // of the generations on a disk
	Lock     *lock.Lock           `json:"-"`
	file     *os.File
}

// ImagePart is a file system of an image.
type ImagePart struct {
	Name    string     `json:"name"`
	Format  string     `json:"format"`
	Offset  int64      `json:"offset"`
	Size    int64      `json:"size"`
	Entries int        `json:"entries"`
	Bytes   int64      `json:"bytes"` // of files
	Tree    *tree.Tree `json:"-"`
}

// Close ends the reading.
func (i *Image) Close() error { return i.file.Close() }

// OpenImage looks at a file: a lock, a disk image, a squashfs image or else.
func OpenImage(name string) (*Image, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	image, err := openImage(f)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("read image %s: %w", name, err), f.Close())
	}
	image.file = f
	return image, nil
}

func openImage(f *os.File) (*Image, error) {
	d, size, err := digest.Reader(f)
	if err != nil {
		return nil, err
	}
	i := &Image{Kind: "file", Size: size, Digest: d}
	head := make([]byte, 1024)
	n, err := f.ReadAt(head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	head = head[:n]
	switch {
	case bytes.HasPrefix(head, []byte("hsqs")):
		i.Kind = "squashfs"
		return i, i.addSquashfs("root", f, 0, size)
	case len(head) >= 520 && string(head[512:520]) == "EFI PART":
		i.Kind = "disk"
		return i, i.addDisk(f, size)
	case bytes.HasPrefix(head, []byte("{")) && bytes.Contains(head, []byte(`"arches":`)):
		i.Kind = "lock"
		data, err := io.ReadAll(io.NewSectionReader(f, 0, min(size, lock.MaxSize+1)))
		if err != nil {
			return nil, err
		}
		i.Lock, err = lock.Parse(data)
		return i, err
	}
	return i, nil
}

func (i *Image) addPart(name, format string, offset, size int64, t *tree.Tree) {
	p := ImagePart{Name: name, Format: format, Offset: offset, Size: size, Tree: t}
	if t != nil {
		p.Entries = t.Len()
		for _, path := range t.Paths() {
			p.Bytes += t.Get(path).Size
		}
	}
	i.Parts = append(i.Parts, p)
}

func (i *Image) addSquashfs(name string, r io.ReaderAt, offset, size int64) error {
	reader, err := squashfs.Open(r, size)
	if err != nil {
		return err
	}
	t, err := reader.Tree()
	if err != nil {
		return err
	}
	i.addPart(name, "squashfs", offset, size, t)
	return nil
}

// addDisk reads the partitions, and the images that generations hold.
func (i *Image) addDisk(r io.ReaderAt, size int64) error {
	disk, err := target.OpenDisk(r, size)
	if err != nil {
		return err
	}
	for _, p := range disk.Partitions {
		i.addPart(p.Name, p.Format, p.Offset, p.Size, p.Tree)
		if p.Name != layout.PartSystem || p.Tree == nil {
			continue
		}
		if err := i.addGenerations(p.Tree); err != nil {
			return err
		}
	}
	return nil
}

func (i *Image) addGenerations(t *tree.Tree) error {
	for _, name := range t.Paths() {
		e := t.Get(name)
		switch {
		case path.Base(name) == layout.GenManifest:
			const limit = 64 << 20
			data, err := e.ReadAll(limit)
			if err != nil {
				return err
			}
			var m imageinfo.Manifest
			if err := json.Unmarshal(data, &m); err != nil {
				return fmt.Errorf("read %s: %w", name, err)
			}
			i.Manifest = append(i.Manifest, m)
		case strings.HasSuffix(name, ".squashfs"):
			r, err := e.Open()
			if err != nil {
				return err
			}
			at, ok := r.(io.ReaderAt)
			if !ok {
				return fmt.Errorf("read %s: its content can't be read at an offset", name)
			}
			if err := i.addSquashfs(path.Base(name), at, 0, e.Size); err != nil {
				return fmt.Errorf("read %s: %w", name, err)
			}
		}
	}
	return nil
}

// CompareImages explains how two files differ: down to the path and the field
// where both are images, else to the first byte.
func CompareImages(a, b string) ([]string, error) {
	ia, err := OpenImage(a)
	if err != nil {
		return nil, err
	}
	defer ia.Close()
	ib, err := OpenImage(b)
	if err != nil {
		return nil, err
	}
	defer ib.Close()
	if ia.Lock != nil && ib.Lock != nil {
		return lock.DiffLocks(ia.Lock, ib.Lock).Lines(), nil
	}
	if ia.Digest == ib.Digest {
		return nil, nil
	}
	var lines []string
	parts := map[string]ImagePart{}
	for _, p := range ib.Parts {
		parts[p.Name] = p
	}
	for _, pa := range ia.Parts {
		pb, ok := parts[pa.Name]
		delete(parts, pa.Name)
		if !ok {
			lines = append(lines, pa.Name+": only in the first")
			continue
		}
		differences, err := compareParts(pa, pb)
		if err != nil {
			return nil, err
		}
		lines = append(lines, differences...)
	}
	for _, name := range sortedKeys(parts) {
		lines = append(lines, name+": only in the second")
	}
	if len(lines) == 0 {
		at, err := firstDifference(ia.file, ib.file)
		if err != nil {
			return nil, err
		}
		lines = []string{fmt.Sprintf("sizes %d and %d; the first byte that differs is at %d (%#x)", ia.Size, ib.Size, at, at)}
	}
	return lines, nil
}

func compareParts(a, b ImagePart) ([]string, error) {
	var lines []string
	if a.Offset != b.Offset || a.Size != b.Size {
		lines = append(lines, fmt.Sprintf("%s: at %d, %d bytes → at %d, %d bytes", a.Name, a.Offset, a.Size, b.Offset, b.Size))
	}
	if a.Tree == nil || b.Tree == nil {
		return lines, nil
	}
	differences, err := CompareTrees(a.Tree, b.Tree)
	for _, d := range differences {
		lines = append(lines, a.Name+"/"+d)
	}
	return lines, err
}

// CompareTrees lists the paths that differ, each with the fields that do.
func CompareTrees(a, b *tree.Tree) ([]string, error) {
	names := map[string]bool{}
	for _, t := range []*tree.Tree{a, b} {
		for _, p := range t.Paths() {
			names[p] = true
		}
	}
	all := sortedKeys(names)
	sort.Strings(all)
	var lines []string
	for _, name := range all {
		ea, eb := a.Get(name), b.Get(name)
		switch {
		case eb == nil:
			lines = append(lines, fmt.Sprintf("%s: only in the first (%s, %d bytes)", name, ea.Kind, ea.Size))
		case ea == nil:
			lines = append(lines, fmt.Sprintf("%s: only in the second (%s, %d bytes)", name, eb.Kind, eb.Size))
		default:
			fields, err := compareEntries(ea, eb)
			if err != nil {
				return nil, err
			}
			if len(fields) > 0 {
				lines = append(lines, name+": "+strings.Join(fields, ", "))
			}
		}
	}
	return lines, nil
}

func compareEntries(a, b *tree.Entry) ([]string, error) {
	var fields []string
	field := func(name string, va, vb any) {
		if sa, sb := fmt.Sprint(va), fmt.Sprint(vb); sa != sb {
			fields = append(fields, name+" "+sa+" → "+sb)
		}
	}
	field("kind", a.Kind, b.Kind)
	field("mode", fmt.Sprintf("%04o", a.Mode), fmt.Sprintf("%04o", b.Mode))
	field("owner", fmt.Sprint(a.UID, ":", a.GID), fmt.Sprint(b.UID, ":", b.GID))
	field("mtime", a.MTime, b.MTime)
	field("target", a.Target, b.Target)
	field("device", fmt.Sprint(a.Major, ",", a.Minor), fmt.Sprint(b.Major, ",", b.Minor))
	field("xattrs", fmt.Sprintf("%q", a.Xattrs), fmt.Sprintf("%q", b.Xattrs))
	field("size", a.Size, b.Size)
	if a.Kind == tree.File && b.Kind == tree.File {
		same, at, err := compareContents(a, b)
		if err != nil {
			return nil, err
		}
		if !same {
			fields = append(fields, fmt.Sprintf("content from byte %d on", at))
		}
	}
	return fields, nil
}

func compareContents(a, b *tree.Entry) (same bool, at int64, err error) {
	if !a.Digest.IsZero() && a.Digest == b.Digest {
		return true, 0, nil
	}
	ra, err := a.Open()
	if err != nil {
		return false, 0, err
	}
	defer ra.Close()
	rb, err := b.Open()
	if err != nil {
		return false, 0, err
	}
	defer rb.Close()
	at, err = firstDifferenceOf(ra, rb)
	return at < 0, at, err
}

func firstDifference(a, b *os.File) (int64, error) {
	return firstDifferenceOf(io.NewSectionReader(a, 0, 1<<62), io.NewSectionReader(b, 0, 1<<62))
}

// firstDifferenceOf gives the offset of the first byte that differs, or -1.
func firstDifferenceOf(a, b io.Reader) (int64, error) {
	const chunk = 64 << 10
	var at int64
	ba, bb := make([]byte, chunk), make([]byte, chunk)
	for {
		na, errA := io.ReadFull(a, ba)
		nb, errB := io.ReadFull(b, bb)
		for i := range min(na, nb) {
			if ba[i] != bb[i] {
				return at + int64(i), nil
			}
		}
		if na != nb {
			return at + int64(min(na, nb)), nil
		}
		for _, err := range []error{errA, errB} {
			if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
				return 0, err
			}
		}
		if errA != nil {
			return -1, nil
		}
		at += chunk
	}
}
