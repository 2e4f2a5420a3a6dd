package pipeline

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sort"
	"strings"

	"ashlar/internal/builder/lock"
	"ashlar/internal/foundation/tree"
)

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
	if ia.Kind != ib.Kind {
		return []string{"kind " + ia.Kind + " → " + ib.Kind}, nil
	}
	return compareAll(ia, ib)
}

// compareAll compares two images of one kind that are not the same.
func compareAll(ia, ib *Image) ([]string, error) {
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
