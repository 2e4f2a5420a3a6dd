package kmod

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func index(t testing.TB, entries []Entry) *Index {
	t.Helper()
	data, err := writeIndex(entries)
	if err != nil {
		t.Fatal(err)
	}
	x, err := OpenIndex(data)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// TestIndexBytes: the bytes of the five words that kmod explains its tries with.
func TestIndexBytes(t *testing.T) {
	data, err := writeIndex([]Entry{{"on", "v", 7}, {"once", "w", 1}, {"on", "u", 7}, {"on", "t", 2}})
	if err != nil {
		t.Fatal(err)
	}
	want := "\xb0\x07\xf4\x57\x00\x02\x00\x01\x20\x00\x00\x0c" +
		"oo\xe0\x00\x00\x12" + // the root: o leads to
		"n\x00cc\xc0\x00\x00\x30\x00\x00\x00\x03\x00\x00\x00\x02t\x00\x00\x00\x00\x07u\x00\x00\x00\x00\x07v\x00" + // on: c leads to
		"e\x00\x00\x00\x00\x01\x00\x00\x00\x01w\x00" // once
	if string(data) != want {
		t.Errorf("got  %q\nwant %q", data, want)
	}
}

func TestIndexRefuses(t *testing.T) {
	for _, e := range []Entry{{Key: "ü"}, {Key: "a", Value: "ü"}, {Key: "a\x00b"}} {
		if _, err := writeIndex([]Entry{e}); err == nil {
			t.Errorf("%+v is written", e)
		}
	}
	whole, err := writeIndex([]Entry{{"a", "b", 0}, {"ac", "d", 0}})
	if err != nil {
		t.Fatal(err)
	}
	for what, data := range map[string][]byte{
		"nothing": nil, "another file": []byte("modules.dep: not an index"), "version 3": append([]byte("\xb0\x07\xf4\x57\x00\x03\x00\x00"), whole[8:]...),
	} {
		if _, err := OpenIndex(data); err == nil {
			t.Errorf("%s is opened", what)
		}
	}
	for n := indexHeader; n < len(whole); n++ {
		x, err := OpenIndex(whole[:n])
		if err != nil {
			t.Fatal(err)
		}
		if _, err := x.All(); err == nil {
			t.Errorf("%d bytes of %d are read whole", n, len(whole))
		}
	}
}

// TestIndexCircles: an index whose nodes lead back to themselves, or many to
// one, ends.
func TestIndexCircles(t *testing.T) {
	circle := []byte("\xb0\x07\xf4\x57\x00\x02\x00\x01\x20\x00\x00\x0cab\x20\x00\x00\x0c\x20\x00\x00\x0c")
	many := slices.Clone(circle)
	for n := range 40 { // each node has the next as both its children: 2^40 ways
		at := uint32(len(many) + 10)
		many = binary.BigEndian.AppendUint32(append(many, 'a', 'b'), at|nodeChildren)
		many = binary.BigEndian.AppendUint32(many, at|nodeChildren)
		_ = n
	}
	binary.BigEndian.PutUint32(many[8:], uint32(len(circle))|nodeChildren)
	for _, data := range [][]byte{circle, many} {
		x, err := OpenIndex(data)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := x.All(); err == nil {
			t.Errorf("an index of %d bytes is read whole", len(data))
		}
		if found, _ := x.Lookup(strings.Repeat("a", 10000)); len(found) > 0 {
			t.Errorf("found %v", found)
		}
	}
}

// TestIndexRandom compares with a plain list.
func TestIndexRandom(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	word := func() string {
		const letters = "abc*?:-"
		var text strings.Builder
		for range rng.IntN(8) {
			text.WriteByte(letters[rng.IntN(len(letters))])
		}
		return text.String()
	}
	for round := range 300 {
		var entries []Entry
		for n := range rng.IntN(60) {
			entries = append(entries, Entry{word(), fmt.Sprint("v", n), uint32(rng.IntN(3))})
		}
		x := index(t, entries)
		want := slices.Clone(entries)
		slices.Reverse(want)
		slices.SortStableFunc(want, func(a, b Entry) int {
			if c := strings.Compare(a.Key, b.Key); c != 0 {
				return c
			}
			return int(a.Priority) - int(b.Priority)
		})
		got, err := x.All()
		if err != nil || !slices.Equal(got, want) {
			t.Fatalf("round %d: %v\n%s", round, err, cmp.Diff(want, got))
		}
		for range 20 {
			key := word()
			var exact, matching []string
			for _, e := range want {
				if e.Key == key {
					exact = append(exact, e.Value)
				}
				// path.Match is another's; * and ? pass all but a slash.
				if ok, err := path.Match(e.Key, key); ok && err == nil {
					matching = append(matching, e.Value)
				}
			}
			found, err := x.Lookup(key)
			if got := values(found); err != nil || !slices.Equal(got, exact) {
				t.Fatalf("look up %q: %q, %v, want %q", key, got, err, exact)
			}
			found, err = x.Search(key)
			got := values(found)
			if slices.Sort(got); err != nil || !slices.Equal(got, slices.Sorted(slices.Values(matching))) {
				t.Fatalf("search %q: %q, %v, want %q", key, got, err, matching)
			}
		}
	}
}

func values(entries []Entry) []string {
	var list []string
	for _, e := range entries {
		list = append(list, e.Value)
	}
	return list
}

func TestMatch(t *testing.T) {
	for _, c := range []struct {
		pattern, name string
		want          bool
	}{
		{"pci:v00008086d*sv*sd*bc*sc*i*", "pci:v00008086d0000100Esv00001AF4sd00001100bc02sc00i00", true},
		{"pci:v00008086d*sv*sd*bc*sc*i*", "pci:v00008087d0000100Esv00001AF4sd00001100bc02sc00i00", false},
		{"usb:v0BDAp8153d31[0-9A-C]*", "usb:v0BDAp8153d31B0x", true}, {"a[0-9]", "ax", false}, {"a[!0-9]", "ax", true}, {"a[^0-9]", "a1", false},
		{"a[]x]", "a]", true}, {"a[x-]", "a-", true}, {"a[b", "a[b", true}, {"a?c", "abc", true}, {"a?c", "ac", false}, {"a/*", "a/b/c", true},
		{`a\*`, "a*", true}, {`a\*`, "ab", false}, {"", "", true}, {"", "a", false}, {"*", "", true}, {"**a**", "a", true}, {"a*b*c", "aXbYbZc", true},
	} {
		if got := Match(c.pattern, c.name); got != c.want {
			t.Errorf("%q matches %q: %v", c.pattern, c.name, got)
		}
	}
}

// FuzzIndex reads what may be an index, and writes again what it could read.
func FuzzIndex(f *testing.F) {
	for _, entries := range [][]Entry{nil, {{"a", "b", 1}}, {{"pci:v*d*", "x", 3}, {"pci:v*", "y", 1}, {"usb", "", 0}, {"usb", "z", 0}}} {
		data, err := writeIndex(entries)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		x, err := OpenIndex(data)
		if err != nil {
			return
		}
		_, _ = x.Search("pci:v1d2")
		_, _ = x.Lookup("a")
		entries, err := x.All()
		if err != nil {
			return
		}
		again, err := writeIndex(entries)
		if err != nil {
			return // keys in an order of the damage's, or not ASCII
		}
		y, err := OpenIndex(again)
		if err != nil {
			t.Fatal(err)
		}
		rest, err := y.All()
		if err != nil {
			t.Fatal(err)
		}
		slices.SortStableFunc(entries, func(a, b Entry) int { return strings.Compare(a.Key+"\x00"+a.Value, b.Key+"\x00"+b.Value) })
		slices.SortStableFunc(rest, func(a, b Entry) int { return strings.Compare(a.Key+"\x00"+a.Value, b.Key+"\x00"+b.Value) })
		for n := range entries {
			if len(rest) != len(entries) || rest[n].Key != entries[n].Key || rest[n].Value != entries[n].Value {
				t.Fatalf("%+v became %+v", entries, rest)
			}
		}
	})
}
