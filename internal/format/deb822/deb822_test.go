package deb822_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ashlar/internal/format/deb822"
	"ashlar/internal/testenv"
)

const sample = `# a comment
Package: hello
Version:1.0-1
Description: short text
 first line
 .
   verbatim	line
# inside
Conffiles:
 /etc/hello d41d8cd98f00b204e9800998ecf8427e
 /etc/hello.d/x 0
	
Package:  other 
Empty:

`

func TestRead(t *testing.T) {
	got, err := deb822.ReadAll(strings.NewReader("\n\n"+sample), deb822.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	want := []*deb822.Paragraph{
		{Fields: []deb822.Field{
			{Name: "Package", Value: "hello", Line: 4},
			{Name: "Version", Value: "1.0-1", Line: 5},
			{Name: "Description", Value: "short text\nfirst line\n.\n  verbatim\tline", Line: 6},
			{Name: "Conffiles", Value: "\n/etc/hello d41d8cd98f00b204e9800998ecf8427e\n/etc/hello.d/x 0", Line: 11},
		}},
		{Fields: []deb822.Field{{Name: "Package", Value: "other", Line: 15}, {Name: "Empty", Value: "", Line: 16}}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if v := got[0].Get("conffiles"); !strings.HasPrefix(v, "\n/etc/hello ") {
		t.Errorf("Get ignores case: %q", v)
	}
	f, _ := got[0].Lookup("Conffiles")
	if n := len(f.Lines()); n != 2 {
		t.Errorf("Lines: %d", n)
	}
}

func TestKeep(t *testing.T) {
	r := deb822.NewReader(strings.NewReader(sample), deb822.Limits{})
	r.Keep("version", "Conffiles", "Empty")
	var names []string
	for {
		p, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range p.Fields {
			names = append(names, f.Name+"="+f.Value)
		}
	}
	want := []string{"Version=1.0-1", "Conffiles=\n/etc/hello d41d8cd98f00b204e9800998ecf8427e\n/etc/hello.d/x 0", "Empty="}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Error(diff)
	}
}

func TestRefused(t *testing.T) {
	small := deb822.Limits{Line: 100, Paragraph: 300, Fields: 3}
	cases := map[string]struct {
		text, want string
		line       int
	}{
		"duplicate":          {"A: 1\nB: 2\nA: 3\n", "field A stands twice", 3},
		"duplicate, case":    {"Abc: 1\naBC: 3\n", "field aBC stands twice", 2},
		"no colon":           {"A: 1\n\nfoo bar\n", "no colon", 3},
		"no name":            {": x\n", "no name", 1},
		"space in name":      {"A B: x\n", "may not have", 1},
		"dash":               {"-----BEGIN: x\n", "begins with", 1},
		"continuation":       {"\n x\n", "continuation line without", 2},
		"NUL":                {"A: a\x00b\n", "NUL", 1},
		"long line":          {"A: b\nB: " + strings.Repeat("x", 100) + "\n", "more than 100 bytes", 2},
		"very long line":     {"B: " + strings.Repeat("x", 200_000), "more than 100 bytes", 1},
		"long paragraph":     {"A: b\n" + strings.Repeat(" 234567890\n", 40), "more than 300 bytes", 28},
		"many fields":        {"A: 1\nB: 1\nC: 1\nD: 1\n", "more than 3 fields", 4},
		"name of high bytes": {"Ä: 1\n", "may not have", 1},
	}
	for name, c := range cases {
		_, err := deb822.ReadAll(strings.NewReader(c.text), small)
		var fault *deb822.Error
		if !errors.As(err, &fault) || !strings.Contains(fault.Msg, c.want) || fault.Line != c.line {
			t.Errorf("%s: %v, want line %d: …%s", name, err, c.line, c.want)
		}
	}
}

func TestReadOne(t *testing.T) {
	for text, want := range map[string]string{"": "no paragraph", "\n#\n": "no paragraph", "A: 1\n\nB: 2\n": "more than one"} {
		if _, err := deb822.ReadOne(strings.NewReader(text), deb822.Limits{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
	if p, err := deb822.ReadOne(strings.NewReader("A: 1"), deb822.Limits{}); err != nil || p.Get("A") != "1" {
		t.Errorf("one paragraph without newline: %v, %v", p, err)
	}
}

func TestSetDelete(t *testing.T) {
	var p deb822.Paragraph
	p.Set("Package", "a")
	p.Set("Status", "x")
	p.Set("package", "b")
	p.Set("Version", "1\nmore")
	p.Delete("STATUS")
	var out bytes.Buffer
	if err := deb822.NewWriter(&out).Write(&p); err != nil {
		t.Fatal(err)
	}
	if want := "Package: b\nVersion: 1\n more\n"; out.String() != want {
		t.Errorf("got %q, want %q", out.String(), want)
	}
}

func TestWriteRefused(t *testing.T) {
	cases := map[string][]deb822.Field{
		"no fields":  {},
		"bad name":   {{Name: "a b", Value: "x"}},
		"twice":      {{Name: "A", Value: "x"}, {Name: "a", Value: "y"}},
		"blank line": {{Name: "A", Value: "x\n\ny"}},
		"NUL":        {{Name: "A", Value: "x\x00"}},
	}
	for name, fields := range cases {
		if err := deb822.NewWriter(io.Discard).Write(&deb822.Paragraph{Fields: fields}); err == nil {
			t.Errorf("%s: written", name)
		}
	}
}

func write(t *testing.T, all []*deb822.Paragraph) []byte {
	t.Helper()
	var out bytes.Buffer
	w := deb822.NewWriter(&out)
	for _, p := range all {
		if err := w.Write(p); err != nil {
			t.Fatal(err)
		}
	}
	return out.Bytes()
}

// TestHost reads dpkg's own database and writes it back byte for byte, but for
// blanks at the ends of lines.
func TestHost(t *testing.T) {
	testenv.RequireTool(t, "dpkg-deb")
	data, err := os.ReadFile("/var/lib/dpkg/status")
	if err != nil {
		testenv.Lack(t, "needs a dpkg database: %v", err)
	}
	all, err := deb822.ReadAll(bytes.NewReader(data), deb822.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Split(string(write(t, all)), "\n")
	want := strings.Split(strings.TrimSuffix(string(data), "\n"), "\n")
	for i := range want {
		want[i] = strings.TrimRight(want[i], " \t")
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func FuzzReader(f *testing.F) {
	f.Add([]byte(sample))
	f.Add([]byte("A: 1\n b\n\n\nB:\n c\n"))
	f.Add([]byte("A: 1\r\n\tb\r\n\r\nB:2"))
	f.Add([]byte(" x"))
	f.Fuzz(func(t *testing.T, data []byte) {
		all, err := deb822.ReadAll(bytes.NewReader(data), deb822.Limits{Line: 1000, Paragraph: 5000, Fields: 20})
		if err != nil {
			return
		}
		again, err := deb822.ReadAll(bytes.NewReader(write(t, all)), deb822.Limits{})
		if err != nil {
			t.Fatalf("what was written is not read: %v", err)
		}
		ignoreLine := cmp.FilterPath(func(p cmp.Path) bool { return p.Last().String() == ".Line" }, cmp.Ignore())
		if diff := cmp.Diff(all, again, ignoreLine); diff != "" {
			t.Error(diff)
		}
	})
}
