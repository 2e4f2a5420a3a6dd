package rootfs

import (
	"bytes"
	"strings"
	"testing"

	"ashlar/internal/builder/distro/deb"
	"ashlar/internal/format/deb822"
	"ashlar/internal/foundation/tree"
)

// FuzzDatabase writes dpkg's database of a package with any control members.
// Whatever they are, the status file has one paragraph that can be read.
func FuzzDatabase(f *testing.F) {
	f.Add("Package: a\nVersion: 1\nDepends: b,\n c\nDescription: d\n e\n", "/etc/a\n", "interest /x\n")
	f.Add("Package: a\nConffiles:\n /x y\n", "remove-on-upgrade /etc/a\n", "activate b # c\n")
	f.Add("package: a\nREPLACES: b (<< 1:\n#c\nX:\n", "etc\n/ \n", "interest-noawait\t/../x/\ninterest n/m\n")
	f.Fuzz(func(t *testing.T, control, conffiles, triggers string) {
		paragraph, err := deb822.ReadOne(strings.NewReader(control), deb822.Limits{})
		if err != nil {
			return // such a package is refused when it is unpacked
		}
		p := newPackage(&deb.Unpacked{Control: *paragraph, Members: map[string][]byte{"control": []byte(control), "conffiles": []byte(conffiles), "triggers": []byte(triggers)}})
		root := &tree.Tree{}
		if err := putFile(root, "etc/a", 0o644, "x"); err != nil {
			t.Fatal(err)
		}
		list, err := conffileList(p, root)
		if err != nil {
			t.Fatal(err)
		}
		db := newDatabase([]*pkg{p}, map[*pkg]string{p: list})
		status := db.status()
		if bytes.Count(status, []byte("Status: install ok unpacked\n")) < 1 {
			t.Errorf("status:\n%s", status)
		}
		for _, i := range parseTriggers(p) {
			if i.name == "" || strings.ContainsAny(i.name, " \n") {
				t.Errorf("interest in %q", i.name)
			}
		}
	})
}

// FuzzTables reads the tables that scripts leave.
func FuzzTables(f *testing.F) {
	f.Add([]byte("/a\n/b\npkg\n"), []byte("root root 0755 /x\n#1 #2 4711 /y z\n"), []byte("hook a b\n/x -\n"), []byte("root:x:0:0:root:/root:/bin/sh\n"))
	f.Add([]byte("\n\n\n\n"), []byte("a b c d\n"), []byte(" \n\t\n"), []byte("a:b:-1:4294967296:::\n"))
	f.Add([]byte("a"), []byte("a b 99999999999999999999 d"), []byte("\x00"), []byte(":::::::::\n\n"))
	f.Fuzz(func(t *testing.T, diversions, overrides, unincorp, passwd []byte) {
		for _, d := range parseDiversions(diversions) {
			if strings.Contains(d.from+d.to+d.by, "\n") {
				t.Errorf("diversion %q", d)
			}
		}
		for name, row := range parseStatOverrides(overrides) {
			if strings.Contains(name, "\n") || strings.ContainsAny(row.owner, " \n") {
				t.Errorf("override of %q: %q", name, row.owner)
			}
		}
		for name := range parseUnincorp(unincorp) {
			if name == "" || strings.ContainsAny(name, " \n") {
				t.Errorf("trigger %q", name)
			}
		}
		root := &tree.Tree{}
		if err := putFile(root, "etc/passwd", 0o644, string(passwd)); err != nil {
			t.Fatal(err)
		}
		a, err := readAccounts(root)
		if err != nil {
			return
		}
		if err := a.write(root, 0); err != nil {
			t.Fatal(err)
		}
		again, err := readAccounts(root)
		if err != nil || len(again.users) != len(a.users) {
			t.Errorf("written %d users, read %d: %v", len(a.users), len(again.users), err)
		}
	})
}
