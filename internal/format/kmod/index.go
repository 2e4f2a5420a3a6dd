package kmod

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
)

// An index is a trie in which a node with a single child and no values is one
// with its child. Numbers are big-endian and have 32 bits.
//
//	magic, version, place of the root
//	node:  prefix and NUL, if there is one
//	       the first and the last byte that leads to a child, and for each byte
//	       between them a place or 0, if there are children
//	       the number of values, and each as its priority, its text and NUL, if there are any
//
// The highest bits of a place say which of the three are there. A node stands
// before its children, and each of them with all below it before the next.
// kmod's older versions, whose files are as good, wrote it the other way round.
const (
	indexMagic   = 0xb007f457
	indexVersion = 2<<16 | 1
	indexHeader  = 12 // bytes

	nodePrefix   = 1 << 31
	nodeValues   = 1 << 30
	nodeChildren = 1 << 29
	nodePlace    = 1<<28 - 1
)

// Entry is a value of a key. Values of low priority numbers come first.
type Entry struct {
	Key, Value string
	Priority   uint32
}

// writeIndex gives the index of entries; of those with one key and priority
// the later ones come first. Keys are ASCII.
func writeIndex(entries []Entry) ([]byte, error) {
	for _, e := range entries {
		for _, text := range []string{e.Key, e.Value} {
			if strings.ContainsFunc(text, func(r rune) bool { return r == 0 || r >= 0x80 }) {
				return nil, fmt.Errorf("index %q: not ASCII", text)
			}
		}
	}
	sorted := slices.Clone(entries)
	slices.Reverse(sorted)
	slices.SortStableFunc(sorted, func(a, b Entry) int {
		if c := strings.Compare(a.Key, b.Key); c != 0 {
			return c
		}
		return int(int64(a.Priority) - int64(b.Priority))
	})
	w := &indexWriter{out: make([]byte, indexHeader)}
	root := w.node(sorted, 0, 0)
	if len(w.out) > nodePlace {
		return nil, fmt.Errorf("index of %d bytes: the format ends at %d", len(w.out), nodePlace)
	}
	binary.BigEndian.PutUint32(w.out, indexMagic)
	binary.BigEndian.PutUint32(w.out[4:], indexVersion)
	binary.BigEndian.PutUint32(w.out[8:], root)
	return w.out, nil
}

type indexWriter struct{ out []byte }

// node writes the entries, whose keys are equal in the first end bytes, as a
// node and those below it. The node's prefix are the keys' bytes from at to end.
func (w *indexWriter) node(entries []Entry, at, end int) (place uint32) {
	place = uint32(len(w.out))
	if end > at {
		place |= nodePrefix
		w.text(entries[0].Key[at:end])
	}
	values := 0
	for values < len(entries) && len(entries[values].Key) == end {
		values++
	}
	children := entries[values:]
	table := 0
	if len(children) > 0 {
		place |= nodeChildren
		first, last := children[0].Key[end], children[len(children)-1].Key[end]
		w.out = append(w.out, first, last)
		table = len(w.out) - 4*int(first)
		w.out = append(w.out, make([]byte, 4*(int(last)-int(first)+1))...)
	}
	if values > 0 {
		place |= nodeValues
		w.out = binary.BigEndian.AppendUint32(w.out, uint32(values))
		for _, e := range entries[:values] {
			w.out = binary.BigEndian.AppendUint32(w.out, e.Priority)
			w.text(e.Value)
		}
	}
	for len(children) > 0 {
		c, n := children[0].Key[end], 1
		for n < len(children) && children[n].Key[end] == c {
			n++
		}
		child := w.node(children[:n], end+1, common(children[:n], end+1))
		binary.BigEndian.PutUint32(w.out[table+4*int(c):], child)
		children = children[n:]
	}
	return place
}

func (w *indexWriter) text(s string) { w.out = append(append(w.out, s...), 0) }

// common gives how many bytes, at least at, sorted keys begin with in common.
func common(entries []Entry, at int) int {
	first, last := entries[0].Key, entries[len(entries)-1].Key
	for at < len(first) && at < len(last) && first[at] == last[at] {
		at++
	}
	return at
}
