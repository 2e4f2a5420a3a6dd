package kmod

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
)

// Index reads an index where it lies. A damaged one gives errors, or less than
// was written, and never takes longer than its size allows.
type Index struct {
	data []byte
	root uint32
}

// MaxIndex bounds the size of an index: its format has places of 28 bits.
const MaxIndex = nodePlace + 1

// maxKey bounds the keys, in bytes; the longest aliases have some hundred.
const maxKey = 4096

// errIndex is a place that is none, or a text without an end.
var errIndex = errors.New("damaged index")

// OpenIndex looks at the header.
func OpenIndex(data []byte) (*Index, error) {
	if len(data) < indexHeader || len(data) > MaxIndex || binary.BigEndian.Uint32(data) != indexMagic {
		return nil, fmt.Errorf("read index: it is none")
	}
	if version := binary.BigEndian.Uint32(data[4:]); version>>16 != indexVersion>>16 {
		return nil, fmt.Errorf("read index: version %d.%d, want %d", version>>16, version&0xffff, indexVersion>>16)
	}
	return &Index{data, binary.BigEndian.Uint32(data[8:])}, nil
}

// indexNode is a node taken apart.
type indexNode struct {
	prefix   []byte
	first    byte
	children []byte // a place each 4 bytes
	values   []byte // as many as count, and what follows
	count    uint32
}

func (x *Index) node(place uint32) (n indexNode, err error) {
	at := int(place & nodePlace)
	if at < indexHeader || at > len(x.data) {
		return n, fmt.Errorf("%w: node at %d of %d", errIndex, at, len(x.data))
	}
	rest := x.data[at:]
	if place&nodePrefix != 0 {
		if n.prefix, rest, err = cutText(rest); err != nil {
			return n, err
		}
	}
	if place&nodeChildren != 0 {
		if len(rest) < 2 || rest[1] < rest[0] {
			return n, fmt.Errorf("%w: children of the node at %d", errIndex, at)
		}
		size := 4 * (int(rest[1]) - int(rest[0]) + 1)
		if n.first, rest = rest[0], rest[2:]; len(rest) < size {
			return n, fmt.Errorf("%w: children of the node at %d", errIndex, at)
		}
		n.children, rest = rest[:size], rest[size:]
	}
	if place&nodeValues != 0 {
		if len(rest) < 4 {
			return n, fmt.Errorf("%w: values of the node at %d", errIndex, at)
		}
		n.count, n.values = binary.BigEndian.Uint32(rest), rest[4:]
	}
	return n, nil
}

func cutText(data []byte) (text, rest []byte, err error) {
	text, rest, ok := bytes.Cut(data, []byte{0})
	if !ok {
		err = fmt.Errorf("%w: a text has no end", errIndex)
	}
	return text, rest, err
}

// child gives the place of the child that a byte leads to, or 0.
func (n *indexNode) child(c byte) uint32 {
	if at := 4 * (int(c) - int(n.first)); at >= 0 && at < len(n.children) {
		return binary.BigEndian.Uint32(n.children[at:])
	}
	return 0
}

// entries gives the values of a node as those of a key.
func (n *indexNode) entries(key string) ([]Entry, error) {
	var found []Entry
	rest := n.values
	for range n.count {
		if len(rest) < 4 {
			return nil, fmt.Errorf("%w: %d values of %q", errIndex, n.count, key)
		}
		value, after, err := cutText(rest[4:])
		if err != nil {
			return nil, err
		}
		found = append(found, Entry{key, string(value), binary.BigEndian.Uint32(rest)})
		rest = after
	}
	return found, nil
}

// Lookup gives the values of a key, those of the lowest priority first.
func (x *Index) Lookup(key string) ([]Entry, error) {
	place := x.root
	for rest := []byte(key); ; rest = rest[1:] {
		n, err := x.node(place)
		if err != nil {
			return nil, err
		}
		var ok bool
		if rest, ok = bytes.CutPrefix(rest, n.prefix); !ok {
			return nil, nil
		}
		if len(rest) == 0 {
			return n.entries(key)
		}
		if place = n.child(rest[0]); place == 0 {
			return nil, nil
		}
	}
}

// Search gives the values of all keys that, read as patterns, match a name:
// what loads when the kernel asks for an alias. Those of the lowest priority
// come first.
func (x *Index) Search(name string) ([]Entry, error) {
	w := indexWalk{x: x, keep: func(key []byte) bool { return Match(string(key), name) }}
	w.enter = func(key []byte) bool {
		fixed := bytes.IndexAny(key, wild)
		if fixed < 0 {
			fixed = len(key)
		}
		return len(name) >= fixed && name[:fixed] == string(key[:fixed])
	}
	err := w.visit(x.root, nil)
	slices.SortStableFunc(w.found, func(a, b Entry) int { return int(int64(a.Priority) - int64(b.Priority)) })
	return w.found, err
}

// All gives all entries by key.
func (x *Index) All() ([]Entry, error) {
	all := func([]byte) bool { return true }
	w := indexWalk{x: x, keep: all, enter: all}
	err := w.visit(x.root, nil)
	return w.found, err
}

// indexWalk visits the nodes of a trie.
type indexWalk struct {
	x       *Index
	enter   func(beginning []byte) bool // whether keys that begin so are looked at
	keep    func(key []byte) bool
	found   []Entry
	visited int // bytes of keys and values, at most the size of the index in one that is whole
}

func (w *indexWalk) visit(place uint32, key []byte) error {
	n, err := w.x.node(place)
	if err != nil {
		return err
	}
	key = append(key, n.prefix...)
	if len(key) > maxKey {
		return fmt.Errorf("%w: a key of more than %d bytes", errIndex, maxKey)
	}
	if w.visited += 1 + len(n.prefix) + len(n.children); w.visited > len(w.x.data) {
		return fmt.Errorf("%w: nodes with more than one parent", errIndex)
	}
	if !w.enter(key) {
		return nil
	}
	if n.count > 0 && w.keep(key) {
		entries, err := n.entries(string(key))
		if err != nil {
			return err
		}
		for _, e := range entries {
			w.visited += 4 + len(e.Value)
		}
		w.found = append(w.found, entries...)
	}
	for at := 0; at < len(n.children); at += 4 {
		child := binary.BigEndian.Uint32(n.children[at:])
		if child == 0 {
			continue
		}
		if err := w.visit(child, append(key[:len(key):len(key)], n.first+byte(at/4))); err != nil {
			return err
		}
	}
	return nil
}
