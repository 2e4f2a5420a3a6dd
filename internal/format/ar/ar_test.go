package ar_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"ashlar/internal/format/ar"
	"ashlar/internal/testenv"
)

func member(name, content string) string {
	pad := strings.Repeat("\n", len(content)&1)
	return fmt.Sprintf("%-16s%-12d%-6d%-6d%-8s%-10d`\n%s%s", name, 1700000000, 0, 0, "100644", len(content), content, pad)
}

func readAll(data []byte) ([]string, error) {
	r, err := ar.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	var got []string
	for {
		h, err := r.Next()
		if err == io.EOF {
			return got, nil
		}
		if err != nil {
			return got, err
		}
		content, err := io.ReadAll(r)
		if err != nil {
			return got, err
		}
		if int64(len(content)) != h.Size {
			return got, fmt.Errorf("member %s: %d bytes, header says %d", h.Name, len(content), h.Size)
		}
		got = append(got, h.Name+"="+string(content))
	}
}

func TestRead(t *testing.T) {
	data := "!<arch>\n" + member("debian-binary", "2.0\n") + member("odd/", "abc") + member("last", "x")
	want := []string{"debian-binary=2.0\n", "odd=abc", "last=x"}
	for _, text := range []string{data, strings.TrimSuffix(data, "\n")} { // with and without the last padding
		got, err := readAll([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestNextSkips(t *testing.T) {
	r, err := ar.NewReader(strings.NewReader("!<arch>\n" + member("a", "12345") + member("b", "67")))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"a", "b"} {
		h, err := r.Next()
		if err != nil || h.Name != want || r.Left() != h.Size {
			t.Fatalf("Next = %+v, %v; want %s", h, err, want)
		}
	}
	if _, err := r.Next(); err != io.EOF {
		t.Fatalf("after the last member: %v", err)
	}
}

func TestRefused(t *testing.T) {
	good := "!<arch>\n" + member("a", "12345")
	header := member("a", "12345")
	cases := map[string]struct{ data, want string }{
		"empty":          {"", "unexpected EOF"},
		"magic":          {"!<arsh>\n" + header, "want \"!<arch>\\n\""},
		"short header":   {good[:40], "unexpected EOF"},
		"short member":   {good[:8+60+3], "2 bytes are missing"},
		"header end":     {strings.Replace(good, "`\n", "'\n", 1), "ends in"},
		"size text":      {"!<arch>\n" + header[:48] + "-1        `\n", "size \"-1\""},
		"size empty":     {"!<arch>\n" + header[:48] + "          `\n", "size is empty"},
		"long names":     {"!<arch>\n" + member("//", "x"), "long names"},
		"bsd long name":  {"!<arch>\n" + member("#1/20", "x"), "long names"},
		"symbol table":   {"!<arch>\n" + member("/", "x"), "long names"},
		"slash in name":  {"!<arch>\n" + member("a/../b", "x"), "printable ASCII"},
		"NUL in name":    {"!<arch>\n" + member("a\x00b", "x"), "printable ASCII"},
		"name of spaces": {"!<arch>\n" + member("", "x"), "name is empty"},
	}
	for name, c := range cases {
		if _, err := readAll([]byte(c.data)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q in it", name, err, c.want)
		}
	}
	if _, err := readAll([]byte(good[:8+60+3])); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("short member: %v is not io.ErrUnexpectedEOF", err)
	}
}

// TestGNU reads what GNU ar writes.
func TestGNU(t *testing.T) {
	tool := testenv.RequireTool(t, "ar")
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "one"), []byte("content\n\n\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(tool, "rcS", "x.a", "one")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("ar: %v: %s", err, out)
	}
	data, err := os.ReadFile(filepath.Join(dir, "x.a"))
	if err != nil {
		t.Fatal(err)
	}
	got, err := readAll(data)
	if err != nil || len(got) != 1 || got[0] != "one=content\n\n\n" {
		t.Errorf("got %q, %v", got, err)
	}
}

func FuzzReader(f *testing.F) {
	good := "!<arch>\n" + member("debian-binary", "2.0\n") + member("control.tar.xz", "abc") + member("data.tar/", "x")
	f.Add([]byte(good))
	f.Add([]byte(good[:100]))
	f.Add([]byte("!<arch>\n" + member("//", "x")))
	f.Add([]byte("!<arch>\n" + member("x", "")[:48] + "9999999999`\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := readAll(data)
		total := 0
		for _, m := range got {
			total += len(m)
		}
		if total > len(data) {
			t.Errorf("%d bytes out of %d", total, len(data))
		}
		// What is read in one go is read the same a byte at a time.
		r, newErr := ar.NewReader(iotest.OneByteReader(bytes.NewReader(data)))
		if newErr != nil {
			if err == nil {
				t.Errorf("one byte at a time: %v", newErr)
			}
			return
		}
		n := 0
		for ; ; n++ {
			if _, e := r.Next(); e != nil {
				break
			}
			if _, e := io.Copy(io.Discard, r); e != nil {
				break
			}
		}
		if n != len(got) {
			t.Errorf("one byte at a time: %d members, else %d", n, len(got))
		}
	})
}
