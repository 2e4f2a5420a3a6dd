package rootfs

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"ashlar/internal/builder/store"
	"ashlar/internal/foundation/digest"
	"ashlar/internal/foundation/tree"
)

// overlay makes a directory of files: "MODE text", "-> target", "dir" or "fifo".
func overlay(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		host := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(host), 0o700); err != nil {
			t.Fatal(err)
		}
		var mode os.FileMode
		var err error
		switch target, isLink := strings.CutPrefix(text, "-> "); {
		case isLink:
			err = os.Symlink(target, host)
		case text == "dir":
			err = os.MkdirAll(host, 0o700)
		case text == "fifo":
			err = unix.Mkfifo(host, 0o600)
		default:
			if _, err = fmt.Sscanf(text, "%o", &mode); err == nil {
				if err = os.WriteFile(host, []byte(text), 0o600); err == nil {
					err = os.Chmod(host, mode)
				}
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func copied(t *testing.T, root *tree.Tree, definition string, files map[string]string) error {
	t.Helper()
	st, err := store.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	rules, err := compileRules(parse(t, base1+definition).Files.Rules, testAccounts())
	if err != nil {
		return err
	}
	return copyOverlay(root, overlay(t, files), rules, storeAdder(st))
}

// shows tells of an entry what an image keeps of it.
func shows(e *tree.Entry) string {
	if e == nil {
		return "nothing"
	}
	return fmt.Sprintf("%s %o %d:%d %s", e.Kind, e.Mode, e.UID, e.GID, e.Target)
}

func TestOverlay(t *testing.T) {
	root := treeOf(t, map[string]string{
		"usr/lib/x": "dir", "lib": "-> usr/lib", "etc/conf": "of the package", "etc/link": "-> conf", "srv/www": "dir", "srv/mine": "dir", "etc/shadowed": "-> elsewhere", "etc/f": "file",
	})
	root.Get("srv/www").Mode, root.Get("srv/www").UID = 0o700, 33
	definition := `
[[files.rules]]
path = "/srv/**"
owner = "www-data"
mode = "0640"
[[files.rules]]
path = "/srv/**/*.sh"
owner = "www-data"
group = "adm"
mode = "4750"
[[files.rules]]
path = "/etc/numbers"
owner = "12"
group = "34"
[[files.rules]]
path = "/srv/link"
owner = "daemon"
mode = "0777"
`
	err := copied(t, root, definition, map[string]string{
		"etc/conf": "600 new", "etc/new": "444", "etc/exec": "700", "etc/groupexec": "0670", "etc/numbers": "600", "etc/shadowed": "644 file",
		"lib/x/f": "644", "srv/www/index": "777", "srv/www/run.sh": "600", "srv/new/d": "dir", "srv/link": "-> www", "opt/empty": "dir", "etc/link": "-> elsewhere",
		"srv/mine": "dir", "etc/f/x": "600",
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"etc/conf": "file 644 0:0 ", "etc/new": "file 644 0:0 ", "etc/exec": "file 755 0:0 ", "etc/groupexec": "file 644 0:0 ", "etc/numbers": "file 644 12:34 ",
		"etc/shadowed": "file 644 0:0 ", "etc/link": "symlink 777 0:0 elsewhere", "etc/f": "dir 755 0:0 ", "etc/f/x": "file 644 0:0 ",
		"usr/lib/x/f": "file 644 0:0 ", "lib": "symlink 777 0:0 usr/lib", "usr/lib/x": "dir 755 0:0 ",
		"srv": "dir 750 33:33 ", "srv/www": "dir 750 33:33 ", "srv/mine": "dir 750 33:33 ", "srv/www/index": "file 640 33:33 ", "srv/www/run.sh": "file 4750 33:4 ",
		"srv/new": "dir 750 33:33 ", "srv/new/d": "dir 750 33:33 ", "srv/link": "symlink 777 1:1 www", "opt/empty": "dir 755 0:0 ", "opt": "dir 755 0:0 ",
	} {
		if got := shows(root.Get(name)); got != want {
			t.Errorf("/%s: %s, want %s", name, got, want)
		}
	}
	e := root.Get("etc/conf")
	if got := textOf(t, root, "etc/conf"); got != "600 new" || e.Digest != digest.Of([]byte(got)) || e.MTime != 0 {
		t.Errorf("content %q, digest %s, time %d", got, e.Digest, e.MTime)
	}
}

func TestOverlayRefused(t *testing.T) {
	for _, c := range []struct {
		definition string
		files      map[string]string
		want       string
	}{
		{"", map[string]string{"etc/d": "600"}, "/etc/d would replace the directory /etc/d of the packages"},
		{"", map[string]string{"etc/d": "-> x"}, "would replace the directory /etc/d"},
		{"", map[string]string{"etc/pipe": "fifo"}, "an overlay holds files, directories and symbolic links"},
		{"[[files.rules]]\npath = \"/x\"\nowner = \"stranger\"\n", nil, `files.rules[0] (path "/x"): no user "stranger"`},
		{"[[files.rules]]\npath = \"/x\"\ngroup = \"strangers\"\n", nil, `files.rules[0] (path "/x"): no group "strangers"`},
	} {
		root := treeOf(t, map[string]string{"etc/d/x": "x", "etc/f": "x"})
		if err := copied(t, root, c.definition, c.files); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %v, want %s", c.files, err, c.want)
		}
	}
	if err := copyOverlay(&tree.Tree{}, filepath.Join(t.TempDir(), "absent"), nil, nil); err != nil {
		t.Errorf("no overlay: %v", err)
	}
}
