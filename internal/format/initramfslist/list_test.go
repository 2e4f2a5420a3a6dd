package initramfslist

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ashlar/internal/format/cpio"
	"ashlar/internal/foundation/tree"
	"ashlar/internal/testenv"
)

// contents are the files that locations of tests name.
var contents = map[string]string{"app": "#!program\n", "conf/app.conf": "listen 80\n", "empty": ""}

func locate(location string) (tree.Entry, error) {
	data, ok := contents[location]
	if !ok {
		return tree.Entry{}, fmt.Errorf("location %s: %w", location, os.ErrNotExist)
	}
	return tree.NewFile(".", 0, []byte(data)), nil
}

func variable(name string) (string, bool) {
	value, ok := map[string]string{"CONF": "conf", "NAME": "app", "NESTED": "${CONF}", "EMPTY": "", "LOOP": "${LOOP}", "LONG": strings.Repeat("x", maxPath)}[name]
	return value, ok
}

var options = Options{Locate: locate, Variable: variable, MTime: 1_700_000_000}

const example = `# all that there is
dir /dev 0755 0 0
nod /dev/console 0600 0 5 c 5 1
nod /dev/sda 0660 0 6 b 8 0

	dir  usr 755 0 0
dir /usr/bin 0755 0 0
slink /bin usr/bin 0777 0 0
file /bin/app app 0755 0 0 /bin/other /third
file /app.conf ${NESTED}/${NAME}.conf 0640 1 2
file /empty ${EMPTY}empty 04711 65534 65534
dir /run 01777 0 0
pipe /run/pipe 0600 3 4
sock /run/sock 0666 0 0
dir /run 0755 7 7
`

func read(t testing.TB, text string) *tree.Tree {
	t.Helper()
	items, err := Read(strings.NewReader(text), options)
	if err != nil {
		t.Fatal(err)
	}
	tr := &tree.Tree{}
	if err := Apply(tr, items); err != nil {
		t.Fatal(err)
	}
	return tr
}

func TestRead(t *testing.T) {
	var lines []string
	err := read(t, example).Walk(func(e *tree.Entry) error {
		if e.MTime != options.MTime && e.Kind != tree.HardLink {
			t.Errorf("%s: time %d", e.Path, e.MTime)
		}
		data := ""
		if e.Kind == tree.File {
			all, err := e.ReadAll(100)
			if err != nil {
				return err
			}
			data = string(all)
		}
		lines = append(lines, fmt.Sprintf("%s %s %o %d:%d %s%d,%d %q", e.Path, e.Kind, e.Mode, e.UID, e.GID, e.Target, e.Major, e.Minor, data))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		`. dir 755 0:0 0,0 ""`, `app.conf file 640 1:2 0,0 "listen 80\n"`, `bin symlink 777 0:0 usr/bin0,0 ""`,
		`dev dir 755 0:0 0,0 ""`, `dev/console chardev 600 0:5 5,1 ""`, `dev/sda blockdev 660 0:6 8,0 ""`,
		`empty file 4711 65534:65534 0,0 ""`, `run dir 755 7:7 0,0 ""`, `run/pipe fifo 600 3:4 0,0 ""`, `run/sock socket 666 0:0 0,0 ""`,
		`third hardlink 0 0:0 usr/bin/app0,0 ""`,
		`usr dir 755 0:0 0,0 ""`, `usr/bin dir 755 0:0 0,0 ""`, `usr/bin/app file 755 0:0 0,0 "#!program\n"`,
		`usr/bin/other hardlink 0 0:0 usr/bin/app0,0 ""`,
	}
	if diff := cmp.Diff(want, lines); diff != "" {
		t.Error(diff)
	}
}

// TestForeignListing asks GNU cpio what the archive of a list holds.
func TestForeignListing(t *testing.T) {
	judge := testenv.RequireTool(t, "cpio")
	var archive bytes.Buffer
	if err := cpio.Write(&archive, read(t, example), cpio.Options{}); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(judge, "-itv", "--quiet", "--numeric-uid-gid")
	cmd.Env = append(os.Environ(), "TZ=UTC", "LC_ALL=C")
	cmd.Stdin = &archive
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	const stamp = "Nov 14  2023"
	var lines []string
	for _, line := range strings.Split(strings.TrimSpace(string(out)), "\n") {
		if strings.Contains(line, "/") || !strings.HasPrefix(line, "d") {
			line = strings.ReplaceAll(line, stamp, "")
		}
		lines = append(lines, strings.Join(strings.Fields(strings.ReplaceAll(line, stamp, "")), " "))
	}
	want := []string{
		"drwxr-xr-x 2 0 0 0 .", "-rw-r----- 1 1 2 10 app.conf", "lrwxrwxrwx 1 0 0 7 bin -> usr/bin",
		"drwxr-xr-x 2 0 0 0 dev", "crw------- 1 0 5 5, 1 dev/console", "brw-rw---- 1 0 6 8, 0 dev/sda",
		"-rws--x--x 1 65534 65534 0 empty", "drwxr-xr-x 2 7 7 0 run", "prw------- 1 3 4 0 run/pipe", "srw-rw-rw- 1 0 0 0 run/sock",
		"-rwxr-xr-x 3 0 0 0 third", "drwxr-xr-x 2 0 0 0 usr", "drwxr-xr-x 2 0 0 0 usr/bin", "-rwxr-xr-x 3 0 0 0 usr/bin/app",
		"-rwxr-xr-x 3 0 0 10 usr/bin/other",
	}
	if diff := cmp.Diff(want, lines); diff != "" {
		t.Error(diff)
	}
}

func TestRefusals(t *testing.T) {
	for line, want := range map[string]string{
		"link /a b 0 0 0":                            `"link" is none of`,
		"dir /a 0755 0":                              "3 words after dir",
		"dir /a 0755 0 0 0":                          "5 words after dir",
		"dir":                                        "0 words after dir",
		"dir /a 0855 0 0":                            `mode "0855"`,
		"dir /a 0100755 0 0":                         `mode "0100755"`,
		"dir /a 0755 root 0":                         `uid "root"`,
		"dir /a 0755 0 -1":                           `gid "-1"`,
		"dir /a/../b 0755 0 0":                       "..",
		"nod /a 0600 0 0 x 1 2":                      `device type "x"`,
		"nod /a 0600 0 0 c 1 4294967296":             "minor number",
		"file /a nothing 0644 0 0":                   "location nothing",
		"file /a ${UNSET}/x 0644 0 0":                `variable "UNSET" is not set`,
		"file /a ${LOOP} 0644 0 0":                   "more than 100 variables",
		"file /a ${LONG}x 0644 0 0":                  "longer than 4096",
		"file /a app 0644 0 0 /a":                    "named already, in line 2",
		"pipe /dev 0644 0 0":                         "named already, in line 1",
		"pipe / 0644 0 0":                            "the root is a directory",
		"slink /a " + long(maxPath) + " 0777 0 0":    "target of 4096 bytes",
		"dir " + long(maxPath) + " 0777 0 0":         "name of 4096 bytes",
		"dir " + long(maxLine):                       "longer than 8242 bytes",
		"dir /a\x00b 0755 0 0":                       "NUL",
		"dir /ok 0755 0 0\nbad\ndir /fine 0 0 0\nzz": `line 5: "zz"`,
	} {
		_, err := Read(strings.NewReader("dir /dev 0755 0 0\n"+line+"\n"), options)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "line ") {
			t.Errorf("%.60s: got %v, want an error with %q", line, err, want)
		}
	}
}

func long(n int) string { return strings.Repeat("x", n) }

func TestReadEndsWithTheSource(t *testing.T) {
	broken := errors.New("broken")
	_, err := Read(failing{broken}, options)
	if !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// TestApply puts a list over a tree that has links and files already.
func TestApply(t *testing.T) {
	tr := read(t, "dir /usr 0755 0 0\ndir /usr/bin 0755 0 0\nslink /bin usr/bin 0777 0 0\nfile /usr/bin/a empty 0644 0 0 /usr/bin/b\n")
	items, err := Read(strings.NewReader("file /bin/a app 0755 0 0\nfile /srv/deep/x empty 0600 0 0\n"), options)
	if err != nil {
		t.Fatal(err)
	}
	if err := Apply(tr, items); err != nil {
		t.Fatal(err)
	}
	if a, b := tr.Get("usr/bin/a"), tr.Get("usr/bin/b"); a.Size == 0 || b.Kind != tree.File || b.Size != 0 || tr.Get("srv/deep") == nil {
		t.Errorf("a has %d bytes, b is a %s", a.Size, b.Kind)
	}
	for text, want := range map[string]string{
		"file /x app 0644 0 0\nfile /usr app 0644 0 0":    "line 2: usr is a file and was a dir",
		"dir /usr/bin/a 0755 0 0":                         "is a dir and was a file",
		"file /bin/a app 0644 0 0 /usr/bin/a":             "is to be another name",
		"file /a app 0644 0 0\ndir /usr/bin/b/c 0755 0 0": "parent",
	} {
		items, err := Read(strings.NewReader(text), options)
		if err != nil {
			t.Fatal(err)
		}
		if err := Apply(tr.Clone(), items); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want an error with %q", text, err, want)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add(example)
	f.Add("file /a ${CONF}${ 0644 0 0 b c d")
	f.Add("nod a 7777 1 1 b 4294967295 0\ndir / 0 0 0")
	f.Fuzz(func(t *testing.T, text string) {
		items, err := Read(strings.NewReader(text), options)
		if err != nil {
			return
		}
		tr := &tree.Tree{}
		if Apply(tr, items) != nil {
			return
		}
		if err := tr.Walk(func(e *tree.Entry) error {
			if filepath.ToSlash(filepath.Clean(e.Path)) != e.Path {
				t.Errorf("path %q", e.Path)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		var archive bytes.Buffer
		if err := cpio.Write(&archive, tr, cpio.Options{}); err != nil && !strings.Contains(err.Error(), "TRAILER") && !strings.Contains(err.Error(), "mode") {
			t.Errorf("%q makes no archive: %v", text, err)
		}
	})
}
