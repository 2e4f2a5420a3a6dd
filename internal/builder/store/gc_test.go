package store_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ashlar/internal/builder/store"
	"ashlar/internal/foundation/digest"
)

// numbers lists the parts that are not empty: "downloads 2, records 1".
func numbers(u store.Usage) string {
	var list []string
	for _, p := range u {
		if p.Number > 0 {
			list = append(list, fmt.Sprint(p.Name, " ", p.Number))
		}
	}
	return strings.Join(list, ", ")
}

// texts are records that need the blob whose digest they are; those of the
// kind "block" are a part of their own.
var texts = store.Meaning{
	Part: func(kind string) string {
		if kind == "block" {
			return store.PartBlocks
		}
		return ""
	},
	Refs: func(kind, _ string, data []byte) (string, []digest.Digest) {
		d, err := digest.Parse(string(data))
		if err != nil {
			return "", nil
		}
		return map[string]string{"unpack": store.PartContents, "kernel": store.PartImages}[kind], []digest.Digest{d}
	},
}

// filled is a store with something of every part. Its records are of the ages
// given by their kinds and keys.
type filled struct {
	*store.Store
	t *testing.T
}

func fill(t *testing.T) filled {
	s := filled{open(t), t}
	for name, data := range map[string]string{"tmp/left-over": "12345", "tools/abc/bin/x": "program", "tools/abc/bin/y": "other"} {
		s.write(name, data)
	}
	return s
}

func (s filled) write(name, data string) string {
	s.t.Helper()
	path := filepath.Join(s.Dir(), name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(data), 0o600)); err != nil {
		s.t.Fatal(err)
	}
	return path
}

func (s filled) blob(text string) digest.Digest {
	s.t.Helper()
	d, err := s.PutBytes([]byte(text))
	if err != nil {
		s.t.Fatal(err)
	}
	return d
}

// record makes a record that was used so many hours after now.
func (s filled) record(kind string, key, needs digest.Digest, hours int) {
	s.t.Helper()
	if err := s.SetRecord(kind, key.String(), []byte(needs.String())); err != nil {
		s.t.Fatal(err)
	}
	s.touch(filepath.Join("records", kind, key.String()[:2], key.String()), hours)
}

func (s filled) touch(name string, hours int) {
	s.t.Helper()
	at := time.Now().Add(time.Duration(hours) * time.Hour)
	if err := os.Chtimes(filepath.Join(s.Dir(), name), at, at); err != nil {
		s.t.Fatal(err)
	}
}

// has lists which of the blobs, by their texts, are there.
func (s filled) has(texts ...string) string {
	var there []string
	for _, text := range texts {
		if s.Has(digest.Of([]byte(text))) {
			there = append(there, text)
		}
	}
	return strings.Join(there, " ")
}

func TestUsage(t *testing.T) {
	s := fill(t)
	s.record("unpack", s.blob("package"), s.blob("content"), 0)
	s.record("kernel", digest.Of([]byte("key")), s.blob("image"), 0)
	s.record("block", digest.Of([]byte("block")), digest.Of([]byte("x")), 0)
	s.write("pool/ab/abcd-0644-1-0", "of the pool")
	got, err := s.Usage(texts)
	if want := "downloads 1, unpacked contents 2, blocks 1, images 1, tools 1, records 2, left by killed runs 1"; err != nil || numbers(got) != want {
		t.Errorf("got %s, %v, want %s", numbers(got), err, want)
	}
	const block = 4096
	for _, p := range got {
		want := int64(p.Number) * block
		if p.Name == store.PartTools {
			want = 2 * block
		}
		if p.Bytes != want {
			t.Errorf("%s has %d bytes, want %d", p.Name, p.Bytes, want)
		}
	}
}

// TestGC: what is old goes, but not what is kept and what that needs.
func TestGC(t *testing.T) {
	s := fill(t)
	kept, stale := s.blob("kept package"), s.blob("stale package")
	s.record("unpack", kept, s.blob("kept content"), 0)
	s.record("unpack", stale, s.blob("stale content"), 0)
	s.record("unpack", s.blob("young package"), s.blob("young content"), 70)
	pooled := s.write("pool/ab/"+digest.Of([]byte("kept content")).String()+"-0644-1-0", "kept content")
	all := []string{"kept package", "kept content", "stale package", "stale content", "young package", "young content"}
	opt := store.GCOptions{
		Meaning: texts, Keep: func(d digest.Digest) bool { return d == kept }, MaxAge: 24 * time.Hour, Now: time.Now().Add(72 * time.Hour), DryRun: true,
	}
	for _, opt.DryRun = range []bool{true, false} {
		got, err := s.GC(opt)
		if want := "downloads 1, unpacked contents 2, tools 1, records 1, left by killed runs 1"; err != nil || numbers(got) != want {
			t.Errorf("dry %v: removed %s, %v; want %s", opt.DryRun, numbers(got), err, want)
		}
		want := strings.Join(all, " ")
		if !opt.DryRun {
			want = "kept package kept content young package young content"
		}
		if got := s.has(all...); got != want {
			t.Errorf("dry %v: there are %s, want %s", opt.DryRun, got, want)
		}
		for _, path := range []string{pooled, filepath.Join(s.Dir(), "tools/abc"), filepath.Join(s.Dir(), "tmp/left-over")} {
			if _, err := os.Lstat(path); (err == nil) != opt.DryRun {
				t.Errorf("dry %v: %s: %v", opt.DryRun, path, err)
			}
		}
	}
	if _, err := s.GC(store.GCOptions{}); err != nil {
		t.Fatal(err)
	}
	if u, err := s.Usage(texts); err != nil || u.Bytes() != 0 {
		t.Errorf("after the last GC: %s, %v", numbers(u), err)
	}
}

// TestMaxSize: what was used least recently goes first, who needs before what is
// needed, and no more than has to.
func TestMaxSize(t *testing.T) {
	s := fill(t)
	for n, name := range []string{"first", "second", "third"} {
		s.record("unpack", s.blob(name+" package"), s.blob(name+" content"), 10+n)
	}
	s.touch("tools/abc", -1)
	all := []string{"first package", "first content", "second package", "second content", "third package", "third content"}
	const block = 4096
	for _, c := range []struct {
		blocks  int64
		removed string
		there   string
	}{
		{11, "left by killed runs 1", strings.Join(all, " ")},
		{10, "tools 1", strings.Join(all, " ")}, // of two blocks
		{8, "records 1", strings.Join(all, " ")},
		{6, "downloads 2", strings.Join(all[2:], " ")}, // of the content nobody knows whose it was
		{1, "downloads 2, unpacked contents 1, records 2", ""},
	} {
		got, err := s.GC(store.GCOptions{Meaning: texts, MaxSize: c.blocks * block})
		if err != nil || numbers(got) != c.removed && c.blocks > 1 {
			t.Errorf("to %d blocks: removed %s, %v; want %s", c.blocks, numbers(got), err, c.removed)
		}
		if there := s.has(all...); there != c.there && c.blocks > 1 {
			t.Errorf("to %d blocks: there are %s", c.blocks, there)
		}
		if u, err := s.Usage(texts); err != nil || u.Bytes() > c.blocks*block {
			t.Errorf("to %d blocks: %d bytes, %v", c.blocks, u.Bytes(), err)
		}
	}
}

// TestTrim: it measures no more than it must, and leaves what was used.
func TestTrim(t *testing.T) {
	s := fill(t)
	const block = 4096
	mine := s.blob("mine")
	s.record("unpack", mine, s.blob("my content"), -100)
	other, err := store.Open(s.Dir())
	if err != nil {
		t.Fatal(err)
	}
	trim := func(limit int64, want string) {
		t.Helper()
		got, err := s.Trim(limit, func(d digest.Digest) bool { return d == digest.Of([]byte("named")) }, texts)
		if err != nil || numbers(got) != want {
			t.Errorf("to %d bytes: removed %q, %v, want %q", limit, numbers(got), err, want)
		}
	}
	d, err := other.PutBytes([]byte("others content"))
	if err == nil {
		err = other.SetRecord("unpack", digest.Of([]byte("key")).String(), []byte(d.String()))
	}
	if err != nil {
		t.Fatal(err)
	}
	s.blob("named")
	trim(100*block, "") // measured: 8 blocks
	trim(2*block, "")   // another uses the store
	other.Close()
	done := s.Work()
	trim(2*block, "") // another part of this process does
	done()
	s.write("blobs/ab/"+strings.Repeat("ab", 32), strings.Repeat("x", 1<<20))
	trim(20*block, "") // nobody has said that this came
	trim(9*block, "")
	trim(5*block, "downloads 2, unpacked contents 1, tools 1, records 1")
	if got := s.has("mine", "my content", "others content", "named"); got != "my content named" {
		t.Errorf("there are %s", got)
	}
	if _, err := os.Stat(filepath.Join(s.Dir(), "tmp/left-over")); err != nil {
		t.Error("it swept what others may be making")
	}
	// A measurement of yesterday is not believed, nor a damaged one.
	for _, text := range []string{"4096 1000\n", "nonsense\n", fmt.Sprintf("4096 %d\nnonsense\n", time.Now().Unix())} {
		s.write("size", text)
		trim(100*block, "")
		if data, err := os.ReadFile(filepath.Join(s.Dir(), "size")); err != nil || strings.Contains(string(data), "nonsense") || strings.HasPrefix(string(data), "4096 ") {
			t.Errorf("after %q the size is %q, %v", text, data, err)
		}
	}
}

func TestDefaultLimit(t *testing.T) {
	const least = 8 << 30
	if limit, err := open(t).DefaultLimit(); err != nil || limit < least {
		t.Errorf("%d, %v", limit, err)
	}
}
