package kmod

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

// TestRead: files of both word sizes and byte orders say the same.
func TestRead(t *testing.T) {
	want := &Module{
		Path: "kernel/fs/some-fs.ko", Name: "some_fs",
		Info:    []Field{{"description", "a=b"}, {"depends", "crc16,lib"}, {"depends", ""}, {"softdep", "pre: a b post: c"}, {"bare", ""}},
		Exports: []string{"made_here"}, Needs: []string{"kmalloc", "crc16", "module_layout"},
	}
	for n := range 4 {
		data := object{
			narrow: n&1 != 0, big: n&2 != 0,
			info: []string{"", "description=a=b", "", "depends=crc16,lib", "depends=", "softdep=pre: a b post: c", "bare"}, strings: []string{"not_this"},
			exports: []string{"made_here"}, needs: []string{"kmalloc", "", "crc16"}, versions: []string{"module_layout", "crc16"},
		}.bytes()
		got, err := Read(want.Path, data)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("of kind %d:\n%s", n, diff)
		}
	}
	got, err := Read("old.ko", object{info: []string{"a=b"}, strings: []string{"", "one", "two"}}.bytes())
	if err != nil || cmp.Diff([]string{"one", "two"}, got.Exports) != "" {
		t.Errorf("without checksums it exports %q, %v", got.Exports, err)
	}
}

func TestReadRefuses(t *testing.T) {
	whole := object{info: []string{"a=b"}, needs: []string{"x"}, exports: []string{"y"}}
	for what, c := range map[string]struct {
		data []byte
		want string
	}{
		"text":              {[]byte(strings.Repeat("text", 20)), "not an ELF file"},
		"half":              {whole.bytes()[:200], "section headers"},
		"header only":       {whole.bytes()[:60], "ELF class 2 in 60 bytes"},
		"a class":           {append([]byte("\x7fELF\x03\x01"), make([]byte, 60)...), "ELF class 3"},
		"a byte order":      {append([]byte("\x7fELF\x02\x03"), make([]byte, 60)...), "ELF byte order 3"},
		"nothing":           {nil, "not an ELF file"},
		"empty table":       {append([]byte("\x7fELF\x01\x01"), make([]byte, 60)...), "section headers of 0 bytes"},
		"long section":      {object{info: []string{"a=b"}, truncate: ".modinfo"}.bytes(), "section .modinfo: "},
		"long symbols":      {object{info: []string{"a=b"}, truncate: ".symtab"}.bytes(), "section .symtab: "},
		"long names":        {object{info: []string{"a=b"}, truncate: ".shstrtab"}.bytes(), "section names: "},
		"compressed":        {object{info: []string{"a=b"}, compressed: ".modinfo"}.bytes(), "section .modinfo is compressed"},
		"symbols elsewhere": {bytes.Replace(whole.bytes(), []byte("\x00.strtab\x00"), []byte("\x00.strtax\x00"), 1), "name of a symbol"},
		"odd symbols":       {bytes.Replace(whole.bytes(), []byte("\x00.symtab\x00"), []byte("\x00.symtax\x00"), 1), ""},
		"a long name":       {object{info: []string{"a=b"}, needs: []string{strings.Repeat("n", maxName)}}.bytes(), "longer than 1024 bytes"},
		"shared names":      {sharedNames(), "names of symbols of more than 4 times"},
		"no info":           {bytes.Replace(whole.bytes(), []byte(".modinfo"), []byte(".modinfx"), 1), "no section .modinfo"},
	} {
		_, err := Read("a.ko", c.data)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), "read module a.ko: ")) {
			t.Errorf("%s: %v, want %q", what, err, c.want)
		}
	}
	if _, err := Read("modules.dep", whole.bytes()); err == nil {
		t.Error("a file of another name is read")
	}
}

// sharedNames is a file in which many symbols have one long name.
func sharedNames() []byte {
	o := object{info: []string{"a=b"}, needs: []string{strings.Repeat("n", maxName-10)}}
	for range 100 {
		o.needs = append(o.needs, "x")
	}
	data := o.bytes()
	f, err := openELF(data)
	if err != nil {
		panic(err)
	}
	table, _, err := f.section(".symtab")
	if err != nil {
		panic(err)
	}
	for at := 3 * symbolSize64; at < len(table); at += symbolSize64 {
		copy(table[at:at+4], table[2*symbolSize64:])
	}
	return data
}

func TestDecompress(t *testing.T) {
	plain := bytes.Repeat([]byte("a module"), 1000)
	for _, c := range []struct {
		ending string
		pack   func(*bytes.Buffer) error
	}{
		{".ko", func(b *bytes.Buffer) error { _, err := b.Write(plain); return err }},
		{".ko.gz", func(b *bytes.Buffer) error { w := gzip.NewWriter(b); _, err := w.Write(plain); w.Close(); return err }},
		{".ko.xz", func(b *bytes.Buffer) error {
			w, err := xz.NewWriter(b)
			if err == nil {
				_, err = w.Write(plain)
				w.Close()
			}
			return err
		}},
		{".ko.zst", func(b *bytes.Buffer) error {
			w, err := zstd.NewWriter(b)
			if err == nil {
				_, err = w.Write(plain)
				w.Close()
			}
			return err
		}},
	} {
		var packed bytes.Buffer
		if err := c.pack(&packed); err != nil {
			t.Fatal(err)
		}
		got, err := Decompress("a"+c.ending, packed.Bytes())
		if err != nil || !bytes.Equal(got, plain) {
			t.Errorf("%s: %d bytes, %v", c.ending, len(got), err)
		}
		if c.ending == ".ko" {
			continue
		}
		for _, bad := range [][]byte{packed.Bytes()[:packed.Len()/2], {}, []byte("no such format at all")} {
			if _, err := Decompress("a"+c.ending, bad); err == nil || !strings.Contains(err.Error(), "decompress module a"+c.ending) {
				t.Errorf("%s of %d bytes: %v", c.ending, len(bad), err)
			}
		}
	}
}

func TestNames(t *testing.T) {
	for file, want := range map[string]string{
		"kernel/a-b.ko": "a_b", "x.ko.xz": "x", "x.ko.zst": "x", "x.ko.gz": "x", "x.ko.bz2": "", "modules.dep": "", ".ko": "", "ko": "",
	} {
		if got, ok := Name(file); got != want || ok != (want != "") {
			t.Errorf("%s: %q, %v", file, got, ok)
		}
	}
	for file, want := range map[string]string{"a/b.ko.xz": "a/b.ko", "a/b.ko": "a/b.ko", "b.xz": "b.xz"} {
		if got := Uncompressed(file); got != want {
			t.Errorf("%s: %s", file, got)
		}
	}
	m := Module{Info: []Field{{"depends", "a,,b"}, {"softdep", "x pre: c d post: e"}, {"softdep", "post: f pre: g"}, {"weakdep", "h i"}}}
	pre, post := m.SoftDepends()
	if diff := cmp.Diff([][]string{{"a", "b"}, {"c", "d", "g"}, {"e", "f"}, {"h", "i"}}, [][]string{m.Depends(), pre, post, m.WeakDepends()}); diff != "" {
		t.Error(diff)
	}
}

// FuzzRead reads what may be a module: what it gives was in the bytes.
func FuzzRead(f *testing.F) {
	o := object{info: []string{"depends=a,b", "softdep=pre: c", "alias=pci:v*d*"}, exports: []string{"x"}, needs: []string{"y", "z"}, versions: []string{"y", "w"}}
	f.Add(o.bytes())
	f.Add(o.bytes()[:300])
	o.narrow, o.big = true, true
	f.Add(o.bytes())
	o.truncate = ".strtab"
	f.Add(o.bytes())
	f.Add([]byte("\x7fELF\x02\x01"))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := Read("fuzz.ko", data)
		if err != nil {
			return
		}
		for _, name := range append(append([]string{}, m.Exports...), m.Needs...) {
			if name != "" && !bytes.Contains(data, []byte(name)) {
				t.Errorf("symbol %q is not in the file", name)
			}
		}
		for _, field := range m.Info {
			if !bytes.Contains(data, []byte(field.Key)) || !bytes.Contains(data, []byte(field.Value)) {
				t.Errorf("field %+v is not in the file", field)
			}
		}
		g, err := NewGraph([]*Module{m}, nil)
		if err == nil {
			_, err = g.Files(Builtin{})
		}
		_ = err // a module that needs itself, or names that are not ASCII, may be refused
	})
}
