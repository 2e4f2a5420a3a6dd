package rootfs

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"ashlar/internal/builder/store"
	"ashlar/internal/contract/layout"
	"ashlar/internal/foundation/digest"
	"ashlar/internal/foundation/tree"
)

// assembled makes a root of packages that have no scripts.
func assembled(t *testing.T, st *store.Store, text string, debs ...testDeb) (*Root, error) {
	t.Helper()
	in := Input{Definition: parse(t, text+base1), Dir: t.TempDir(), Arch: arch, Epoch: fileTime + 1000, Store: st, Device: tree.NewFile("init", 0o755, []byte("device"))}
	for _, d := range debs {
		u, sum := d.unpack(t, st)
		in.Packages, in.Digests = append(in.Packages, u), append(in.Digests, sum)
	}
	return Assemble(t.Context(), in)
}

var assembleDebs = []testDeb{
	{name: "liba", arch: arch, fields: "Multi-Arch: same\nSource: a (2)\n", files: []testFile{file("usr/lib/liba.so", "library"), file("usr/share/doc/liba/changelog", "c"), file("etc/a.conf", "a")},
		members: map[string]string{"conffiles": "/etc/a.conf\n"}},
	{name: "prog", version: "1:2.0", files: []testFile{file("bin/prog", "program").mode(0o4755), symlink("usr/bin/alias", "prog")}},
}

// TestAssemble makes a whole root, small enough to be listed.
func TestAssemble(t *testing.T) {
	st, err := store.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	text := "init = \"/bin/prog\"\nessential = false\n"
	root, err := assembled(t, st, text, assembleDebs...)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"usr/lib/liba.so": "file 444 0:0 ", "usr/bin/prog": "file 4555 0:0 ", "usr/bin/alias": "symlink 777 0:0 prog", "bin": "symlink 777 0:0 usr/bin", "lib": "symlink 777 0:0 usr/lib",
		"lib64": "symlink 777 0:0 usr/lib64", "sbin": "symlink 777 0:0 usr/sbin", "etc/a.conf": "file 644 0:0 ", "etc/passwd": "file 644 0:0 ", "etc/group": "file 644 0:0 ",
		"etc/hostname": "file 644 0:0 ", "etc/hosts": "file 644 0:0 ", "etc/fstab": "file 644 0:0 ", "etc/machine-id": "file 444 0:0 ", "etc/resolv.conf": "symlink 777 0:0 " + layout.RunDir + "/resolv.conf",
		"etc/localtime": "symlink 777 0:0 /usr/share/zoneinfo/Etc/UTC", "etc/timezone": "file 644 0:0 ", "etc/default/locale": "file 644 0:0 ",
		layout.InitBinary: "file 555 0:0 ", "usr/sbin/ashlar": "symlink 777 0:0 ../" + strings.TrimPrefix(layout.InitBinary, "usr/"),
	}
	var got []string
	for _, name := range root.Tree.Paths() {
		e := root.Tree.Get(name)
		if e.MTime <= 0 || e.MTime > fileTime+1000 {
			t.Errorf("/%s: time %d", name, e.MTime)
		}
		if e.IsDir() || name == layout.MachineFile {
			continue
		}
		got = append(got, name)
		if shows(e) != want[name] {
			t.Errorf("/%s: %s, want %q", name, shows(e), want[name])
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d files, want %d: %q", len(got), len(want), got)
	}
	for _, dir := range []string{"dev", "proc", "sys", "run", "tmp", "etc"} {
		if e := root.Tree.Get(dir); e == nil || !e.IsDir() {
			t.Errorf("no directory /%s", dir)
		}
	}
	if len(root.Packages) != 2 || root.Packages[0].Name != "liba" || root.Packages[0].Bytes != int64(len("library")+len("a")) ||
		root.Packages[0].Source != "a" || root.Packages[1].Version != "1:2.0" || root.Packages[1].Bytes != int64(len("program")) {
		t.Errorf("packages: %+v", root.Packages)
	}
	again, err := assembled(t, st, text, assembleDebs...)
	if err != nil {
		t.Fatal(err)
	}
	a, errA := encodeTree(root.Tree, st)
	b, errB := encodeTree(again.Tree, st)
	if errA != nil || errB != nil || !bytes.Equal(a, b) {
		t.Errorf("from the cache another tree comes: %v, %v", errA, errB)
	}
}

func TestAssembleRefused(t *testing.T) {
	st, err := store.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	other := testDeb{name: "other", files: []testFile{file("usr/bin/prog", "x"), file("etc/a.conf", "x")}}
	for text, want := range map[string]string{
		"init = \"/bin/absent\"\n":               `assemble root: init = "/bin/absent": the image has no such program`,
		"init = \"systemd\"\n":                   "the image has no systemd",
		"timezone = \"Asia/Tokyo\"\n":            `timezone "Asia/Tokyo"`,
		"[users.u]\ngroups = [\"strangers\"]\n":  "users.u: groups: no group",
		"[services.s]\nexec = [\"/bin/none\"]\n": "services.s: the image has no /bin/none",
	} {
		if _, err := assembled(t, st, text, assembleDebs...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	_, err = assembled(t, st, "", append(slices.Clip(assembleDebs), other)...)
	for _, want := range []string{"packages prog and other both have /usr/bin/prog, and neither replaces the other", "packages liba and other both have /etc/a.conf"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v\nlacks %s", err, want)
		}
	}
}

// TestConfigureKey changes each thing that reaches the scripts.
func TestConfigureKey(t *testing.T) {
	in := Input{Definition: parse(t, base1), Arch: arch, Digests: []digest.Digest{digest.Of([]byte("a")), digest.Of([]byte("b"))}}
	keys := map[string]string{"as it is": configureKey(in)}
	other := in
	other.Arch = "arm64"
	keys["architecture"] = configureKey(other)
	other = in
	other.Digests = []digest.Digest{in.Digests[1], in.Digests[0]}
	keys["order"] = configureKey(other)
	other = in
	other.Definition = parse(t, "locale = \"de_DE.UTF-8\"\n"+base1)
	keys["locale"] = configureKey(other)
	seen := map[string]string{}
	for name, key := range keys {
		if seen[key] != "" {
			t.Errorf("%s and %s have one key", name, seen[key])
		}
		seen[key] = name
	}
	other = in
	other.Definition = parse(t, "hostname = \"other\"\n"+base1)
	if configureKey(other) != keys["as it is"] {
		t.Error("the host name, which no script sees, is part of the key")
	}
}

func TestCheckClock(t *testing.T) {
	if err := CheckClock(time.Unix(1000, 0), 1000); err != nil {
		t.Error(err)
	}
	if err := CheckClock(time.Unix(999, 0), 1000); err == nil || !strings.Contains(err.Error(), "it says 1970-01-01T00:16:39Z, the locked archive is from 1970-01-01T00:16:40Z") {
		t.Error(err)
	}
}
