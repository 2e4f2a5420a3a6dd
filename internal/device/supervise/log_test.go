package supervise

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func size(t *testing.T, path string) int64 {
	t.Helper()
	info, err := os.Stat(path)
	if os.IsNotExist(err) {
		return 0
	}
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

func TestLogStaysWithinItsBound(t *testing.T) {
	const bound = 40_000
	path := filepath.Join(t.TempDir(), "sub", "app.log")
	for range 3 { // opened again, as after a reboot
		l, err := OpenLog(path, bound)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 3000 {
			if err := l.Line(time.Now(), fmt.Sprintf("line %d %s", i, strings.Repeat("x", i%maxLine))); err != nil {
				t.Fatal(err)
			}
			if got := size(t, path) + size(t, path+".1"); got > bound {
				t.Fatalf("after line %d: %d bytes, the bound is %d", i, got, bound)
			}
		}
		text, err := l.Tail(bound)
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
		if !strings.Contains(lines[len(lines)-1], "line 2999 ") || !strings.Contains(lines[len(lines)-2], "line 2998 ") {
			t.Errorf("the newest lines are not at the end")
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestTailStartsWithAWholeLine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.log")
	for name, text := range map[string]string{path + ".1": "one\ntwo\n", path: "three\nfour\n"} {
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for n, want := range map[int64]string{
		100: "one\ntwo\nthree\nfour\n",
		11:  "three\nfour\n",
		16:  "two\nthree\nfour\n",
		7:   "four\n",
		2:   "",
	} {
		if got, err := TailFiles(path, n); err != nil || got != want {
			t.Errorf("last %d bytes: %q, %v; want %q", n, got, err, want)
		}
	}
}

func TestEachLineCutsLongLines(t *testing.T) {
	long := strings.Repeat("y", maxLine+10)
	var got []string
	eachLine(strings.NewReader("a\n\n"+long+"\nend"), func(s string) { got = append(got, s) })
	if len(got) != 5 || got[0] != "a" || got[1] != "" || got[2]+got[3] != long || got[4] != "end" {
		t.Errorf("%d lines", len(got))
	}
}
