package account

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const passwd = `root:x:0:0:root:/root:/bin/bash
# comment:x:1:1::/:/bin/sh
broken:x:notanumber:1::/:/bin/sh
short:x:5
www-data:x:33:33:www-data:/var/www:/usr/sbin/nologin
`

const group = `root:x:0:
adm:x:4:www-data,other
ssl-cert:x:110:www-data
www-data:x:33:www-data
`

func table(t *testing.T) *Table {
	t.Helper()
	root := t.TempDir()
	if err := os.Mkdir(filepath.Join(root, "etc"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"passwd": passwd, "group": group} {
		if err := os.WriteFile(filepath.Join(root, "etc", name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	loaded, err := Load(root)
	if err != nil {
		t.Fatal(err)
	}
	return loaded
}

func TestResolve(t *testing.T) {
	www := Identity{Name: "www-data", UID: 33, GID: 33, Groups: []uint32{4, 33, 110}, Home: "/var/www", Shell: "/usr/sbin/nologin"}
	adm := www
	adm.GID, adm.Groups = 4, []uint32{4, 33, 110}
	for _, c := range []struct {
		user, group string
		want        Identity
	}{
		{"", "", Identity{Name: "root", Home: "/root", Shell: "/bin/sh", Groups: []uint32{0}}},
		{"www-data", "", www},
		{"33", "", www},
		{"www-data", "adm", adm},
		{"4711", "", Identity{UID: 4711, GID: 4711, Groups: []uint32{4711}, Home: "/", Shell: "/bin/sh"}},
		{"", "110", Identity{Name: "root", GID: 110, Home: "/root", Shell: "/bin/sh", Groups: []uint32{110}}},
	} {
		got, err := table(t).Resolve(c.user, c.group)
		if err != nil {
			t.Errorf("%q %q: %v", c.user, c.group, err)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%q %q (-want +got):\n%s", c.user, c.group, diff)
		}
	}
	for _, c := range [][2]string{{"nobody-here", ""}, {"broken", ""}, {"", "no-group"}, {"4294967295", ""}} {
		if id, err := table(t).Resolve(c[0], c[1]); err == nil {
			t.Errorf("%q %q resolves to %+v", c[0], c[1], id)
		}
	}
}

func TestLoadWithoutFiles(t *testing.T) {
	empty, err := Load(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if id, err := empty.Resolve("", ""); err != nil || id.UID != 0 {
		t.Errorf("root of an empty image: %+v, %v", id, err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(passwd)
	f.Add(group)
	f.Add("::::::\n:::")
	f.Fuzz(func(t *testing.T, text string) {
		users, _ := ParsePasswd(strings.NewReader(text))
		for _, u := range users {
			if u.Name == "" || strings.ContainsAny(u.Name+u.Home+u.Shell, ":\n") {
				t.Errorf("user %+v", u)
			}
		}
		groups, _ := ParseGroup(strings.NewReader(text))
		for _, g := range groups {
			if g.Name == "" || strings.ContainsAny(g.Name, ":\n") {
				t.Errorf("group %+v", g)
			}
		}
	})
}
