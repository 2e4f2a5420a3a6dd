package ui

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

func TestBytes(t *testing.T) {
	for n, want := range map[int64]string{
		0: "0 B", 1: "1 B", 1023: "1023 B", 1024: "1.0 KiB", 1536: "1.5 KiB", 1<<20 - 1: "1.0 MiB", 1 << 20: "1.0 MiB",
		24536678: "23.4 MiB", 1 << 40: "1.0 TiB", 1<<63 - 1: "8.0 EiB", -1536: "-1.5 KiB", -1 << 63: "-8.0 EiB",
	} {
		if got := Bytes(n); got != want {
			t.Errorf("Bytes(%d) = %s, want %s", n, got, want)
		}
	}
}

func TestDuration(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0s", 400 * time.Millisecond: "0s", 59600 * time.Millisecond: "1m00s", 92 * time.Second: "1m32s", 2*time.Hour + 5*time.Minute: "2h05m",
	} {
		if got := Duration(d); got != want {
			t.Errorf("Duration(%v) = %s, want %s", d, got, want)
		}
	}
}

func TestTable(t *testing.T) {
	var out bytes.Buffer
	err := Table(&out, []string{"package", "version", "size", "n"}, [][]string{
		{"nginx", "1.26.3-3", "1.5 MiB", "7"},
		{"größer", "2", "900 B", "-12"},
		{"evil\x1b[31m\n", "3"},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Join([]string{
		"package     version      size    n",
		"nginx       1.26.3-3  1.5 MiB    7",
		"größer      2           900 B  -12",
		"evil?[31m?  3",
		"",
	}, "\n")
	if got := out.String(); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

func TestTableWithoutRows(t *testing.T) {
	var out bytes.Buffer
	if err := Table(&out, []string{"file", "size"}, nil); err != nil || out.String() != "file  size\n" {
		t.Errorf("%q, %v", out.String(), err)
	}
}

// A full disk or a closed pipe is the caller's to know.
func TestTableError(t *testing.T) {
	if err := Table(broken{}, []string{"a"}, nil); err == nil {
		t.Error("no error")
	}
}

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, bytes.ErrTooLarge }
